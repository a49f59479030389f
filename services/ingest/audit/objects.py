"""Documents' bytes: those that a head needs and that are gone, and those that nothing needs any more.

An object is needed by live heads, by stored versions (a rollback reads it), by dead letters that may be replayed, and
by changes on their way. The last are not looked for: every accepted change has put its bytes, which makes them young,
and nothing is collected while a change has waited for half of the safety age. A replay puts nothing: its letter names
the bytes until its rows and head do. So whoever looks for names looks for waiting changes first, then goes the way of
the bytes: letters, versions, heads. What has moved on meanwhile is met again further on.

What is collected is set aside first, under ``collected/``, and removed when it has lain there for the safety age. A
change that is accepted in the very moment in which its bytes are set aside finds them there (``ingest.index``), and
whatever lies there and is needed after all is put back.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import structlog
from numpy.typing import NDArray

from chassis.clock import Clock
from chassis.errors import NotFound
from chassis.objectstore.port import ObjectStore
from corpus.dead_letters import DeadLetterStore, LetterFilter, LetterState
from corpus.domain import Head
from corpus.ports import ChangeLedger, ChunkStore, Heads
from ingest.audit.differences import Difference, DifferenceKind, StoreName
from ingest.audit.survey import Pace
from ingest.domain import collected_key

_log = structlog.get_logger()

PAGE = 500


@dataclass(slots=True)
class SurveyedObjects:
    """What a survey saw: suspects among keys, and heads whose bytes were not listed."""

    seen: int = 0
    unreferenced: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """Document → object key."""


@dataclass(frozen=True, slots=True)
class AuditObjects:
    """Compares the object store with whatever names objects."""

    heads: Heads
    chunks: ChunkStore
    ledger: ChangeLedger
    letters: DeadLetterStore
    objects: ObjectStore
    clock: Clock
    safety_age_seconds: float

    async def survey(self, tenant_id: str, pace: Pace) -> SurveyedObjects:
        """Finds suspects. Holds 8 bytes per object. Raises DependencyUnavailable."""
        found = SurveyedObjects()
        oldest_kept = await self._oldest_kept(tenant_id)
        needed = await self._needed(tenant_id, pace)
        listed = array("Q")
        for prefix in (f"documents/{tenant_id}/", f"uploads/{tenant_id}/"):
            async for entry in self.objects.entries(prefix):
                found.seen += 1
                listed.append(_hash(entry.key))
                if entry.modified_at < oldest_kept and not _contains(needed, entry.key):
                    found.unreferenced.append(entry.key)
        there = _sorted(listed)
        async for head in self._live_heads(tenant_id):
            if head.object_key and not _contains(there, head.object_key):
                found.missing[head.key.document_id] = head.object_key
        return found

    async def confirm(self, tenant_id: str, surveyed: SurveyedObjects) -> list[Difference]:
        """Those suspects that are as they were. Bytes that lie aside while a head needs them count as missing: they can
        be put back."""
        differences = []
        oldest_kept = await self._oldest_kept(tenant_id)
        for key in surveyed.unreferenced:
            if await self._is_older(key, oldest_kept):
                differences.append(
                    Difference(DifferenceKind.UNREFERENCED, StoreName.OBJECTS, tenant_id, object_key=key)
                )
        heads = await self.heads.get_many(tenant_id, surveyed.missing.keys())
        for document_id, key in surveyed.missing.items():
            head = heads.get(document_id)
            if head is None or head.object_key != key or await self.objects.exists(key):
                continue
            differences.append(
                Difference(
                    DifferenceKind.MISSING,
                    StoreName.OBJECTS,
                    tenant_id,
                    document_id,
                    head.chunks_version,
                    head.generation,
                    object_key=key,
                )
            )
        return differences

    async def collect(self, tenant_id: str, surveyed: SurveyedObjects, pace: Pace) -> int:
        """Puts back what lies aside and is needed, removes what was set aside long ago, sets unreferenced objects
        aside, and returns how many those were. Whether suspects are needed is looked up again here, for a survey may be
        minutes old; those that are, are suspects no longer. Idempotent. Raises DependencyUnavailable."""
        aside = [entry async for entry in self.objects.entries(collected_key(f"documents/{tenant_id}/"))]
        if not aside and not surveyed.unreferenced:
            return 0
        oldest_kept = await self._oldest_kept(tenant_id)
        needed = await self._needed(tenant_id, pace)
        for entry in aside:
            key = entry.key.removeprefix(collected_key(""))
            if _contains(needed, key) and not await self.objects.exists(key):
                await self._put_back(key)
            elif entry.modified_at < oldest_kept:
                await self.objects.delete(entry.key)
        surveyed.unreferenced = [key for key in surveyed.unreferenced if not _contains(needed, key)]
        return sum([await self._set_aside(key, oldest_kept) for key in surveyed.unreferenced])

    async def _put_back(self, key: str) -> None:
        try:
            await self.objects.put(key, await self.objects.get(collected_key(key)))
        except NotFound:
            return  # by somebody else, who has removed it here
        _log.warning("object_put_back")

    async def _set_aside(self, key: str, oldest_kept: datetime) -> int:
        try:
            data = await self.objects.get(key)
        except NotFound:
            return 0
        if key.startswith("documents/"):
            # What a broken upload left behind is nobody's document.
            await self.objects.put(collected_key(key), data)
        if not await self._is_older(key, oldest_kept):
            # Put again since, for a change that may be applied already.
            return 0
        await self.objects.delete(key)
        return 1

    async def _is_older(self, key: str, moment: datetime) -> bool:
        return any([each.modified_at < moment async for each in self.objects.entries(key) if each.key == key])

    async def _needed(self, tenant_id: str, pace: Pace) -> NDArray[np.uint64]:
        """Hashes of the keys that something names, in the order in which bytes go from name to name."""
        needed = array("Q")
        # A letter whose replay fails is open again: it may be so by the time that those in replay are listed.
        for state in (LetterState.OPEN, LetterState.REPLAYING, LetterState.OPEN):
            last = None
            while letters := await self.letters.list(LetterFilter(tenant_id=tenant_id, state=state), after=last):
                needed.extend(_hash(letter.object_key) for letter in letters if letter.object_key)
                last = (letters[-1].last_failed_at, letters[-1].letter_id)
        after = ""
        while versions := await self.chunks.stored_versions(tenant_id, after=after):
            needed.extend(_hash(version.object_key) for version in versions if version.object_key)
            after = versions[-1].document_id
            await pace.spent(len(versions))
        async for head in self._live_heads(tenant_id):
            needed.append(_hash(head.object_key))
        return _sorted(needed)

    async def _live_heads(self, tenant_id: str) -> AsyncIterator[Head]:
        after = ""
        while page := await self.heads.list(tenant_id, after=after, limit=PAGE):
            for head in page:
                yield head
            after = page[-1].key.document_id

    async def _oldest_kept(self, tenant_id: str) -> datetime:
        """Objects older than this may be collected if nothing names them."""
        limit = self._safely_before()
        waiting = await self.ledger.oldest_pending(tenant_id, 1)
        if waiting and waiting[0].accepted_at < self.clock.now() - timedelta(seconds=self.safety_age_seconds / 2):
            _log.warning("objects_not_collected", reason="CHANGES_WAIT_TOO_LONG")
            return datetime.min.replace(tzinfo=limit.tzinfo)
        return limit

    def _safely_before(self) -> datetime:
        return self.clock.now() - timedelta(seconds=self.safety_age_seconds)


def _hash(key: str) -> int:
    # Two keys with one hash keep an object that nobody needs, no more.
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def _sorted(hashes: array[int]) -> NDArray[np.uint64]:
    return np.sort(np.frombuffer(hashes, dtype=np.uint64)) if hashes else np.zeros(0, dtype=np.uint64)


def _contains(hashes: NDArray[np.uint64], key: str) -> bool:
    wanted = np.uint64(_hash(key))
    place = int(np.searchsorted(hashes, wanted))
    return place < len(hashes) and bool(hashes[place] == wanted)
