"""Contract of LexicalIndex, over every adapter."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract import filters_strategy
from tests.contract.index_rows import GENERATION, lexical_row, reader
from tests.contract.index_suite import (
    Ends,
    IndexContract,
    check_crash_of_the_writer,
    check_visibility_across_processes,
    opened,
)

from chassis.errors import Defect, InvalidRequest
from corpus.adapters.elasticsearch.lexical_index import ElasticsearchLexicalIndex
from corpus.adapters.memory.lexical_index import MemoryLexicalIndex
from corpus.adapters.tantivy import TantivyLexicalIndex
from corpus.domain import AccessPolicy, Candidate
from corpus.filters import parse_filter
from corpus.ports import LexicalIndex, Prefilter

ADAPTERS = (
    MemoryLexicalIndex,
    TantivyLexicalIndex,
    pytest.param(ElasticsearchLexicalIndex, marks=pytest.mark.cluster),
)


async def query(index: LexicalIndex, k: int, prefilter: Prefilter, generation: str) -> Sequence[Candidate]:
    [hits] = await index.search(generation, [["river"]], k, prefilter)
    return hits


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.__name__)
async def ends(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ends]:
    async with opened(request.param, tmp_path) as (writer, other):
        yield Ends(writer, other, lexical_row, query)


class TestLexicalIndex(IndexContract):
    async def _search(self, ends: Ends, *queries: Sequence[str], k: int = 10) -> list[list[str]]:
        return [[hit.chunk_id for hit in hits] for hits in await ends.reader.search(GENERATION, queries, k, reader())]

    async def test_a_row_needs_one_of_the_terms_as_it_is(self, ends: Ends) -> None:
        rows = [lexical_row("c1", "v2.10.3 c++ 東京"), lexical_row("c2", "Rivers river-side")]
        await ends.writer.write(GENERATION, rows)
        found = await self._search(ends, ["v2.10.3"], ["c++", "none"], ["東京"], ["river"], ["rivers"], ["Rivers"])
        assert found == [["c1"], ["c1"], ["c1"], [], [], ["c2"]]

    async def test_title_and_heading_terms_match_like_body_terms(self, ends: Ends) -> None:
        rows = [lexical_row("t", "x", title="gauge"), lexical_row("h", "x", heading="gauge"), lexical_row("b", "gauge")]
        await ends.writer.write(GENERATION, rows)
        [found] = await self._search(ends, ["gauge"])
        assert sorted(found) == ["b", "h", "t"]

    async def test_rare_and_frequent_terms_weigh_more_and_long_rows_less(self, ends: Ends) -> None:
        rows = [
            lexical_row("rare", "weir a b c"),
            lexical_row("common", "river a b c"),
            lexical_row("twice", "river river b c"),
            lexical_row("long", "river " + " ".join(f"w{each}" for each in range(40))),
        ]
        await ends.writer.write(GENERATION, rows)
        assert await self._search(ends, ["river", "weir"]) == [["rare", "twice", "common", "long"]]

    async def test_scores_are_bm25_with_k1_1_2_and_b_0_75(self, ends: Ends) -> None:
        rows = [lexical_row("c1", "river river weir"), lexical_row("c2", "weir x y"), lexical_row("c3", "z y x")]
        await ends.writer.write(GENERATION, rows)
        [[hit]] = await ends.reader.search(GENERATION, [["river"]], 5, reader())
        idf = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
        assert hit.score == pytest.approx(idf * 2 * 2.2 / (2 + 1.2), rel=1e-5)

    async def test_the_prefilter_adds_nothing_to_a_score(self, ends: Ends) -> None:
        rows = [
            lexical_row("c1", "river weir", access=AccessPolicy(frozenset({"a", "b"}), 1), metadata={"label": "a"}),
            lexical_row(
                "c2", "river lake", access=AccessPolicy(frozenset({"a"})), metadata={"label": "b", "size": 2.0}
            ),
        ]
        await ends.writer.write(GENERATION, rows)
        filters = [
            None,
            *(
                parse_filter(raw, filters_strategy.FIELDS)
                for raw in ({"label": {"$in": ["a", "b"]}}, {"size": {"$ne": 3}})
            ),
        ]
        scores = set()
        for tokens in (["a"], ["a", "b"], ["a", *map(str, range(100))]):
            for row_filter in filters:
                prefilter = reader(*tokens, clearance=3, row_filter=row_filter)
                [hits] = await ends.reader.search(GENERATION, [["river"]], 5, prefilter)
                scores.add(tuple((hit.chunk_id, hit.score) for hit in hits))
        assert len(scores) == 1

    async def test_a_query_without_terms_finds_nothing(self, ends: Ends) -> None:
        await ends.writer.write(GENERATION, [lexical_row("c1")])
        assert await self._search(ends, [], ["river"]) == [[], ["c1"]]
        assert await ends.reader.search(GENERATION, [], 5, reader()) == []

    async def test_a_very_long_query_finds_its_rare_terms(self, ends: Ends) -> None:
        fillers = [f"w{each}" for each in range(400)]
        rows = [lexical_row(f"c{each}", " ".join(fillers)) for each in range(5)]
        await ends.writer.write(GENERATION, [*rows, lexical_row("rare", "needle " + " ".join(fillers))])
        terms = [*fillers, "needle", *fillers, *(f"unknown{each}" for each in range(2_000))]
        [found] = await self._search(ends, terms, k=3)
        assert found[0] == "rare"

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    async def test_filters_agree_with_the_reference_evaluator(self, ends: Ends, data: st.DataObject) -> None:
        entries = data.draw(st.lists(filters_strategy.metadata, min_size=1, max_size=12))
        rows = [lexical_row(f"c{place:02d}", metadata=each) for place, each in enumerate(entries)]
        await ends.writer.delete(GENERATION, "acme", [f"c{place:02d}" for place in range(12)])
        await ends.writer.write(GENERATION, rows)
        for raw in data.draw(st.lists(filters_strategy.raw_filters, min_size=1, max_size=8)):
            row_filter = parse_filter(raw, filters_strategy.FIELDS)
            expected = [row.chunk_id for row in rows if row_filter is None or row_filter.matches(row.metadata)]
            assert await ends.found(reader(row_filter=row_filter)) == expected, raw


async def test_a_write_is_visible_in_another_process(tmp_path: Path) -> None:
    await check_visibility_across_processes("lexical", TantivyLexicalIndex, tmp_path)


async def test_a_killed_writer_leaves_every_finished_write_readable(tmp_path: Path) -> None:
    await check_crash_of_the_writer("lexical", TantivyLexicalIndex, tmp_path)


async def test_a_reader_refuses_to_write(tmp_path: Path) -> None:
    async with TantivyLexicalIndex(tmp_path, writable=False) as index:
        with pytest.raises(Defect):
            await index.write(GENERATION, [lexical_row("c1")])


async def test_a_generation_or_tenant_that_is_no_name_can_not_leave_the_directory(tmp_path: Path) -> None:
    async with TantivyLexicalIndex(tmp_path, writable=True) as index:
        for generation, tenant in (("../g", "acme"), ("g1", "../acme"), ("g1", "."), ("", "acme")):
            with pytest.raises(InvalidRequest):
                await index.chunk_ids(generation, tenant)


async def test_more_tenants_than_open_writers_can_be_written(tmp_path: Path) -> None:
    async with TantivyLexicalIndex(tmp_path, writable=True, max_open_writers=2) as index:
        for version in (1, 2):
            rows = [lexical_row("c1", tenant=f"t{each}", version=version) for each in range(5)]
            await index.write(GENERATION, rows)
        for each in range(5):
            assert await index.chunk_ids(GENERATION, f"t{each}") == {"c1": 2}
