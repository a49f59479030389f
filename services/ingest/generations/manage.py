"""What operators do with generations: each is a compare-and-set of the plan. The work is done by the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from chassis.clock import Clock
from chassis.errors import Conflict, FailedPrecondition, HeadwaterError, InvalidRequest
from chassis.identity import Caller, Scope
from corpus.generation_plan import BesideRole, GenerationPlan
from corpus.ports import ChunkStore, Generations, Heads, Tenants
from ingest.generation import chunk_target_of, generation_of
from ingest.generations import gaps
from ingest.generations.figures import (
    BUILD,
    COMPARISON,
    BuildProgress,
    Comparison,
    VerdictRules,
    comparison_from_text,
    comparison_to_text,
    objections,
    progress_from_text,
)
from ingest.ports import Embedder

_log = structlog.get_logger()

SEEN_AFTER_SECONDS = 1.0
"""Workers read the plan before and after they write a version, so this is for versions under way."""
LEAST_CHUNK_TOKENS = 32
RESETS = 5
"""Attempts at taking back what a promotion that failed has asked of writers, a second more before each."""
_resets: set[asyncio.Task[None]] = set()
"""Under way: the event loop itself remembers no tasks."""


@dataclass(frozen=True, slots=True)
class GenerationStatus:
    """Where generations stand. Without a plan nothing was ingested yet."""

    plan: GenerationPlan | None = None
    progress: BuildProgress | None = None
    missing: int = 0
    """Live documents that are not complete in the generation beside the active one, counted now."""
    comparison: Comparison | None = None
    objections: Sequence[str] = ()
    now: datetime | None = None


@dataclass(frozen=True, slots=True)
class ManageGenerations:
    """Use cases of administrators. ``second`` is the embedder for a shadow with another model, if there is one."""

    generations: Generations
    tenants: Tenants
    heads: Heads
    chunks: ChunkStore
    embedder: Embedder
    second: Embedder | None
    clock: Clock
    rules: VerdictRules = field(default_factory=VerdictRules)
    seen_after_seconds: float = SEEN_AFTER_SECONDS

    async def status(self, caller: Caller) -> GenerationStatus:
        """Plan, progress and verdict."""
        caller.require(Scope.ADMIN)
        plan = await self.generations.plan()
        if plan is None or plan.beside is None:
            return GenerationStatus(plan, now=self.clock.now())
        name = plan.beside.generation.name
        comparison = comparison_from_text(await self.generations.noted(name, COMPARISON))
        return GenerationStatus(
            plan,
            progress_from_text(await self.generations.noted(name, BUILD)),
            await self._missing(name),
            comparison,
            objections(comparison, plan.active.name, self.rules) if plan.beside.role is BesideRole.SHADOW else (),
            self.clock.now(),
        )

    async def create(
        self, caller: Caller, *, chunk_target_tokens: int = 0, second_embedder: bool = False
    ) -> GenerationPlan:
        """Begins to build a generation with chunks of that size (0: as now) and the model of that embedder. Raises
        InvalidRequest BAD_CHUNK_SIZE; FailedPrecondition (NO_GENERATION, GENERATION_BESIDE, SAME_GENERATION,
        NO_SECOND_EMBEDDER); Conflict PLAN_CHANGED; DependencyUnavailable when the embedder does not answer."""
        caller.require(Scope.ADMIN)
        plan = await self._plan()
        if second_embedder and self.second is None:
            raise FailedPrecondition(
                "No second embedder is configured: set HEADWATER_SHADOW_EMBEDDER_TARGET for ingest and retriever.",
                reason="NO_SECOND_EMBEDDER",
            )
        embedder = self.second if second_embedder and self.second is not None else self.embedder
        info = await embedder.model_info()
        target = chunk_target_tokens or chunk_target_of(plan.active) or 0
        if not LEAST_CHUNK_TOKENS <= target <= info.max_tokens:
            raise InvalidRequest(
                f"Chunks have {LEAST_CHUNK_TOKENS} to {info.max_tokens} tokens with this model.",
                reason="BAD_CHUNK_SIZE",
            )
        made = generation_of(info, target, number=plan.revision + 1)
        active = plan.active
        if replace(made, name=active.name) == active:
            raise FailedPrecondition(
                f"The active generation {active.name} is made with just these settings.", reason="SAME_GENERATION"
            )
        return await self._change(plan.with_shadow(made, self.clock.now()))

    async def record_comparison(self, caller: Caller, name: str, comparison: Comparison) -> Sequence[str]:
        """Keeps the figures of a comparison, and returns what speaks against a promotion. Raises as ``create``, and
        FailedPrecondition NOT_BESIDE."""
        caller.require(Scope.ADMIN)
        plan = await self._beside(name, None)
        noted = replace(comparison, at=self.clock.now())
        await self.generations.note(name, COMPARISON, comparison_to_text(noted))
        return objections(noted, plan.active.name, self.rules)

    async def promote(self, caller: Caller, name: str, *, force: bool = False, reason: str = "") -> GenerationPlan:
        """Makes the shadow what is searched.

        1. The comparison passes, or ``force`` with a reason says why it need not.
        2. From now on no change is committed before it is in the shadow, too.
        3. Nothing is missing there, whatever ``force`` says.
        4. The two change places.

        Raises FailedPrecondition (NOT_BESIDE, VERDICT_FAILED, GENERATION_INCOMPLETE), InvalidRequest REASON_MISSING,
        Conflict PLAN_CHANGED.
        """
        caller.require(Scope.ADMIN)
        plan = await self._beside(name, BesideRole.SHADOW)
        comparison = comparison_from_text(await self.generations.noted(name, COMPARISON))
        against = objections(comparison, plan.active.name, self.rules)
        if against and not force:
            raise FailedPrecondition(
                " ".join(against) + " Compare it (headwater generation compare), or promote with --force and a reason.",
                reason="VERDICT_FAILED",
            )
        if against and not reason.strip():
            raise InvalidRequest("Say why it is promoted against its verdict: --reason.", reason="REASON_MISSING")
        try:
            required = await self._change(plan.requiring(True))
            await asyncio.sleep(self.seen_after_seconds)
            await self._require_complete(name)
            return await self._swap(required, "promoted" + (f", forced: {reason.strip()}" if against else ""), caller)
        except BaseException:
            # Also when the caller's time is up, which cancels this: changes would wait for the shadow ever after. The
            # task goes on if this is cancelled once more.
            reset = asyncio.create_task(self._require_no_longer(name))
            _resets.add(reset)
            reset.add_done_callback(_resets.discard)
            await asyncio.shield(reset)
            raise

    async def _require_no_longer(self, name: str) -> None:
        """Whoever else is about to promote it notices, and is told of a conflict. Never raises a HeadwaterError: what
        ended the promotion is what its caller is told."""
        for attempt in range(RESETS):
            await asyncio.sleep(attempt * self.seen_after_seconds)
            try:
                plan = await self.generations.plan()
                beside = plan.beside if plan is not None else None
                if plan is None or beside is None or beside.generation.name != name or not beside.required:
                    return
                if await self.generations.change(plan.requiring(False)):
                    return
            except HeadwaterError as error:
                _log.warning("generation_still_required", generation=name, reason=error.reason)

    async def roll_back(self, caller: Caller, *, force: bool = False) -> GenerationPlan:
        """Makes the previous generation what is searched, at once. Raises FailedPrecondition (NOT_BESIDE,
        GENERATION_INCOMPLETE unless forced: then documents that changed since are found again a moment later),
        Conflict PLAN_CHANGED."""
        caller.require(Scope.ADMIN)
        plan = await self._plan()
        if plan.beside is None or plan.beside.role is not BesideRole.PREVIOUS:
            raise FailedPrecondition("There is no previous generation to roll back to.", reason="NOT_BESIDE")
        if not force:
            await self._require_complete(plan.beside.generation.name)
        return await self._swap(plan, "rolled back", caller)

    async def drop(self, caller: Caller, name: str) -> GenerationPlan:
        """Keeps the generation no longer; workers remove its rows. Raises FailedPrecondition (NOT_BESIDE;
        GENERATION_INCOMPLETE when it is the previous one and holds what the active one lacks), Conflict
        PLAN_CHANGED."""
        caller.require(Scope.ADMIN)
        plan = await self._beside(name, None)
        await self._require_complete(plan.active.name)
        _log.info("generation_dropped", generation=name, by=caller.subject)
        return await self._change(plan.without_beside(self.clock.now()))

    async def _swap(self, plan: GenerationPlan, reason: str, caller: Caller) -> GenerationPlan:
        swapped = await self._change(plan.swapped(self.clock.now(), reason))
        _log.info("generation_swapped", active=swapped.active.name, reason=reason, by=caller.subject)
        return swapped

    async def _plan(self) -> GenerationPlan:
        plan = await self.generations.plan()
        if plan is None:
            raise FailedPrecondition("Nothing was ingested yet, so there is no generation.", reason="NO_GENERATION")
        return plan

    async def _beside(self, name: str, role: BesideRole | None) -> GenerationPlan:
        plan = await self._plan()
        if plan.beside is None or plan.beside.generation.name != name or role not in (None, plan.beside.role):
            raise FailedPrecondition(
                f"{name or 'That'} is not {'the ' + role.value if role else 'a generation'} beside the active one; "
                "headwater generation status names what there is.",
                reason="NOT_BESIDE",
            )
        return plan

    async def _missing(self, name: str) -> int:
        return await gaps.count(self.tenants, self.heads, self.chunks, name)

    async def _require_complete(self, name: str) -> None:
        missing = await self._missing(name)
        if missing:
            raise FailedPrecondition(
                f"{missing} documents are not complete in generation {name} yet; headwater generation status shows"
                " how far it is.",
                reason="GENERATION_INCOMPLETE",
                metadata={"missing": str(missing)},
            )

    async def _change(self, plan: GenerationPlan) -> GenerationPlan:
        if not await self.generations.change(plan):
            raise Conflict(
                "Somebody else changed the generations at the same time; look, and try again.", reason="PLAN_CHANGED"
            )
        return plan
