"""Contract of VectorIndex, over every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract import filters_strategy
from tests.contract.index_rows import DIMENSIONS, GENERATION, reader, unit, vector_row
from tests.contract.index_suite import (
    Ends,
    IndexContract,
    check_crash_of_the_writer,
    check_visibility_across_processes,
    opened,
)

from chassis.errors import Defect, InvalidRequest
from corpus.adapters.memory.vector_index import MemoryVectorIndex
from corpus.adapters.numpy import NumpyVectorIndex
from corpus.adapters.numpy import reader as numpy_reader
from corpus.adapters.numpy import schema as numpy_schema
from corpus.adapters.weaviate import WeaviateVectorIndex
from corpus.domain import AccessPolicy, Candidate
from corpus.filters import parse_filter
from corpus.ports import Prefilter, VectorIndex

ADAPTERS = (MemoryVectorIndex, NumpyVectorIndex, pytest.param(WeaviateVectorIndex, marks=pytest.mark.cluster))


async def query(index: VectorIndex, k: int, prefilter: Prefilter, generation: str) -> Sequence[Candidate]:
    [hits] = await index.search(generation, unit(1.0)[None], k, prefilter)
    return hits


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
async def ends(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ends]:
    async with opened(request.param, tmp_path) as (writer, other):
        yield Ends(writer, other, vector_row, query)


class TestVectorIndex(IndexContract):
    async def test_rows_come_by_cosine_similarity_with_exact_scores(self, ends: Ends) -> None:
        rng = np.random.default_rng(5)
        vectors = rng.standard_normal((40, DIMENSIONS)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        await ends.writer.write(GENERATION, [vector_row(f"c{place:02d}", each) for place, each in enumerate(vectors)])
        queries = vectors[:3] + np.float32(0.1)
        queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
        for hits, products in zip(
            await ends.reader.search(GENERATION, queries, 10, reader()), queries @ vectors.T, strict=True
        ):
            order = np.argsort(-products)[:10]
            assert [hit.chunk_id for hit in hits] == [f"c{place:02d}" for place in order]
            assert [hit.score for hit in hits] == pytest.approx(products[order].tolist(), abs=1e-6)

    async def test_vectors_come_by_chunk_id_as_they_were_written(self, ends: Ends) -> None:
        rng = np.random.default_rng(7)
        vectors = rng.standard_normal((3, DIMENSIONS)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        await ends.writer.write(GENERATION, [vector_row(f"c{place}", each) for place, each in enumerate(vectors)])
        await ends.writer.write(GENERATION, [vector_row("c1", unit(1.0)), vector_row("theirs", tenant="globex")])
        await ends.writer.delete(GENERATION, "acme", ["c2"])
        found = await ends.reader.vectors_of(GENERATION, "acme", ["c0", "c1", "c2", "theirs", "unknown"])
        assert found.keys() == {"c0", "c1"}
        assert found["c0"].dtype == np.float32
        assert found["c0"].tolist() == pytest.approx(vectors[0].tolist(), abs=1e-6)
        assert found["c1"].tolist() == pytest.approx(unit(1.0).tolist(), abs=1e-6)
        assert await ends.reader.vectors_of(GENERATION, "nobody", ["c0"]) == {}
        assert await ends.reader.vectors_of("other", "acme", ["c0"]) == {}

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    async def test_a_call_with_a_bad_number_writes_none_of_its_rows(self, ends: Ends, bad: float) -> None:
        vector = unit(1.0)
        vector[3] = bad
        with pytest.raises(InvalidRequest) as caught:
            await ends.writer.write(GENERATION, [vector_row("good"), vector_row("bad", vector)])
        assert caught.value.reason == "BAD_VECTOR"
        assert await ends.found() == []

    async def test_a_call_with_a_wrong_dimension_writes_none_of_its_rows(self, ends: Ends) -> None:
        short = np.ones(3, dtype=np.float32)
        for rows in ([vector_row("good"), vector_row("bad", short)], [vector_row("bad", short), vector_row("good")]):
            with pytest.raises(InvalidRequest) as caught:
                await ends.writer.write(GENERATION, rows)
            assert caught.value.reason == "BAD_VECTOR"
        await ends.writer.write(GENERATION, [vector_row("first"), vector_row("first", tenant="globex")])
        with pytest.raises(InvalidRequest):
            await ends.writer.write(GENERATION, [vector_row("bad", short)])
        with pytest.raises(InvalidRequest):
            await ends.writer.write(GENERATION, [vector_row("new", short, tenant="initech"), vector_row("bad", short)])
        assert await ends.found() == ["first"]
        assert await ends.reader.chunk_ids(GENERATION, "initech") == {}

    async def test_one_bad_call_spoils_no_other_call_beside_it(self, ends: Ends) -> None:
        await ends.writer.write(GENERATION, [vector_row("c0")])
        calls = [ends.writer.write(GENERATION, [vector_row(f"c{place}")]) for place in range(1, 5)]
        bad = ends.writer.write(GENERATION, [vector_row("bad", np.ones(3, dtype=np.float32))])
        results = await asyncio.gather(*calls, bad, return_exceptions=True)
        assert [type(result) for result in results] == [type(None)] * 4 + [InvalidRequest]
        assert await ends.found() == ["c0", "c1", "c2", "c3", "c4"]

    async def test_a_query_of_another_dimension_is_refused(self, ends: Ends) -> None:
        await ends.writer.write(GENERATION, [vector_row("c1")])
        with pytest.raises(InvalidRequest) as caught:
            await ends.reader.search(GENERATION, np.ones((1, 3), dtype=np.float32), 5, reader())
        assert caught.value.reason == "BAD_VECTOR"

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    async def test_filters_agree_with_the_reference_evaluator(self, ends: Ends, data: st.DataObject) -> None:
        await ends.writer.drop_tenant("acme")
        entries = data.draw(st.lists(filters_strategy.metadata, min_size=1, max_size=12))
        rows = [vector_row(f"c{place:02d}", metadata=each) for place, each in enumerate(entries)]
        await ends.writer.write(GENERATION, rows)
        for raw in data.draw(st.lists(filters_strategy.raw_filters, min_size=1, max_size=8)):
            row_filter = parse_filter(raw, filters_strategy.FIELDS)
            expected = [row.chunk_id for row in rows if row_filter is None or row_filter.matches(row.metadata)]
            assert await ends.found(reader(row_filter=row_filter)) == expected, raw


async def test_a_write_is_visible_in_another_process(tmp_path: Path) -> None:
    await check_visibility_across_processes("vector", NumpyVectorIndex, tmp_path)


async def test_a_killed_writer_leaves_every_finished_write_readable(tmp_path: Path) -> None:
    await check_crash_of_the_writer("vector", NumpyVectorIndex, tmp_path)


async def test_a_reader_refuses_to_write(tmp_path: Path) -> None:
    async with NumpyVectorIndex(tmp_path, writable=False) as index:
        with pytest.raises(Defect):
            await index.write(GENERATION, [vector_row("c1")])


async def test_a_generation_or_tenant_that_is_no_name_can_not_leave_the_directory(tmp_path: Path) -> None:
    async with NumpyVectorIndex(tmp_path, writable=True) as index:
        for generation, tenant in (("../g", "acme"), ("g1", "../acme"), ("g1", "."), ("", "acme")):
            with pytest.raises(InvalidRequest):
                await index.chunk_ids(generation, tenant)


async def test_vectors_behind_the_last_committed_row_are_cut_off_and_overwritten(tmp_path: Path) -> None:
    async with NumpyVectorIndex(tmp_path, writable=True) as index:
        await index.write(GENERATION, [vector_row("c1", unit(1.0)), vector_row("c2", unit(0.0, 1.0))])
    [file] = tmp_path.rglob("*.f32")
    with file.open("ab") as tail:
        tail.write(b"\xff" * 45)
    async with NumpyVectorIndex(tmp_path, writable=True) as index:
        await index.write(GENERATION, [vector_row("c3", unit(0.0, 0.0, 1.0))])
        [hits] = await index.search(GENERATION, unit(0.0, 0.0, 1.0)[None], 3, reader())
        assert hits[0].chunk_id == "c3"
        assert hits[0].score == pytest.approx(1.0)
    assert file.stat().st_size == 3 * DIMENSIONS * 4


async def test_rows_whose_vectors_were_lost_are_reported_as_missing(tmp_path: Path) -> None:
    async with NumpyVectorIndex(tmp_path, writable=True) as index:
        await index.write(GENERATION, [vector_row(f"c{place}") for place in range(4)])
    [file] = tmp_path.rglob("*.f32")
    with file.open("r+b") as cut:
        cut.truncate(2 * DIMENSIONS * 4 + 5)
    async with NumpyVectorIndex(tmp_path, writable=True) as index:
        await index.write(GENERATION, [vector_row("c9")])
        assert (await index.chunk_ids(GENERATION, "acme")).keys() == {"c0", "c1", "c9"}


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 16 rows, and no short cut for few rows, so that a few hundred rows take every path."""
    for module in ("schema", "writer", "reader", "segment"):
        monkeypatch.setattr(f"corpus.adapters.numpy.{module}.SEGMENT_ROWS", 16)
    monkeypatch.setattr(numpy_reader, "_FEW_ROWS", 0)
    assert numpy_schema.SEGMENT_ROWS == 16


