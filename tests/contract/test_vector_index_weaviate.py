"""What only a vector index on a server can get wrong: it is away, restarted, changed by others, or set up otherwise."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.filters_strategy import FIELDS
from tests.contract.index_rows import DIMENSIONS, GENERATION, reader, unit, vector_row
from tests.contract.weaviate_world import connected, endpoint_of_test
from tests.servers import weaviate
from tests.servers.native import free_port

from chassis.endpoints import WeaviateEndpoint
from chassis.errors import DependencyUnavailable, FailedPrecondition, InvalidRequest
from corpus.adapters.weaviate import WeaviateConnection, WeaviateVectorIndex, open_weaviate, schema
from corpus.domain import MAX_VERSION, AccessPolicy, Candidate, FieldType
from corpus.filters import parse_filter

pytestmark = pytest.mark.cluster

DEADLINE_SECONDS = 60.0


@pytest.fixture
async def connection() -> AsyncIterator[WeaviateConnection]:
    async with connected(endpoint_of_test()) as opened:
        yield opened


@pytest.fixture
def index(connection: WeaviateConnection) -> WeaviateVectorIndex:
    return WeaviateVectorIndex(connection)


@pytest.fixture
async def other(connection: WeaviateConnection) -> AsyncIterator[WeaviateVectorIndex]:
    """The same installation, as another process has it."""
    opened = await open_weaviate(connection.endpoint)
    yield WeaviateVectorIndex(opened)
    await opened.close()


async def found(index: WeaviateVectorIndex, **prefilter: Any) -> list[str]:
    [hits] = await index.search(GENERATION, unit(1.0)[None], 100, reader(**prefilter))
    return [hit.chunk_id for hit in hits]


async def test_a_server_that_is_away_is_told_at_once_and_never_at_the_start() -> None:
    endpoint = WeaviateEndpoint(http=f"127.0.0.1:{free_port()}", grpc=f"127.0.0.1:{free_port()}")
    connection = await open_weaviate(endpoint)
    index = WeaviateVectorIndex(connection)
    began = time.monotonic()
    for call in (
        index.write(GENERATION, [vector_row("c1")]),
        index.differences(),
        index.drop_tenant("acme"),
        found(index),
    ):
        with pytest.raises(DependencyUnavailable):
            await call
    assert time.monotonic() - began < 5
    await connection.close()


async def test_a_killed_server_loses_no_finished_write_and_is_found_again(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    server = await asyncio.to_thread(weaviate.start_at, tmp_path, *ports)
    http, grpc = server.address.split(",")
    connection = await open_weaviate(WeaviateEndpoint(http=http, grpc=grpc))
    index = WeaviateVectorIndex(connection)
    try:
        await index.write(GENERATION, [vector_row(f"c{place}") for place in range(5)])
        await index.delete(GENERATION, "acme", ["c0"])
        await index.set_access(GENERATION, "acme", ["c1"], AccessPolicy(frozenset({"eng"})))
        assert server.process is not None
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
        began = time.monotonic()
        with pytest.raises(DependencyUnavailable):
            await found(index)
        assert time.monotonic() - began < 2
        server = await asyncio.to_thread(weaviate.start_at, tmp_path, *ports)
        assert await answered(lambda: found(index)) == ["c2", "c3", "c4"]
        [hits] = await index.search(GENERATION, unit(1.0)[None], 10, reader("eng"))
        assert [hit.chunk_id for hit in hits] == ["c1"]
        await index.write(GENERATION, [vector_row("c9")])
        assert (await index.chunk_ids(GENERATION, "acme")).keys() == {"c1", "c2", "c3", "c4", "c9"}
    finally:
        await connection.close()
        server.stop()


async def answered(call: Callable[[], Any]) -> Any:
    """The first answer."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            return await call()
        except DependencyUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_of_two_first_writes_one_decides_the_dimension(
    index: WeaviateVectorIndex, other: WeaviateVectorIndex
) -> None:
    wide = np.ones(2 * DIMENSIONS, dtype=np.float32) / np.float32(4)
    results = await asyncio.gather(
        index.write(GENERATION, [vector_row("c1")]),
        other.write(GENERATION, [vector_row("c1", wide)]),
        return_exceptions=True,
    )
    refused = [result for result in results if result is not None]
    assert [type(result) for result in refused] == [InvalidRequest]


