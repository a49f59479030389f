"""The stage: looks an answer up before anything is searched, and keeps one that was given.

An entry is never proof of a right to read. Whatever is found, the retriever is asked once more, right before it is
served, whether this caller may read every passage that it cites, and on whose access and which generation that rests.
If anything of it has changed, the entry is dropped and the question takes the long way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from chassis.cache.port import Cache
from chassis.clock import Clock
from chassis.errors import HeadwaterError
from chassis.identity import Caller
from chassis.telemetry import metrics
from gateway.domain import Draft, Outcome, Question, Retrieved, Usage
from gateway.plan import Plan
from gateway.stages.cache.context import context_of, exact_key, may_be_kept, similar_key
from gateway.stages.cache.entries import Entry, Row, entry_bytes, entry_of, rows_bytes, rows_of
from gateway.stages.cache.ports import QuestionVectors, Sources
from gateway.stages.cache.signature import signature

EXACT: Final = "exact"
SIMILAR: Final = "similar"
_ROWS_KEPT: Final = 16
"""Paraphrases of one question; 2 KB each for 384 numbers."""
_ROWS_TRIED: Final = 3
_MISSES_REMEMBERED: Final = 256
"""Vectors of questions that are being answered, which are needed again when their answers are kept."""

_Bucket = tuple[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How answers are kept.

    Attributes:
        exact: Whether an answer is served again for the same words.
        similar: Whether for words that mean the same.
        least_similarity: Cosine from which on they may.
        keep_seconds: How long at most.
        patience_seconds: What a lookup may take before the question goes the long way; the same holds for keeping.
        recipe: Digest of what shapes answers: generator, prompt, settings.
        models: Language model by name of the generator, for what a hit saves; others cost no tokens.
    """

    exact: bool
    similar: bool
    least_similarity: float
    keep_seconds: float
    recipe: str
    patience_seconds: float = 0.5
    models: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CacheHit:
    """An answer that may be served now: its draft, the generation that it was searched in, and the tokens that it took
    when it was written."""

    draft: Draft
    generation: str
    saved: Usage


