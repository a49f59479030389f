"""Building a generation beside the active one, and keeping both complete.

A pass lists all heads and makes what is missing, from the documents' bytes, as a version of the same number:

    1  read the head      not live → nothing to do
    2  write its rows     ids are deterministic: a repeated or interrupted build leaves the same rows
    3  align their access with the head as it is by now
    4  seal the version   from here on it is no gap
    5  read the head      it names another version by now → again from 1

No head is written here, so a build can neither overtake nor undo a change. What is done is known from the stores alone:
a killed worker's build goes on where it was, in any worker. Passes go on while a generation is beside the active one,
because a change that could not be written to it leaves a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from chassis.clock import Clock
from chassis.errors import DocumentRejected, HeadwaterError, InvalidRequest
from chassis.telemetry.metrics import INGEST_GENERATION_MISSING
from corpus.domain import DocumentKey, Generation, Head, HeadState, Tenant
from corpus.ports import Generations, Heads, Tenants
from ingest.align import align_rows
from ingest.audit.repair import event_of
from ingest.domain import Upsert
from ingest.generations.figures import BUILD, BuildProgress, progress_from_text, progress_to_text
from ingest.generations.gaps import pages
from ingest.generations.recipes import Recipes
from ingest.rows import ChunkRows

_log = structlog.get_logger()

NOTED_EVERY_SECONDS = 2.0
TAKEN_OVER_AFTER_SECONDS = 15.0
"""A worker that noted nothing for so long is dead. Should it be slow instead, two build the same, which costs time and
nothing else."""
UNSEEN_AFTER_SECONDS = 5.0
"""Retrievers read the plan twice a second, and writes by an older plan end: nobody looks for these rows after this."""
FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 3_600.0
"""Between two attempts at a document that fails: it takes a parser, which live changes share, perhaps until its time is
up. Doubled from the first on."""
MOST_REMEMBERED = 10_000
"""Documents that failed. Those beyond are tried in every pass."""
ATTEMPTS = 3
"""At a document that changes all the time. Its changes are written to both generations by themselves."""


@dataclass(frozen=True, slots=True)
class BuildPace:
    """How fast gaps are filled.

    Attributes:
        documents_per_second: At most.
        at_once: Documents side by side.
        pause_seconds: Between two passes.
    """

    documents_per_second: float = 20.0
    at_once: int = 4
    pause_seconds: float = 5.0


@dataclass(slots=True)
class Failures:
    """Documents that could not be made, and when they are tried again."""

    clock: Clock
    _known: dict[tuple[DocumentKey, int, str], tuple[int, datetime, str]] = field(default_factory=dict)
    """(document, version, generation) → attempts, next one, reason."""

    def waits(self, head: Head, generation: str) -> str:
        """The reason of a failure after which this version is not tried again yet; "" if it may be tried."""
        known = self._known.get((head.key, head.chunks_version, generation))
        return known[2] if known is not None and self.clock.now() < known[1] else ""

    def tried(self, head: Head, generation: str, reason: str) -> None:
        """Takes in how an attempt ended, "" for well."""
        which = (head.key, head.chunks_version, generation)
        attempts = self._known.pop(which, (0,))[0]
        if not reason:
            return
        pause = min(FIRST_PAUSE_SECONDS * 2 ** min(attempts, 20), LONGEST_PAUSE_SECONDS)
        self._known[which] = (attempts + 1, self.clock.now() + timedelta(seconds=pause), reason)
        while len(self._known) > MOST_REMEMBERED:
            # The one that was tried longest ago: superseded versions are never tried again, and go this way.
            del self._known[next(iter(self._known))]


@dataclass(slots=True)
class _Build:
    """What is noted of a pass, now and then."""

    generations: Generations
    clock: Clock
    generation: Generation
    progress: BuildProgress

    async def add(self, *, done: int, failed: int = 0, reason: str = "") -> None:
        before = self.progress
        self.progress = replace(
            before, done=before.done + done, failed=before.failed + failed, reason=reason or before.reason
        )
        if self.clock.now() - before.updated_at >= timedelta(seconds=NOTED_EVERY_SECONDS):
            await self.note()

    async def note(self) -> None:
        self.progress = replace(self.progress, updated_at=self.clock.now())
        await self.generations.note(self.generation.name, BUILD, progress_to_text(self.progress))


@dataclass(frozen=True, slots=True)
class KeepGenerations:
    """Use case of the worker role, in the background."""

    generations: Generations
    tenants: Tenants
    heads: Heads
    rows: ChunkRows
    recipes: Recipes
    clock: Clock
    worker: str
    pace: BuildPace = field(default_factory=BuildPace)
    failures: Failures = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "failures", Failures(self.clock))

    async def run(self) -> None:
        """Passes for ever; a failed one is repeated."""
        while True:
            try:
                await self.once()
            except HeadwaterError as error:
                _log.warning("generations_not_kept", reason=error.reason)
            await asyncio.sleep(self.pace.pause_seconds)

    async def once(self) -> None:
        """Removes what is left of dropped generations, and makes one pass over those that are kept. Idempotent, and may
        stop at any point. Raises DependencyUnavailable, Overloaded, DeadlineExceeded."""
        plan = await self.generations.plan()
        if plan is None:
            return
        if plan.changed_at is None or self.clock.now() - plan.changed_at >= timedelta(seconds=UNSEEN_AFTER_SECONDS):
            for name in plan.leaving:
                await self._reclaim(name)
        if plan.beside is None:
            INGEST_GENERATION_MISSING.set(0)
            return
        build = await self._begin(plan.beside.generation)
        if build is None:
            return
        complete = True
        for generation in plan.kept:
            complete = await self._pass(generation, build) and complete
        progress = build.progress
        INGEST_GENERATION_MISSING.set(max(progress.documents - progress.done, 0))
        build.progress = replace(progress, complete_at=self.clock.now() if complete else None)
        await build.note()

    async def _begin(self, generation: Generation) -> _Build | None:
        """What this worker notes of its pass; None when another one builds."""
        known = progress_from_text(await self.generations.noted(generation.name, BUILD))
        now = self.clock.now()
        if known is not None and known.worker != self.worker:
            quiet = timedelta(seconds=TAKEN_OVER_AFTER_SECONDS + self.pace.pause_seconds)
            if now - known.updated_at < quiet:
                return None
        counts = [(await self.heads.counts(tenant.tenant_id)).documents for tenant in await self.tenants.list()]
        started = known.started_at if known is not None else now
        complete_at = known.complete_at if known is not None else None
        progress = BuildProgress(self.worker, started, now, sum(counts), complete_at=complete_at)
        build = _Build(self.generations, self.clock, generation, progress)
        await build.note()
        return build

    async def _pass(self, generation: Generation, build: _Build) -> bool:
        """Whether nothing is missing any more."""
        counted = generation == build.generation
        failed = 0
        for tenant in await self.tenants.list():
            async for page in pages(self.heads, self.rows.chunks, tenant.tenant_id, generation.name):
                if counted:
                    await build.add(done=page.documents - len(page.gaps))
                waiting = [reason for head in page.gaps if (reason := self.failures.waits(head, generation.name))]
                if waiting:
                    failed += len(waiting)
                    await build.add(done=0, failed=len(waiting), reason=waiting[-1])
                gaps = [head for head in page.gaps if not self.failures.waits(head, generation.name)]
                for start in range(0, len(gaps), self.pace.at_once):
                    part = gaps[start : start + self.pace.at_once]
                    if generation not in await self._kept():
                        return False
                    reasons = await asyncio.gather(*(self._make(head.key, generation, tenant) for head in part))
                    refused = [reason for reason in reasons if reason]
                    failed += len(refused)
                    await build.add(
                        done=len(part) - len(refused) if counted else 0,
                        failed=len(refused),
                        reason=refused[-1] if refused else "",
                    )
                    await asyncio.sleep(len(part) / self.pace.documents_per_second)
        return failed == 0

    async def _kept(self) -> Sequence[Generation]:
        plan = await self.generations.plan()
        return plan.kept if plan else ()

    async def _make(self, key: DocumentKey, generation: Generation, tenant: Tenant) -> str:
        """Fills one gap; returns why it could not be filled, or nothing. What is down is no fault of the document, and
        tried again in the next pass."""
        head: Head | None = None
        try:
            index = await self.recipes.beside(generation)
            for _ in range(ATTEMPTS):
                head = await self.heads.get(key)
                if head is None or head.state is not HeadState.LIVE:
                    return ""
                event = event_of(head)
                assert isinstance(event.change, Upsert)
                await index.index(event, event.change, generation)
                await align_rows(self.heads, self.rows, head)
                now = await self.tenants.get(key.tenant_id)
                if now is None or now.created_at != tenant.created_at:
                    # Deleted meanwhile, and what was written here is nobody's.
                    await self.rows.remove(key, head.chunks_version, generation.name)
                    return ""
                await self.rows.chunks.seal(key, head.chunks_version, generation.name)
                self.failures.tried(head, generation.name, "")
                again = await self.heads.get(key)
                if again is None or again.chunks_version == head.chunks_version:
                    return ""
        except (DocumentRejected, InvalidRequest) as error:
            if head is not None:
                self.failures.tried(head, generation.name, error.reason)
            _log.warning("document_not_in_generation", generation=generation.name, reason=error.reason)
            return error.reason
        except HeadwaterError as error:
            _log.warning("gap_not_filled", generation=generation.name, reason=error.reason)
            return error.reason
        return "CHANGES_ALL_THE_TIME"

    async def _reclaim(self, name: str) -> None:
        """The rows first, the name last: what is interrupted begins anew."""
        chunks = self.rows.chunks
        for tenant in await self.tenants.list():
            tenant_id, after = tenant.tenant_id, ""
            await self.rows.vectors.drop_tenant(tenant_id, name)
            await self.rows.lexical.drop_tenant(tenant_id, name)
            while page := await chunks.stored_versions(tenant_id, after=after):
                for version in page:
                    if version.generation == name:
                        key = DocumentKey(tenant_id, version.document_id)
                        await self.rows.forget(key, version.chunks_version, name)
                after = page[-1].document_id
        await self.generations.forget(name)
        plan = await self.generations.plan()
        # Somebody else changes the plan at the same time: the next pass takes the name out.
        if plan is not None and name in plan.leaving and await self.generations.change(plan.reclaimed(name)):
            _log.info("generation_reclaimed", generation=name)