async def test_what_another_process_dropped_is_made_again_by_the_next_write(
    index: WeaviateVectorIndex, other: WeaviateVectorIndex, connection: WeaviateConnection
) -> None:
    await index.write(GENERATION, [vector_row("c1")])
    await other.drop_tenant("acme")
    assert await found(index) == []
    assert await index.chunk_ids(GENERATION, "acme") == {}
    await index.delete(GENERATION, "acme", ["c1"])
    await index.set_access(GENERATION, "acme", ["c1"], AccessPolicy(frozenset()))
    await index.write(GENERATION, [vector_row("c2")])
    assert await found(other) == ["c2"]
    name = schema.collection_name(connection.endpoint, GENERATION)
    await connection.request("DELETE", f"/schema/{name}")
    assert await found(index) == []
    await other.delete(GENERATION, "acme", ["c2"])
    await index.write(GENERATION, [vector_row("c3")])
    assert await found(other) == ["c3"]


async def test_a_collection_that_tokenizes_by_words_is_named_and_refused(
    index: WeaviateVectorIndex, connection: WeaviateConnection
) -> None:
    definition = schema.definition(connection.endpoint, GENERATION, DIMENSIONS)
    [tokens] = [each for each in definition["properties"] if each["name"] == "tokens"]
    tokens["tokenization"] = "word"
    definition["properties"] = [each for each in definition["properties"] if each["name"] != "level"]
    await connection.request("POST", "/schema", body=definition)
    problems = await index.differences()
    name = schema.collection_name(connection.endpoint, GENERATION)
    assert problems == [
        f'tokenization of the property tokens of the collection {name} is "word" instead of "field".',
        f"The property level of the collection {name} is missing.",
    ]
    for call in (found(index), index.write(GENERATION, [vector_row("c1")]), index.chunk_ids(GENERATION, "acme")):
        with pytest.raises(FailedPrecondition) as caught:
            await call
        assert caught.value.reason == "COLLECTION_MISMATCH"
        assert problems[0] in caught.value.message


async def test_a_collection_made_by_writing_has_no_differences(index: WeaviateVectorIndex) -> None:
    await index.write(GENERATION, [vector_row("c1", metadata={"label": "a", "other": "b", "release": "1.0"})])
    await index.write("g2", [vector_row("c1")])
    assert await index.differences() == []


async def test_installations_on_one_server_know_nothing_of_each_other(
    index: WeaviateVectorIndex, connection: WeaviateConnection
) -> None:
    # The longer prefix begins like a collection of the shorter one.
    longer = connection.endpoint.model_copy(update={"prefix": f"{connection.endpoint.prefix}V0"})
    async with connected(longer) as opened:
        neighbour = WeaviateVectorIndex(opened)
        await index.write(GENERATION, [vector_row("mine")])
        await neighbour.write(GENERATION, [vector_row("theirs")])
        await index.drop_tenant("acme")
        assert await found(neighbour) == ["theirs"]
        assert await found(index) == []


async def test_the_greatest_version_comes_back_exactly(index: WeaviateVectorIndex) -> None:
    await index.write(GENERATION, [vector_row("c1", version=MAX_VERSION), vector_row("c2", version=MAX_VERSION - 1)])
    assert await index.chunk_ids(GENERATION, "acme") == {"c1": MAX_VERSION, "c2": MAX_VERSION - 1}
    [hits] = await index.search(GENERATION, unit(1.0)[None], 1, reader())
    assert hits[0].chunks_version == MAX_VERSION


