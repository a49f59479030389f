"""Letters as stores hold them: what is searched for as fields of their own, all of a letter as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from chassis.clock import from_micros, to_micros
from corpus.dead_letters import Letter, LetterFilter, LetterState
from corpus.domain import ChangeKind, ChangeState

_TIMES = ("first_failed_at", "last_failed_at", "decided_at")


def letter_to_json(letter: Letter) -> dict[str, Any]:
    """The letter as JSON values; times are microseconds."""
    values = asdict(letter)
    for name in _TIMES:
        if values[name] is not None:
            values[name] = to_micros(values[name])
    return values


def letter_from_json(values: Mapping[str, Any]) -> Letter:
    """Inverse of ``letter_to_json``."""
    known = dict(values)
    for name in _TIMES:
        if known[name] is not None:
            known[name] = from_micros(known[name])
    known["state"] = LetterState(known["state"])
    known["kind"] = None if known["kind"] is None else ChangeKind(known["kind"])
    known["outcome"] = None if known["outcome"] is None else ChangeState(known["outcome"])
    return Letter(**known)


def fits(letter: Letter, which: LetterFilter) -> bool:
    """Whether the filter lets the letter through."""
    return (
        which.tenant_id in ("", letter.tenant_id)
        and which.reason in ("", letter.reason)
        and letter.document_id.startswith(which.document_prefix)
        and which.state in (None, letter.state)
    )


def follows(letter: Letter, after: tuple[datetime, str] | None) -> bool:
    """Whether the letter comes after that place, in the order of ``DeadLetterStore.list``."""
    if after is None:
        return True
    at, letter_id = after
    return letter.last_failed_at < at or (letter.last_failed_at == at and letter.letter_id > letter_id)