class AnswerCache:
    """Answers by question, for one reader each; see the module.

    Nothing here raises but CancelledError: whatever can't be known, read or written is a miss.

    Args:
        described: Bytes of a question's ``retrieval``; see ``context_of``.
    """

    def __init__(
        self,
        cache: Cache,
        sources: Sources,
        vectors: QuestionVectors,
        clock: Clock,
        policy: CachePolicy,
        described: Callable[[object], bytes],
    ) -> None:
        self._cache = cache
        self._sources = sources
        self._vectors = vectors
        self._clock = clock
        self._policy = policy
        self._described = described
        self._missed: LRUCache[tuple[str, str], _Bucket] = LRUCache(_MISSES_REMEMBERED)

    async def find(self, question: Question, plan: Plan, caller: Caller) -> CacheHit | None:
        """An answer that this caller was given to this question, or to one that means the same."""
        if not may_be_kept(question, plan):
            metrics.GATEWAY_CACHE.add(1, cache=EXACT if self._policy.exact else SIMILAR, outcome="skipped")
            return None
        context = self._context(question, plan, caller)
        hit = await self._found(question, plan, context, caller)
        if hit is not None:
            self._note_savings(question, hit)
        return hit

    async def _found(self, question: Question, plan: Plan, context: str, caller: Caller) -> CacheHit | None:
        try:
            async with asyncio.timeout(self._policy.patience_seconds):
                if self._policy.exact:
                    key = exact_key(context, question, plan)
                    hit = await self._serve(EXACT, key, context, caller)
                    metrics.GATEWAY_CACHE.add(1, cache=EXACT, outcome="miss" if hit is None else "hit")
                    if hit is not None:
                        return hit
                if self._policy.similar:
                    hit = await self._find_similar(context, plan, caller)
                    metrics.GATEWAY_CACHE.add(1, cache=SIMILAR, outcome="miss" if hit is None else "hit")
                    return hit
        except (HeadwaterError, TimeoutError):
            metrics.GATEWAY_CACHE.add(1, cache=EXACT if self._policy.exact else SIMILAR, outcome="error")
        return None

    async def keep(self, question: Question, plan: Plan, caller: Caller, draft: Draft, retrieved: Retrieved) -> None:
        """Keeps an answer that was just given, unless it was made without something, cites nothing, holds personal data
        that was put back for its reader, or what it cites has changed meanwhile."""
        complete = draft.outcome is Outcome.ANSWERED and draft.citations and not (draft.degraded or retrieved.degraded)
        if not complete or draft.revealed or not may_be_kept(question, plan):
            return
        context = self._context(question, plan, caller)
        try:
            async with asyncio.timeout(self._policy.patience_seconds):
                standing = await self._sources.standing([each.key for each in draft.citations], caller)
                entry = Entry(
                    key=exact_key(context, question, plan),
                    context=context,
                    access=standing.access,
                    generation=retrieved.generation,
                    until=self._clock.now().timestamp() + self._policy.keep_seconds,
                    text=draft.text,
                    confidence=draft.confidence,
                    citations=draft.citations,
                    usage=draft.usage,
                    generator=draft.generator,
                    support=draft.support,
                    conflicts=draft.conflicts,
                )
                if entry.stands(standing):
                    await self._cache.put(entry.key, entry_bytes(entry), self._policy.keep_seconds)
                    if self._policy.similar:
                        await self._keep_similar(entry, plan, caller)
        except (HeadwaterError, TimeoutError):
            metrics.GATEWAY_CACHE.add(1, cache=EXACT if self._policy.exact else SIMILAR, outcome="error")

    def _context(self, question: Question, plan: Plan, caller: Caller) -> str:
        day: datetime = self._clock.now()
        return context_of(question, plan, caller, day, self._policy.recipe, self._described)

    async def _serve(self, kind: str, key: str, context: str, caller: Caller) -> CacheHit | None:
        """The entry under ``key``, if it stands; what does not is dropped."""
        value = await self._cache.get(key)
        if value is None:
            return None
        entry = entry_of(value)
        whole = entry is not None and entry.key == key and entry.context == context
        if entry is None or not whole or self._clock.now().timestamp() >= entry.until:
            await self._drop(kind, key, "corrupt" if not whole else "expired")
            return None
        if not entry.stands(await self._sources.standing([each.key for each in entry.citations], caller)):
            await self._drop(kind, key, "rejected")
            return None
        draft = Draft(
            Outcome.ANSWERED,
            entry.text,
            entry.confidence,
            entry.citations,
            Usage(),
            generator=entry.generator,
            support=entry.support,
            conflicts=entry.conflicts,
        )
        return CacheHit(draft, entry.generation, entry.usage)

    def _note_savings(self, question: Question, hit: CacheHit) -> None:
        used = hit.saved
        metrics.GATEWAY_CACHE_SAVED.add(used.prompt_tokens or used.context_tokens, direction="input")
        metrics.GATEWAY_CACHE_SAVED.add(used.completion_tokens, direction="output")
        model = self._policy.models.get(hit.draft.generator)
        if model is not None and question.account is not None:
            question.account.served(model, used.prompt_tokens, used.completion_tokens)

    async def _drop(self, kind: str, key: str, outcome: str) -> None:
        metrics.GATEWAY_CACHE.add(1, cache=kind, outcome=outcome)
        await self._cache.delete(key)

    async def _find_similar(self, context: str, plan: Plan, caller: Caller) -> CacheHit | None:
        found = await self._bucket(context, plan, caller)
        if found is None:
            return None
        bucket, vector = found
        rows = rows_of(await self._cache.get(bucket))
        scored = sorted(((row.similarity(vector), row.entry) for row in rows), reverse=True)
        for similarity, key in scored[:_ROWS_TRIED]:
            if similarity < self._policy.least_similarity:
                break
            hit = await self._serve(SIMILAR, key, context, caller)
            if hit is not None:
                return hit
        self._missed[context, plan.text] = found
        return None

    async def _keep_similar(self, entry: Entry, plan: Plan, caller: Caller) -> None:
        found = self._missed.pop((entry.context, plan.text), None) or await self._bucket(entry.context, plan, caller)
        if found is None:
            return
        bucket, vector = found
        # Of two that write at one time one is lost, and with it a hit.
        others = (row for row in rows_of(await self._cache.get(bucket)) if row.entry != entry.key)
        rows = (Row.of(vector, entry.key), *others)[:_ROWS_KEPT]
        await self._cache.put(bucket, rows_bytes(rows), self._policy.keep_seconds)

    async def _bucket(self, context: str, plan: Plan, caller: Caller) -> _Bucket | None:
        """Where questions like this one are kept, and its vector."""
        alike = signature(plan.text, plan.question_class)
        if alike is None:
            return None
        vector = await self._vectors.embed_question(plan.text, caller)
        return similar_key(context, vector.model, alike), vector.values
