"""The head check: may this caller be shown this candidate now?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from corpus.domain import HeadState, ServedHead


class Rejection(StrEnum):
    """Why a candidate is not served. For metrics only: callers are never told which it was."""

    UNKNOWN = "unknown"
    """No head: an orphan of a write that was never committed."""
    DELETED = "deleted"
    SUPERSEDED = "superseded"
    """The head names another version's chunks."""
    EXPIRED = "expired"
    HELD = "held"
    """Kept back until somebody has looked at it (docs/review.md)."""
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks, in the form heads are compared with."""

    tenant_id: str
    access_tokens: frozenset[str]
    clearance: int


def rejection(head: ServedHead | None, chunks_version: int, reader: Reader, now: datetime) -> Rejection | None:
    """Why chunks of this version must not be shown to the reader; None when they may. In every generation that is kept
    they are made from the same text (docs/generations.md)."""
    if head is None or head.key.tenant_id != reader.tenant_id:
        return Rejection.UNKNOWN
    if head.state is not HeadState.LIVE:
        return Rejection.DELETED
    if head.held:
        return Rejection.HELD
    if head.chunks_version != chunks_version:
        return Rejection.SUPERSEDED
    if head.expires_at is not None and head.expires_at <= now:
        return Rejection.EXPIRED
    if head.access.security_level > reader.clearance or head.access.tokens.isdisjoint(reader.access_tokens):
        return Rejection.DENIED
    return None


def overtaken(head: ServedHead | None, chunks_version: int, reader: Reader, now: datetime) -> bool:
    """Whether chunks of this version gave way to newer ones that the reader may be shown. False for what is deleted,
    expired or not for him, so nobody learns of a change of those by how long his search takes."""
    if head is None or head.chunks_version <= chunks_version:
        return False
    return rejection(head, head.chunks_version, reader, now) is None
