"""A world in which a second generation can be built: smaller chunks with the same embedder, or another model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.unit.ingest.world import (
    DIMENSIONS,
    START,
    TENANT,
    WRITER,
    Around,
    HashEmbedder,
    Stores,
    Tokens,
    World,
    straight,
)

from chassis.clock import ManualClock
from chassis.errors import DependencyUnavailable
from corpus.access import access_tokens
from corpus.analysis import analyse
from corpus.domain import DocumentKey
from corpus.ports import Prefilter
from ingest.embedding import EmbedPassages
from ingest.generations.figures import Comparison
from ingest.generations.keep import BuildPace, KeepGenerations
from ingest.generations.manage import ManageGenerations
from ingest.generations.recipes import EmbedderTarget, Recipes
from ingest.generations.write import IndexInGenerations
from ingest.index import IndexDocument
from ingest.ports import ModelInfo

TOKENS = Tokens()


class SecondEmbedder(HashEmbedder):
    """Another model, that may be down."""

    down = False

    async def model_info(self) -> ModelInfo:
        return ModelInfo("other-model", "r9", DIMENSIONS, 256)

    async def embed_passages(self, texts: Sequence[str], expected_revision: str) -> NDArray[np.float32]:
        if self.down:
            raise DependencyUnavailable("down", retry_after_seconds=0.0)
        assert expected_revision == "r9"
        return await super().embed_passages(texts, expected_revision)


class GenerationsWorld(World):
    """A worker that writes to every generation that is kept."""

    def __init__(
        self, around: Around = straight, stores: Stores | None = None, clock: ManualClock | None = None
    ) -> None:
        super().__init__(around, stores, clock=clock)
        self.second = SecondEmbedder()

    async def __aenter__(self) -> GenerationsWorld:
        await super().__aenter__()
        base = self.apply.index
        assert isinstance(base, IndexDocument)
        generations = self._through(self.stores.generations, "generations")
        self.rows = replace(self.rows, generations=generations)
        second = await self._exit.enter_async_context(EmbedPassages(self.second, self.stores.cache))
        targets = [
            EmbedderTarget(self.embedder, self.embed, TOKENS),
            EmbedderTarget(self.second, second, TOKENS),
        ]
        self.as_set = replace(base, rows=self.rows)
        """Cuts text as the settings say, whichever generation is active."""
        self.recipes = Recipes(self.as_set, targets)
        index = IndexInGenerations(self.generation, self.recipes, self.rows.chunks)
        self.apply = replace(self.apply, index=index, rows=self.rows)
        self.handler = replace(self.handler, apply=self.apply)
        self.operate = ManageGenerations(
            self.stores.generations,
            self.stores.tenants,
            self.stores.heads,
            self.stores.chunks,
            self.embedder,
            self.second,
            self.clock,
            seen_after_seconds=0.0,
        )
        return self

    def keeper(self, worker: str = "worker-1") -> KeepGenerations:
        return KeepGenerations(
            self._through(self.stores.generations, "generations"),
            self._through(self.stores.tenants, "tenants"),
            self._through(self.stores.heads, "heads"),
            self.rows,
            self.recipes,
            self.clock,
            worker,
            BuildPace(documents_per_second=1e9, at_once=1, pause_seconds=0.0),
        )

    async def put(self, document_id: str, version: int, text: str, *readers: str) -> None:
        event = await self.upsert(document_id, version, text, readers or ("group:staff",))
        outcome = await self.apply.apply(event)
        assert outcome.state == "applied"

    async def served(self, reader: str = "group:staff") -> dict[str, str]:
        """Text by document of what a search of the active generation may serve, by the rule of the head check: rows
        that the prefilter passes, of the version that the head names. Both indexes must agree."""
        plan = await self.stores.generations.plan()
        assert plan is not None
        return await self.served_by(plan.active.name, reader)

    async def served_by(self, generation: str, reader: str = "group:staff") -> dict[str, str]:
        prefilter = Prefilter(TENANT, access_tokens(TENANT, (reader,)), 0)
        (by_vector,) = await self.stores.vectors.search(
            generation, np.ones((1, DIMENSIONS), np.float32), 1000, prefilter
        )
        (by_term,) = await self.stores.lexical.search(generation, [analyse("text", "en")], 1000, prefilter)
        assert {each.chunk_id for each in by_vector} == {each.chunk_id for each in by_term}
        chunks = await self.stores.chunks.get_chunks(TENANT, [each.chunk_id for each in by_vector])
        texts: dict[str, list[tuple[int, str]]] = {}
        for each in by_vector:
            head = await self.stores.heads.get(DocumentKey(TENANT, each.document_id))
            allowed = head is not None and not head.access.tokens.isdisjoint(prefilter.access_tokens)
            if head is not None and allowed and head.chunks_version == each.chunks_version:
                chunk = chunks[each.chunk_id].chunk
                texts.setdefault(each.document_id, []).append((chunk.ordinal, chunk.text))
        return {each: "\n".join(text for _, text in sorted(parts)) for each, parts in texts.items()}


async def shadow(world: GenerationsWorld, **wanted: Any) -> str:
    """Creates a generation beside the active one, of smaller chunks unless said otherwise; its name."""
    plan = await world.operate.create(WRITER, **(wanted or {"chunk_target_tokens": 40}))
    assert plan.beside is not None
    return plan.beside.generation.name


async def promoted(world: GenerationsWorld) -> str:
    """Creates one, builds and promotes it; its name."""
    name = await shadow(world)
    await world.keeper().once()
    await world.operate.record_comparison(WRITER, name, passing(world.generation.current().name))
    await world.operate.promote(WRITER, name)
    return name


def passing(against: str) -> Comparison:
    """A comparison that nothing speaks against."""
    return Comparison(against, START, 10, 50, 0, 0.9, 0.8, 0.8, 0.6, 0.6, 30.0, 30.0)
