"""Rules that every adapter of a registry or ledger applies in the same way, whatever it stores in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from chassis.errors import Conflict, Defect, FailedPrecondition
from corpus.domain import TRIED_AGAIN, ChangeRecord, ChangeState, FieldType
from corpus.metadata import validate_declaration


def merged_fields(known: Mapping[str, FieldType], added: Mapping[str, FieldType]) -> dict[str, FieldType]:
    """A tenant's fields after a declaration. Raises FailedPrecondition FIELD_TYPE_CONFLICT, InvalidRequest."""
    for name, field_type in added.items():
        if known.get(name, field_type) is not field_type:
            raise FailedPrecondition(
                f"The field {name} is declared with the type {known[name]}; choose another name.",
                reason="FIELD_TYPE_CONFLICT",
                metadata={"field": name, "type": known[name]},
            )
    return dict(validate_declaration({**known, **added}))


def earlier_record(known: ChangeRecord, record: ChangeRecord) -> ChangeRecord:
    """The known record if ``record`` is the same change. Raises Conflict EVENT_ID_CONFLICT, VERSION_CONFLICT."""
    if (known.key, known.version) != (record.key, record.version):
        raise Conflict("The event id belongs to another change; use a new one.", reason="EVENT_ID_CONFLICT")
    if known.fingerprint != record.fingerprint:
        raise Conflict(
            "This version of the document was accepted before with other content; send a greater version.",
            reason="VERSION_CONFLICT",
            metadata={"version": str(record.version)},
        )
    return known


def reopened(known: ChangeRecord, replay: int) -> ChangeRecord:
    """The record after ``ChangeLedger.reopen``; the same object when that has no effect."""
    if known.state is not ChangeState.DEAD_LETTERED or known.replays >= replay:
        return known
    message = TRIED_AGAIN + known.message
    return replace(known, state=ChangeState.PENDING, finished_at=None, message=message, replays=replay)


def discarded(known: ChangeRecord, at: datetime, message: str) -> ChangeRecord:
    """The record after ``ChangeLedger.discard``; the same object when that has no effect."""
    if known.state is not ChangeState.DEAD_LETTERED:
        return known
    return replace(known, state=ChangeState.DISCARDED, finished_at=at, message=message)


def may_age_out(record: ChangeRecord, finished_before: datetime) -> bool:
    """Whether a change has an end that nobody waits for, and had it long ago."""
    ended = record.state not in (ChangeState.PENDING, ChangeState.DEAD_LETTERED)
    return ended and record.finished_at is not None and record.finished_at < finished_before


def while_pending(changed: Callable[[ChangeRecord], ChangeRecord]) -> Callable[[ChangeRecord], ChangeRecord]:
    """``changed`` for pending changes; no effect on others."""
    return lambda known: changed(known) if known.state is ChangeState.PENDING else known


def require_terminal(state: ChangeState) -> None:
    """Raises Defect for a state that ends nothing."""
    if state is ChangeState.PENDING:
        raise Defect("A change can't be finished as pending.")
