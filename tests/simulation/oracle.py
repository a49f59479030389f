"""What every document should be, from nothing but the changes in the log; knows nothing of how ingestion works.

The oracle is the fold of the log: of one document, a change counts when its version is greater than that of every
change before it that counted. For documents whose greatest version is an upsert or a delete this is the fold by
greatest version, whatever the order was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.unit.ingest.world import CHUNKER, LineParser

from ingest.domain import Delete, DocumentChange, SetAccess, Upsert

TEXTS = (b"One valve.\nTwo pumps.", b"Three filters.")
BAD, BAD_LEVEL = b"BAD bytes", 5
"""Text that no parser takes, and the level by which the oracle knows it."""


@dataclass(frozen=True)
class Expected:
    """What the oracle says of one document."""

    version: int
    content: Upsert | None = None
    readers: tuple[str, ...] = ()
    level: int = 0
    rows: int = 0
    """The version under which its chunks are stored: of the change that brought this content, in the log's order."""

    def readable_by(self, group: str, clearance: int) -> bool:
        return self.content is not None and group in self.readers and self.level <= clearance


def fold(events: Iterable[DocumentChange]) -> dict[str, Expected]:
    """By document id."""
    state: dict[str, Expected] = {}
    for event in events:
        name = event.key.document_id
        after = step(state.get(name), event)
        if after is not None:
            state[name] = after
    return state


def step(now: Expected | None, event: DocumentChange) -> Expected | None:
    """The document after one more change."""
    if now is not None and event.version <= now.version:
        return now
    match event.change:
        case Upsert(draft=draft) as upsert:
            if draft.security_level == BAD_LEVEL:
                return now  # a dead letter
            kept = now is not None and now.content is not None and same_content(now.content, upsert)
            rows = now.rows if now is not None and kept else event.version
            return Expected(event.version, upsert, draft.principals, draft.security_level, rows)
        case Delete():
            return Expected(event.version)
        case SetAccess(principals=principals, security_level=level):
            if now is None or now.content is None:
                return Expected(event.version)
            return Expected(event.version, now.content, principals, level, now.rows)


def same_content(one: Upsert, other: Upsert) -> bool:
    """Whether the one's chunks serve for the other."""
    return one.content.sha256 == other.content.sha256 and one.draft.doc_type == other.draft.doc_type


async def chunk_hashes(sha256: str) -> Sequence[str]:
    """SHA-256 of the chunks of one of the texts, in order."""
    if sha256 not in _HASHES:
        (data,) = [each for each in TEXTS if hashlib.sha256(each).hexdigest() == sha256]
        chunked = await CHUNKER.chunk(await LineParser().parse(data, "a.txt", ""), "")
        _HASHES[sha256] = [hashlib.sha256(piece.text.encode()).hexdigest() for piece in chunked.chunks]
    return _HASHES[sha256]


_HASHES: dict[str, Sequence[str]] = {}
