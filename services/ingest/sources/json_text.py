"""JSON that somebody else wrote."""

from __future__ import annotations

import json
from typing import NoReturn, cast

from chassis.errors import InvalidRequest


def read_json(data: bytes) -> object:
    """The value. Raises InvalidRequest MALFORMED_SOURCE_RECORD for what is no JSON (RFC 8259), whatever it is."""
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)
        if b"\\u" in data:
            # Half of a surrogate pair can be written as an escape, and in no encoding that anything behind this takes.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InvalidRequest(
            "The record is not JSON; set the connector's converters to JSON.", reason="MALFORMED_SOURCE_RECORD"
        ) from None
    return cast(object, value)


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)
