"""Passages of many documents share the embedder's calls."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.ingest.world import HashEmbedder, stop

from chassis.errors import Defect, DependencyUnavailable, Overloaded
from corpus.adapters.memory.embedding_cache import MemoryEmbeddingCache
from corpus.domain import Generation
from ingest.embedding import CALLS_IN_FLIGHT, MAX_TEXTS_PER_CALL, EmbedPassages

GENERATION = Generation("g1", "hash-model", "r1", 8, "c", "a")


class Gated(HashEmbedder):
    """Answers when it is let; fails as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.failures: list[BaseException] = []

    async def embed_passages(self, texts: list[str], expected_revision: str) -> NDArray[np.float32]:
        self.calls.append(list(texts))
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.calls.pop()
        return await super().embed_passages(texts, expected_revision)


async def test_vectors_come_in_the_order_of_the_texts_and_equal_texts_are_embedded_once() -> None:
    embedder = HashEmbedder()
    async with EmbedPassages(embedder, MemoryEmbeddingCache()) as embed:
        vectors = await embed.embed(["a", "b", "a"], GENERATION)
        assert np.array_equal(vectors[0], vectors[2])
        assert not np.array_equal(vectors[0], vectors[1])
        assert sorted(embedder.texts) == ["a", "b"]


async def test_what_was_embedded_once_is_never_embedded_again() -> None:
    embedder, cache = HashEmbedder(), MemoryEmbeddingCache()
    async with EmbedPassages(embedder, cache) as embed:
        first = await embed.embed(["a", "b"], GENERATION)
    async with EmbedPassages(embedder, cache) as embed:
        second = await embed.embed(["b", "a", "c"], GENERATION)
    assert np.array_equal(first[0], second[1])
    assert np.array_equal(first[1], second[0])
    assert embedder.texts == ["a", "b", "c"]


async def test_what_another_model_made_of_a_text_is_not_taken() -> None:
    embedder, cache = HashEmbedder(), MemoryEmbeddingCache()
    async with EmbedPassages(embedder, cache) as embed:
        for revision in ("r1", "r2"):
            await embed.embed(["a"], replace(GENERATION, model_revision=revision))
    assert embedder.texts == ["a", "a"]


async def test_no_text_is_no_call() -> None:
    embedder = HashEmbedder()
    async with EmbedPassages(embedder, MemoryEmbeddingCache()) as embed:
        assert await embed.embed([], GENERATION) == []
    assert embedder.calls == []


async def test_a_lone_document_does_not_wait_for_others() -> None:
    embedder = HashEmbedder()
    async with asyncio.timeout(2), EmbedPassages(embedder, MemoryEmbeddingCache()) as embed:
        await embed.embed(["alone"], GENERATION)
    assert embedder.calls == [["alone"]]


async def test_documents_that_wait_share_calls_and_no_call_is_too_large() -> None:
    embedder = Gated()
    async with EmbedPassages(embedder, MemoryEmbeddingCache()) as embed:
        documents = [asyncio.create_task(embed.embed([f"{d}-{n}" for n in range(30)], GENERATION)) for d in range(12)]
        await asyncio.sleep(0)
        embedder.gate.set()
        results = await asyncio.gather(*documents)
        assert all(len(vectors) == 30 for vectors in results)
        assert sorted(embedder.texts) == sorted(f"{d}-{n}" for d in range(12) for n in range(30))
        assert max(len(call) for call in embedder.calls) <= MAX_TEXTS_PER_CALL
        assert len(embedder.calls) <= 12 * 30 // MAX_TEXTS_PER_CALL + CALLS_IN_FLIGHT + 1


@pytest.mark.parametrize("error", [DependencyUnavailable("away"), Overloaded("full"), ValueError("a bug")], ids=repr)
async def test_a_failed_call_fails_the_documents_in_it_and_the_next_call_works(error: Exception) -> None:
    embedder = Gated()
    embedder.failures = [error]
    embedder.gate.set()
    async with EmbedPassages(embedder, MemoryEmbeddingCache()) as embed:
        with pytest.raises(type(error)):
            await embed.embed(["a", "b"], GENERATION)
        assert len(await embed.embed(["a"], GENERATION)) == 1


async def test_a_call_that_is_cancelled_from_within_is_an_error_that_can_be_retried() -> None:
    embedder = Gated()
    embedder.failures = [asyncio.CancelledError()] * (CALLS_IN_FLIGHT + 1)
    embedder.gate.set()
    async with asyncio.timeout(2), EmbedPassages(embedder, MemoryEmbeddingCache()) as embed:
        for _ in range(CALLS_IN_FLIGHT + 1):
            with pytest.raises(DependencyUnavailable):
                await embed.embed(["a"], GENERATION)
        assert len(await embed.embed(["a"], GENERATION)) == 1


async def test_a_wrong_number_of_vectors_is_a_defect_and_nobody_waits_for_ever() -> None:
    class Short(HashEmbedder):
        async def embed_passages(self, texts: list[str], expected_revision: str) -> NDArray[np.float32]:
            return (await super().embed_passages(texts, expected_revision))[:-1]

    async with asyncio.timeout(2), EmbedPassages(Short(), MemoryEmbeddingCache()) as embed:
        with pytest.raises(Defect):
            await embed.embed(["a", "b"], GENERATION)


async def test_texts_of_a_document_that_was_given_up_are_not_embedded() -> None:
    embedder = Gated()
    async with EmbedPassages(embedder, MemoryEmbeddingCache()) as embed:
        busy = []
        while len(embedder.calls) < CALLS_IN_FLIGHT:
            busy.append(asyncio.create_task(embed.embed([f"busy {len(busy)}"], GENERATION)))
            while len(embedder.calls) < len(busy):
                await asyncio.sleep(0)
        waiting = asyncio.create_task(embed.embed(["given up"], GENERATION))
        await asyncio.sleep(0)
        await stop(waiting)
        embedder.gate.set()
        await asyncio.gather(*busy)
        await embed.embed(["next"], GENERATION)
        assert "given up" not in embedder.texts
