"""Giving the rows of a version the access that its document's head says."""

from __future__ import annotations

from corpus.domain import Head, HeadState
from corpus.ports import Heads
from ingest.rows import ChunkRows


async def align_rows(heads: Heads, rows: ChunkRows, written: Head) -> None:
    """Gives the rows of ``written.chunks_version`` the access of the head that names them now, if one does, and again
    until the head has stood still meanwhile. Idempotent. Raises DependencyUnavailable."""
    while True:
        head = await heads.get(written.key)
        if head is None or head.state is HeadState.DELETED or head.chunks_version != written.chunks_version:
            return
        await rows.set_access(head, head.access)
        again = await heads.get(written.key)
        if again is None or again.version == head.version:
            return
