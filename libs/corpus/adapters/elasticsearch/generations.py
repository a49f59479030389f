"""The registry of generations in Elasticsearch."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

from chassis.elasticsearch.bulk import Write, bulk
from chassis.elasticsearch.client import Store
from chassis.elasticsearch.documents import MAX_HITS, Found, document_id, get, search_now
from chassis.elasticsearch.indexes import IndexSpec
from chassis.errors import DependencyUnavailable
from corpus.domain import Generation
from corpus.generation_plan import GenerationPlan, plan_from_text, plan_to_text
from corpus.generations import validate_generation_name

_ALIAS: Final = "generations"
_PLAN: Final = "-plan"
"""Id of the one document that is the plan: no generation's name begins with a dash."""
_ACTIVE: Final = "-active"
"""What there was before there were plans."""
_ATTEMPTS: Final = 20
_PAUSE_SECONDS: Final = 0.05

_BEFORE_PLANS: Final = ("name", "model_id", "model_revision", "dimensions", "chunker", "analyser")

SPECS: Final = (
    IndexSpec(
        alias=_ALIAS,
        properties={
            "name": {"type": "keyword"},
            "model_id": {"type": "keyword"},
            "model_revision": {"type": "keyword"},
            "dimensions": {"type": "integer"},
            "chunker": {"type": "keyword"},
            "analyser": {"type": "keyword"},
            # Read back and never searched.
            "plan": {"type": "keyword", "index": False, "doc_values": False},
            "generation": {"type": "keyword"},
            "about": {"type": "keyword"},
            "text": {"type": "keyword", "index": False, "doc_values": False},
        },
    ),
)

_ABOUTS: Final = "-about"


class ElasticsearchGenerations:
    """The plan is one document, replaced as a whole by Elasticsearch's own compare-and-set. What is noted about a
    generation is a document each, under an id of both names."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alias = store.name(_ALIAS)

    async def activate(self, generation: Generation) -> None:
        """Makes the generation the active one; see the port."""
        validate_generation_name(generation.name)
        for _ in range(_ATTEMPTS):
            found = await get(self._store, self._alias, _PLAN)
            plan = _plan_of(found) if found else await self._before_plans()
            if found is not None and plan is not None and plan.active == generation:
                return
            first = plan
            if plan is None or plan.active != generation:
                first = GenerationPlan(plan.revision + 1 if plan else 1, generation)
            assert first is not None
            if await self._write(first, found):
                return
            # By chance, so that those who collided do not collide again.
            await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311
        raise DependencyUnavailable(
            "Other processes change the plan of generations all the time: retry later.",
            reason="PLAN_CONTENDED",
            retry_after_seconds=1.0,
        )

    async def active(self) -> Generation | None:
        """The active generation, or None before the first."""
        plan = await self.plan()
        return plan.active if plan else None

    async def plan(self) -> GenerationPlan | None:
        """The plan, or None before the first generation. In real time."""
        found = await get(self._store, self._alias, _PLAN)
        return _plan_of(found) if found else await self._before_plans()

    async def change(self, plan: GenerationPlan) -> bool:
        """Replaces the plan; see the port."""
        found = await get(self._store, self._alias, _PLAN)
        known = _plan_of(found) if found else await self._before_plans()
        if known is None or known.revision != plan.revision - 1:
            return False
        return await self._write(plan, found)

    async def note(self, generation: str, about: str, text: str) -> None:
        """Keeps a text; see the port."""
        row = {"generation": generation, "about": about, "text": text}
        await bulk(self._store, [Write(self._alias, document_id(_ABOUTS, generation, about), row)])

    async def noted(self, generation: str, about: str) -> str:
        """The text, or ""."""
        found = await get(self._store, self._alias, document_id(_ABOUTS, generation, about))
        return str(found.source["text"]) if found else ""

    async def forget(self, generation: str) -> None:
        """Removes all texts about the generation."""
        of_generation = {"term": {"generation": generation}}
        found = await search_now(self._store, self._alias, query=of_generation, size=MAX_HITS, source=False)
        await bulk(self._store, [Write(self._alias, hit["_id"], None) for hit in found["hits"]["hits"]])

    async def _write(self, plan: GenerationPlan, found: Found | None) -> bool:
        row: dict[str, Any] = {"plan": plan_to_text(plan)}
        write = (
            Write(self._alias, _PLAN, row, create=True)
            if found is None
            else Write(self._alias, _PLAN, row, seq_no=found.seq_no, primary_term=found.primary_term)
        )
        [written] = await bulk(self._store, [write])
        return not written.conflict

    async def _before_plans(self) -> GenerationPlan | None:
        found = await get(self._store, self._alias, _ACTIVE)
        if found is None:
            return None
        return GenerationPlan(1, Generation(**{name: found.source[name] for name in _BEFORE_PLANS}))


def _plan_of(found: Found) -> GenerationPlan:
    return plan_from_text(found.source["plan"])
