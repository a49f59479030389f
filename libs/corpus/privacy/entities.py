"""Nouns of privacy: kinds of personal data, and where a text holds them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EntityKind(StrEnum):
    """What a span of text is. Values are the words in settings, metadata and placeholders."""

    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    IBAN = "iban"
    SSN = "ssn"
    IP = "ip"
    SECRET = "secret"  # noqa: S105 - the name of a kind
    """A credential: a key, a token, or the password inside a URL."""


ALL_KINDS: frozenset[EntityKind] = frozenset(EntityKind)


@dataclass(frozen=True, slots=True)
class Entity:
    """``text[start:end]`` is personal data of a kind; offsets in code points."""

    kind: EntityKind
    start: int
    end: int