async def test_more_ids_than_the_server_takes_at_once_are_listed_changed_and_deleted(
    index: WeaviateVectorIndex,
) -> None:
    # Different vectors: the graph takes ten times as long for equal ones.
    rng = np.random.default_rng(2)
    names = [f"c{place:05d}" for place in range(2_100)]
    vectors = [unit(*rng.standard_normal(DIMENSIONS)) for _ in names]
    rows = [vector_row(name, vectors[place], version=place) for place, name in enumerate(names)]
    await index.write(GENERATION, rows)
    assert await index.chunk_ids(GENERATION, "acme") == {name: place for place, name in enumerate(names)}
    unknown = [f"u{place:05d}" for place in range(10_000)]
    await index.set_access(GENERATION, "acme", [*names[:600], *unknown[:100]], AccessPolicy(frozenset({"eng"})))
    assert len(await index.chunk_ids(GENERATION, "acme")) == len(names)
    [hits] = await index.search(GENERATION, unit(1.0)[None], 1_000, reader("eng"))
    assert {hit.chunk_id for hit in hits} == set(names[:600])
    assert [hit.score for hit in hits[:5]] == pytest.approx(sorted(float(v[0]) for v in vectors[:600])[::-1][:5])
    await index.delete(GENERATION, "acme", [*unknown, *names[:2_090]])
    assert (await index.chunk_ids(GENERATION, "acme")).keys() == set(names[2_090:])


async def test_a_filter_that_keeps_one_row_in_a_hundred_loses_none_of_them(index: WeaviateVectorIndex) -> None:
    rng = np.random.default_rng(1)
    vectors = [unit(*rng.standard_normal(DIMENSIONS)) for _ in range(1_000)]
    rows = [
        vector_row(f"c{place:04d}", each, metadata={"size": float(place % 100)}) for place, each in enumerate(vectors)
    ]
    await index.write(GENERATION, rows)
    row_filter = parse_filter({"size": 42}, FIELDS)
    asked = np.stack([unit(*rng.standard_normal(DIMENSIONS)) for _ in range(20)])
    for query, hits in zip(
        asked, await index.search(GENERATION, asked, 50, reader(row_filter=row_filter)), strict=True
    ):
        best = sorted((-float(vectors[place] @ query), f"c{place:04d}") for place in range(42, 1_000, 100))
        assert [hit.chunk_id for hit in hits] == [name for _, name in best]


async def test_a_hit_carries_no_vector_and_no_metadata(index: WeaviateVectorIndex) -> None:
    await index.write(GENERATION, [vector_row("c1", metadata={"label": "secret"})])
    [hits] = await index.search(GENERATION, unit(1.0)[None], 1, reader())
    assert hits == [Candidate("c1", "doc", 1, pytest.approx(1.0))]


_SPACES = [" a", "a ", " a ", "\ta", "a\u00a0", "\u0085", "a\nb", "é "]
_CONTROLS = ["\x00", "a\x00", "a\x00b", "a\x01", "a\x02", "a\x03", "a\x1f", "\x7f"]
_OTHERS = ["a", "A", "a.", "=a", "~", "\uffff", "\U0010ffff", "a" * 48, "a" * 49, "a" * 4_000, "*", "a*", "?"]
ODD = st.sampled_from([*_SPACES, *_CONTROLS, *_OTHERS])
TEXT_FIELDS = {**FIELDS, "note": FieldType.STRING}
ODD_METADATA = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("label", "note", "release", "title"), ODD) | {"tags": st.lists(ODD).map(tuple)}
)
ODD_CONDITIONS = st.one_of(
    st.tuples(
        st.sampled_from(["label", "note", "release", "title"]),
        st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]),
        ODD,
    ),
    st.tuples(st.just("tags"), st.sampled_from(["$in", "$nin"]), st.lists(ODD, max_size=3)),
).map(lambda parts: {parts[0]: {parts[1]: parts[2]}})


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(ODD_METADATA, min_size=1, max_size=12), conditions=st.lists(ODD_CONDITIONS, min_size=4, max_size=8)
)
async def test_white_space_control_characters_and_long_texts_compare_as_in_the_reference(
    index: WeaviateVectorIndex, entries: list[Any], conditions: list[Any]
) -> None:
    await index.drop_tenant("acme")
    rows = [vector_row(f"c{place:02d}", metadata=each) for place, each in enumerate(entries)]
    await index.write(GENERATION, rows)
    for raw in conditions:
        try:
            row_filter = parse_filter(raw, TEXT_FIELDS)
        except InvalidRequest:
            continue  # no version
        assert row_filter is not None
        expected = [row.chunk_id for row in rows if row_filter.matches(row.metadata)]
        assert await found(index, row_filter=row_filter) == expected, raw
