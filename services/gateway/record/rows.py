"""Records as JSON, as every answer log keeps them."""

from __future__ import annotations

import json
from typing import Final

from pydantic import TypeAdapter, ValidationError

from gateway.record.domain import FORMAT, AnswerRecord

_RECORD: Final = TypeAdapter(AnswerRecord)


def record_text(record: AnswerRecord | None) -> str | None:
    """The record as text, None for none."""
    # Numbers that are none keep their names; dump_json would write null, which is no number to read.
    return None if record is None else json.dumps(_RECORD.dump_python(record, mode="json"), separators=(",", ":"))


def record_of(text: str | None) -> AnswerRecord | None:
    """The record, None for an answer that was logged without one, or with one that can't be read: of a format that is
    not known, or damaged. The answer is read without it."""
    if text is None:
        return None
    try:
        record = _RECORD.validate_json(text)
    except ValidationError:
        return None
    return record if record.format <= FORMAT else None
