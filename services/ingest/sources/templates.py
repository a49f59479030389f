"""Texts with placeholders, by which a mapping says where a document's fields come from."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

from chassis.errors import InvalidRequest

UNAVAILABLE = "__debezium_unavailable_value"
"""What Debezium writes in place of a large value that an update left alone ("toasted" columns of PostgreSQL), unless
the connector is told to write something else."""
_IN_ITS_PLACE = (
    UNAVAILABLE,
    base64.b64encode(UNAVAILABLE.encode()).decode(),
    UNAVAILABLE.encode().hex(),
)
"""The same as a text, and as bytes in both ways in which they are written."""

_PART = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A field of the record, by its names from the outside in."""

    path: tuple[str, ...]

    def value(self, record: Mapping[str, object]) -> object:
        """The field's value; None when there is no such field. Raises InvalidRequest VALUE_UNAVAILABLE."""
        found: object = record
        for name in self.path:
            if not isinstance(found, Mapping):
                return None
            found = found.get(name)
        if _is_left_out(found):
            raise InvalidRequest(
                f"The record leaves out the value of {'.'.join(self.path)}, which this change did not touch; the table "
                "needs REPLICA IDENTITY FULL.",
                reason="VALUE_UNAVAILABLE",
            )
        return found


def _is_left_out(value: object) -> bool:
    """Whether something was written in the value's place: for arrays of texts an array that holds it, for arrays of
    numbers its bytes, for maps one that has it as a key."""
    if isinstance(value, list):
        return UNAVAILABLE in value or value == list(UNAVAILABLE.encode())
    return UNAVAILABLE in value if isinstance(value, Mapping) else value in _IN_ITS_PLACE


@dataclass(frozen=True, slots=True)
class Template:
    """A text such as ``articles/{id}``. ``{a.b}`` is the field b of the field a; ``{{`` and ``}}`` stand for braces."""

    parts: tuple[str | Placeholder, ...]

    @classmethod
    def parse(cls, text: object) -> Template:
        """Raises ValueError for what is no template."""
        if not isinstance(text, str):
            raise ValueError("a text is expected, with fields of the record as {name}")
        parts: list[str | Placeholder] = []
        end = 0
        for match in _PART.finditer(text):
            parts.append(text[end : match.start()])
            end = match.end()
            if match[1]:
                parts.append(Placeholder(tuple(match[1].split("."))))
            elif match[0] in ("{{", "}}"):
                parts.append(match[0][0])
            else:
                raise ValueError("a brace stands alone; write {{ or }} for the character itself")
        parts.append(text[end:])
        return cls(tuple(part for part in parts if part))

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """The record's fields that the text takes."""
        return tuple(part for part in self.parts if isinstance(part, Placeholder))

    @property
    def literal_beginning(self) -> str:
        """What every text made of this begins with."""
        beginning = ""
        for part in self.parts:
            if isinstance(part, Placeholder):
                break
            beginning += part
        return beginning

    def text(self, record: Mapping[str, object]) -> str:
        """Raises InvalidRequest MISSING_FIELD, VALUE_UNAVAILABLE."""
        return "".join(part if isinstance(part, str) else _text(part, part.value(record)) for part in self.parts)

    def optional_text(self, record: Mapping[str, object]) -> str:
        """Empty when a field is missing or null. Raises InvalidRequest VALUE_UNAVAILABLE."""
        values = [part if isinstance(part, str) else part.value(record) for part in self.parts]
        if any(value is None for value in values):
            return ""
        return "".join(_text(part, value) for part, value in zip(self.parts, values, strict=True))

    def identifier(self, record: Mapping[str, object]) -> str:
        """As ``text``, for ids: where several fields make one, "/" and "%" in their values are written as "%2F" and
        "%25", so that no two rows get the same id. Raises InvalidRequest MISSING_FIELD, VALUE_UNAVAILABLE."""
        several = len(self.placeholders) > 1
        made = ""
        for part in self.parts:
            if isinstance(part, str):
                made += part
                continue
            value = part.value(record)
            if isinstance(value, float | bool | list | dict) or value == "":
                raise _missing(part, "a text that is not empty, or a whole number")
            text = _text(part, value)
            made += text.replace("%", "%25").replace("/", "%2F") if several else text
        return made

    def value(self, record: Mapping[str, object]) -> object:
        """The field's own value, whatever its type, where the text is nothing but one field; else as
        ``optional_text``. None when the field is missing."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Placeholder):
            return self.parts[0].value(record)
        return self.optional_text(record) or None


def _text(part: str | Placeholder, value: object) -> str:
    if isinstance(part, str):
        return part
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise _missing(part, "a text, a number, true or false")


def _missing(part: Placeholder, expected: str) -> InvalidRequest:
    # The name is the mapping's, not the record's.
    return InvalidRequest(
        f"The record's field {'.'.join(part.path)} is missing or is not {expected}.",
        reason="MISSING_FIELD",
        metadata={"field": ".".join(part.path)},
    )
