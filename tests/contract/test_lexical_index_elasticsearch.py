"""What the lexical index in Elasticsearch promises beyond the port."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from tests.contract.corpus_adapters import elasticsearch_installation
from tests.contract.index_rows import GENERATION, lexical_row, reader

from chassis.elasticsearch.client import Store
from corpus.adapters.elasticsearch.lexical_index import ElasticsearchLexicalIndex
from corpus.adapters.elasticsearch.lexical_schema import REFRESH_INTERVAL, alias_of
from corpus.adapters.tantivy import TantivyLexicalIndex
from corpus.domain import AccessPolicy, Candidate, FieldType, LexicalRow
from corpus.filters import parse_filter
from corpus.filters.parsing import MAX_DEPTH
from corpus.ports import LexicalIndex

pytestmark = pytest.mark.cluster

# The stated half second, and what servers on a busy machine take for a refresh.
VISIBLE_SECONDS = 5.0


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[], Store]]:
    async with elasticsearch_installation(()) as open_connection:
        yield open_connection


async def refreshed(store: Store) -> None:
    await store.client.indices.refresh(index=store.name("*"))


def random_rows(count: int) -> list[LexicalRow]:
    """Rows with frequent and rare terms, short and long bodies, and a title each."""
    choose = random.Random(7)
    vocabulary = [f"w{each}" for each in range(300)]
    weights = [1 / (each + 1) for each in range(300)]

    def terms(least: int, most: int) -> str:
        return " ".join(choose.choices(vocabulary, weights, k=choose.randint(least, most)))

    return [
        lexical_row(
            str(uuid.UUID(int=choose.getrandbits(128))),
            terms(0, 150),
            title=terms(1, 6),
            heading=terms(0, 8),
            access=AccessPolicy(frozenset({"all"} if each % 3 else {"few"}), each % 2),
        )
        for each in range(count)
    ]


def classes_of_score(hits: Sequence[Candidate]) -> list[list[str]]:
    """Chunk ids, best first; those whose scores differ by less than the rounding of a float are one class."""
    return [sorted(hit.chunk_id for hit in group) for _, group in groupby(hits, lambda hit: f"{hit.score:.4f}")]


async def test_a_query_ranks_the_same_as_in_the_embedded_engine(connect: Callable[[], Store], tmp_path: Path) -> None:
    store = connect()
    rows = random_rows(400)
    choose = random.Random(8)
    queries = [[f"w{int(choose.paretovariate(0.4)) % 300}" for _ in range(length)] for length in (1, 2, 3, 6, 12, 100)]
    answers: list[Sequence[Sequence[Candidate]]] = []
    async with TantivyLexicalIndex(tmp_path, writable=True) as embedded:
        cluster = ElasticsearchLexicalIndex(store)
        indexes: tuple[LexicalIndex, ...] = (embedded, cluster)
        for index in indexes:
            await index.write(GENERATION, rows)
        await refreshed(store)
        for index in indexes:
            answers.append(await index.search(GENERATION, queries, 400, reader()))
    for here, there in zip(*answers, strict=True):
        assert len(here) > 10
        assert [hit.score for hit in there] == pytest.approx([hit.score for hit in here], rel=1e-4)
        assert classes_of_score(there) == classes_of_score(here)


async def test_a_write_is_visible_elsewhere_without_being_asked_for(connect: Callable[[], Store]) -> None:
    writer, other = ElasticsearchLexicalIndex(connect()), ElasticsearchLexicalIndex(connect())
    await writer.write(GENERATION, [lexical_row("c1")])
    deadline = time.monotonic() + VISIBLE_SECONDS
    while not (await other.search(GENERATION, [["river"]], 5, reader()))[0]:
        assert time.monotonic() < deadline, f"not visible long after the refresh interval of {REFRESH_INTERVAL}"
        await asyncio.sleep(0.02)


async def test_an_audit_sees_what_was_just_written(connect: Callable[[], Store]) -> None:
    index = ElasticsearchLexicalIndex(connect())
    for place in range(3):
        await index.write(GENERATION, [lexical_row(f"c{place}")])
        assert len(await index.chunk_ids(GENERATION, "acme")) == place + 1


async def test_a_tenant_that_another_process_dropped_can_be_written_again(connect: Callable[[], Store]) -> None:
    index = ElasticsearchLexicalIndex(connect())
    await index.write(GENERATION, [lexical_row("c1")])
    await ElasticsearchLexicalIndex(connect()).drop_tenant("acme")
    await index.write(GENERATION, [lexical_row("c2")])
    assert await index.chunk_ids(GENERATION, "acme") == {"c2": 1}


async def test_processes_that_write_first_at_the_same_time_share_one_index(connect: Callable[[], Store]) -> None:
    indexes = [ElasticsearchLexicalIndex(connect()) for _ in range(4)]
    writes = (index.write(GENERATION, [lexical_row(f"c{place}")]) for place, index in enumerate(indexes))
    await asyncio.gather(*writes)
    assert len(await indexes[0].chunk_ids(GENERATION, "acme")) == 4


async def test_generations_and_tenants_may_have_any_name(connect: Callable[[], Store]) -> None:
    index = ElasticsearchLexicalIndex(connect())
    names = [("../g", "acme"), ("g*", "acme"), ("G 1/é", "*"), ("g1", "t-ACME"), ("g1t", "-ACME")]
    for generation, tenant in names:
        await index.write(generation, [lexical_row("c1", tenant=tenant, document=f"{generation}{tenant}")])
    for generation, tenant in names:
        assert await index.chunk_ids(generation, tenant) == {"c1": 1}
    await index.drop_tenant("*")
    remaining = [names for names in names if await index.chunk_ids(*names)]
    assert remaining == [each for each in names if each[1] != "*"]


async def test_a_term_of_any_length_is_one_term(connect: Callable[[], Store]) -> None:
    store = connect()
    index = ElasticsearchLexicalIndex(store)
    long, other, huge = "a" * 300, "a" * 255, "\U0001f600" * 20_000
    await index.write(GENERATION, [lexical_row("c1", f"{long} river"), lexical_row("c2", f"{huge} river")])
    await refreshed(store)
    found = await index.search(GENERATION, [[long], [other], ["a" * 45], [huge]], 5, reader())
    assert [[hit.chunk_id for hit in hits] for hits in found] == [["c1"], [], [], ["c2"]]


async def test_a_filter_as_deep_as_the_parser_allows_is_answered(connect: Callable[[], Store]) -> None:
    store = connect()
    index = ElasticsearchLexicalIndex(store)
    raw: dict[str, Any] = {"a": 1.0}
    for depth in range(MAX_DEPTH - 1):
        branches = [raw, {"a": float(-depth - 2)}]
        raw = {"a": {"$gte": 0}, "$or": branches, "$not": {"a": float(-depth - 9)}, "$and": [{"$or": [{"a": 1.0}]}]}
    row_filter = parse_filter(raw, {"a": FieldType.NUMBER})
    await index.write(GENERATION, [lexical_row("yes", metadata={"a": 1.0}), lexical_row("no", metadata={"a": 2.0})])
    await refreshed(store)
    [hits] = await index.search(GENERATION, [["river"]], 5, reader(row_filter=row_filter))
    assert [hit.chunk_id for hit in hits] == ["yes"]


async def test_every_hidden_row_stays_hidden_from_a_reader_with_a_hundred_thousand_tokens(
    connect: Callable[[], Store],
) -> None:
    store = connect()
    index = ElasticsearchLexicalIndex(store)
    rows = [lexical_row("c1", access=AccessPolicy(frozenset({"mine"}))), lexical_row("c2")]
    await index.write(GENERATION, rows)
    await refreshed(store)
    tokens = [f"group{each}" for each in range(100_000)]
    [hits] = await index.search(GENERATION, [["river"]], 5, reader(*tokens, "mine"))
    assert [hit.chunk_id for hit in hits] == ["c1"]


async def test_differences_name_an_index_that_is_not_as_expected(connect: Callable[[], Store]) -> None:
    store = connect()
    index = ElasticsearchLexicalIndex(store)
    assert await index.differences() == []
    await index.write(GENERATION, [lexical_row("c1")])
    assert await index.differences() == []
    settings: Mapping[str, object] = {"refresh_interval": "60s"}
    await store.client.indices.put_settings(index=store.name(alias_of(GENERATION, "acme")), settings=settings)
    [difference] = await index.differences()
    assert "refresh_interval is 60s, expected 500ms" in difference