@pytest.mark.usefixtures("small_segments")
async def test_dead_rows_are_compacted_away_under_a_reader(tmp_path: Path) -> None:
    async with NumpyVectorIndex(tmp_path, writable=True) as writer, NumpyVectorIndex(tmp_path, writable=False) as other:
        rng = np.random.default_rng(3)
        expected: dict[str, Any] = {}
        for version in range(1, 12):
            names = [f"c{each:02d}" for each in rng.permutation(60)[:25]]
            vectors = {name: unit(*rng.standard_normal(DIMENSIONS)) for name in names}
            rows = [
                vector_row(name, vectors[name], version=version, metadata={"size": float(version)}) for name in names
            ]
            await writer.write(GENERATION, rows)
            expected |= {name: (vectors[name], version) for name in names}
            gone = list(expected)[: version % 3]
            await writer.delete(GENERATION, "acme", gone)
            for name in gone:
                del expected[name]
            assert await other.chunk_ids(GENERATION, "acme") == {name: each[1] for name, each in expected.items()}
            [hits] = await other.search(GENERATION, unit(1.0)[None], 5, reader())
            best = sorted(expected, key=lambda name: (-float(expected[name][0][0]), name))[:5]
            assert [hit.chunk_id for hit in hits] == best
        live_segments = -(-len(expected) // 16)
        assert len(list(tmp_path.rglob("*.f32"))) <= 2 * live_segments + 2
    async with NumpyVectorIndex(tmp_path, writable=False) as fresh:
        assert await fresh.chunk_ids(GENERATION, "acme") == {name: each[1] for name, each in expected.items()}
        row_filter = parse_filter({"size": {"$gte": 11}}, filters_strategy.FIELDS)
        [hits] = await fresh.search(GENERATION, unit(1.0)[None], 99, reader(row_filter=row_filter))
        assert {hit.chunk_id for hit in hits} == {name for name, each in expected.items() if each[1] == 11}


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("queries", [1, 12], ids=["int8 pass", "float32 pass"])
async def test_every_pass_gives_the_exact_order(tmp_path: Path, queries: int) -> None:
    rng = np.random.default_rng(8)
    vectors = np.stack([unit(*rng.standard_normal(DIMENSIONS)) for _ in range(300)])
    vectors[100:140] = vectors[7]  # equal vectors in several segments must tie
    policies = [AccessPolicy(frozenset({"all"} if place % 3 else {"other"})) for place in range(300)]
    rows = [vector_row(f"c{place:03d}", each, access=policies[place]) for place, each in enumerate(vectors)]
    asked = np.stack([vectors[7], *(unit(*rng.standard_normal(DIMENSIONS)) for _ in range(queries - 1))])
    async with NumpyVectorIndex(tmp_path, writable=True) as index, MemoryAlike(rows) as reference:
        await index.write(GENERATION, rows)
        found = await index.search(GENERATION, asked, 20, reader())
        for hits, wanted in zip(found, await reference.search(GENERATION, asked, 20, reader()), strict=True):
            assert [hit.chunk_id for hit in hits] == [hit.chunk_id for hit in wanted]


class MemoryAlike:
    """The in-memory index with rows already written."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = rows

    async def __aenter__(self) -> MemoryVectorIndex:
        index = MemoryVectorIndex()
        await index.write(GENERATION, self._rows)
        return index

    async def __aexit__(self, *_: object) -> None:
        return None
