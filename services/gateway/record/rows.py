"""Records as JSON, as every answer log keeps them."""

from __future__ import annotations

import json
from typing import Final

from pydantic import TypeAdapter

from gateway.record.domain import FORMAT, AnswerRecord

_RECORD: Final = TypeAdapter(AnswerRecord)


def record_text(record: AnswerRecord | None) -> str | None:
    """The record as text, None for none."""
    return None if record is None else _RECORD.dump_json(record).decode()


def record_of(text: str | None) -> AnswerRecord | None:
    """The record, None for an answer that was logged without one, or with one of a format that is not known yet."""
    if text is None or json.loads(text).get("format", 0) > FORMAT:
        return None
    return _RECORD.validate_json(text)
