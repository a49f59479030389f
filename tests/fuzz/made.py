"""Messages of any type, as Hypothesis makes them from their descriptors, and what becomes of their bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

TENANT = "acme"
DEPTH = 3
"""Of messages in messages; ``Struct`` recurs for ever."""

_WORDS = [
    "",
    "a",
    "acme",
    "guide",
    "public",
    "user:ann",
    "group:staff",
    "group:",
    "$or",
    "$near",
    "year",
    "../..",
    "%00",
]
_WORDS += ["a/b", "a\nb", "a\x00b", "é", "e\u0301", "‮abc", "\U0010ffff", "ǅ", "İ", "\ufeff", "🦆", "日本語", "x" * 513]
_WORDS += ["x" * 70_000, "0" * 32, "00000000-0000-0000-0000-000000000000", "{}", "'; --", "How do pumps work?"]
texts = st.one_of(st.sampled_from(_WORDS), st.text(max_size=30))
_BYTES = st.one_of(st.binary(max_size=60), texts.map(str.encode), st.sampled_from([b"\x00" * 5000, b"# T\n\ntext\n"]))
_FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 1e300, -1e300, 5e-324, math.nan, math.inf, -math.inf]

_Kind = FieldDescriptor


def _integers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.one_of(st.sampled_from([0, 1, 2, low, high, min(high, 100), min(high, 10_000)]), st.integers(low, high))


_BY_KIND: dict[int, Callable[[], st.SearchStrategy[Any]]] = {
    _Kind.CPPTYPE_INT32: lambda: _integers(-(2**31), 2**31 - 1),
    _Kind.CPPTYPE_INT64: lambda: _integers(-(2**63), 2**63 - 1),
    _Kind.CPPTYPE_UINT32: lambda: _integers(0, 2**32 - 1),
    _Kind.CPPTYPE_UINT64: lambda: _integers(0, 2**64 - 1),
    _Kind.CPPTYPE_BOOL: st.booleans,
    # Values that the enumeration does not have travel as well.
    _Kind.CPPTYPE_ENUM: lambda: st.one_of(st.integers(0, 4), st.sampled_from([99, 2**31 - 1, -1])),
    _Kind.CPPTYPE_FLOAT: lambda: st.sampled_from(
        [number for number in _FLOATS if abs(number) < 1e38 or number != number]
    ),
    _Kind.CPPTYPE_DOUBLE: lambda: st.one_of(st.sampled_from(_FLOATS), st.floats()),
}


@st.composite
def messages(draw: st.DrawFn, kind: Descriptor, depth: int = DEPTH) -> Message:
    """A message of the type with any of its fields set to anything that they can hold."""
    message = GetMessageClass(kind)()
    for field in kind.fields:
        if draw(st.integers(0, 9)) < 3:
            continue
        if field.message_type is not None and depth == 0:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _fill_map(draw, message, field, depth)
        elif field.is_repeated:
            for _ in range(draw(st.sampled_from([0, 1, 1, 2, 3, 70]))):
                if field.message_type is not None:
                    getattr(message, field.name).add().CopyFrom(draw(messages(field.message_type, depth - 1)))
                else:
                    getattr(message, field.name).append(draw(_value(field)))
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(draw(messages(field.message_type, depth - 1)))
        else:
            setattr(message, field.name, draw(_value(field)))
    return message


def _fill_map(draw: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    entry = field.message_type
    keys = draw(st.lists(_value(entry.fields_by_name["key"]), max_size=3))
    value = entry.fields_by_name["value"]
    for key in keys:
        if value.message_type is not None:
            getattr(message, field.name)[key].CopyFrom(draw(messages(value.message_type, depth - 1)))
        else:
            getattr(message, field.name)[key] = draw(_value(value))


def _value(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.type == _Kind.TYPE_BYTES:
        return _BYTES
    if field.cpp_type == _Kind.CPPTYPE_STRING:
        if field.name in ("tenant_id",):
            return st.one_of(st.just(TENANT), texts)
        return texts
    return _BY_KIND[field.cpp_type]()


@st.composite
def mangled(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes as they are, or cut, flipped, doubled, overwritten; or others."""
    data = bytearray(whole)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 5]))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.integers(0, 4)):
            case 0:
                del data[at:]
            case 1 if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 2:
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case 3:
                data[at:at] = draw(st.sampled_from(_PIECES))
            case 4:
                del data[at : at + draw(st.integers(1, 8))]
    return bytes(data)


def encoded(kind: Descriptor) -> st.SearchStrategy[bytes]:
    """Bytes of a message of the type, sound or not."""
    sound = messages(kind).map(lambda message: message.SerializeToString())
    return st.one_of(sound, sound.flatmap(mangled), st.binary(max_size=80))


_PIECES = [
    b"\xff" * 11,  # a number without an end
    b"\x0a\xff\xff\xff\xff\x0f",  # a length of 4 GiB
    b"\x0a\x02\xc3\x28",  # a text that is not UTF-8
    b"\x0b" * 120,  # groups in groups
    b"\x0a" * 300,
    b"\xfa\x3f\x05later",  # a field that nobody has
    b"\x00",
    b"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
]
