"""How values are written into columns and fields, and back.

Decoded texts are remembered: access lists, principals and metadata repeat across documents, and reading them anew would
be most of the cost of a head check. What is returned is shared between callers, as everything in the domain is
immutable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache

from corpus.domain import Metadata, VersionOrigin
from corpus.metadata import metadata_from_json, metadata_to_json

_REMEMBERED_TEXTS = 4096
_REMEMBERED_CHARACTERS = 4096
"""Longer texts (an access list of thousands) are rare and would make the memory large: they are read anew."""


def strings_to_text(strings: Iterable[str]) -> str:
    """A JSON array; empty text for none."""
    listed = list(strings)
    return json.dumps(listed, ensure_ascii=False, separators=(",", ":")) if listed else ""


def strings_from_text(text: str) -> tuple[str, ...]:
    """Inverse of ``strings_to_text``."""
    return _remembered_strings(text) if len(text) <= _REMEMBERED_CHARACTERS else tuple(json.loads(text))


def token_set_from_text(text: str) -> frozenset[str]:
    """The strings as a set."""
    return _remembered_set(text) if len(text) <= _REMEMBERED_CHARACTERS else frozenset(json.loads(text))


def metadata_to_text(metadata: Metadata) -> str:
    """Typed JSON; empty text for no metadata."""
    return metadata_to_json(metadata) if metadata else ""


def metadata_from_text(text: str) -> Metadata:
    """Inverse of ``metadata_to_text``."""
    return _remembered_metadata(text) if len(text) <= _REMEMBERED_CHARACTERS else metadata_from_json(text)


def origin_to_text(origin: VersionOrigin | None) -> str:
    """JSON; empty text for none."""
    return json.dumps(asdict(origin), ensure_ascii=False, separators=(",", ":")) if origin else ""


def origin_from_text(text: str) -> VersionOrigin | None:
    """Inverse of ``origin_to_text``."""
    return VersionOrigin(**json.loads(text)) if text else None


@lru_cache(_REMEMBERED_TEXTS)
def _remembered_strings(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text)) if text else ()


@lru_cache(_REMEMBERED_TEXTS)
def _remembered_set(text: str) -> frozenset[str]:
    return frozenset(json.loads(text)) if text else frozenset()


@lru_cache(_REMEMBERED_TEXTS)
def _remembered_metadata(text: str) -> Metadata:
    return metadata_from_json(text) if text else {}


def id_list(ids: Iterable[str]) -> str:
    """Parameter for ``IN (SELECT value FROM json_each(?))``: one prepared statement for any number of ids."""
    return json.dumps(list(ids), ensure_ascii=False)
