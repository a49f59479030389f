"""Between the rows of a version and its document's head: access that is the head's, and whether rows may go."""

from __future__ import annotations

from corpus.domain import ChangeState, DocumentKey, Head, HeadState
from corpus.ports import ChangeLedger, Heads
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


async def is_wanted(heads: Heads, ledger: ChangeLedger, key: DocumentKey, chunks_version: int) -> bool:
    """Whether a head names the version, or may in a moment: a change that is tried again finds rows that an earlier
    attempt left, however old they are. To be asked just before they are removed. The ledger comes first: a change that
    ended since has written its head before."""
    record = await ledger.find(key, chunks_version)
    if record is not None and record.state is ChangeState.PENDING:
        return True
    head = await heads.get(key)
    return head is not None and head.state is HeadState.LIVE and head.chunks_version == chunks_version
