"""Nobody sees what he may not read: random programs over the real stores (P6, P14 of docs/guarantees.md), and
proof that they would notice if a check were missing."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from unittest.mock import patch

import numpy as np
import prometheus_client
import pytest
from opentelemetry import trace
from tests.e2e.installation import settings
from tests.integration.access_program import GROUPS, READING, SUBJECTS, Program
from tests.integration.doors import ASKS, LOOKS, SEARCHES
from tests.integration.platform_world import PlatformWorld, platform_world

from chassis.errors import HeadwaterError
from chassis.identity import Caller, Scope
from chassis.telemetry import setup, tracing
from corpus.access import access_tokens
from corpus.adapters.numpy.tables import AccessTable
from corpus.adapters.places import IndexPlace
from corpus.analysis import analyse
from corpus.ports import Prefilter
from gateway.settings import GatewaySettings
from headwater.gateway.v1 import gateway_pb2
from headwater.retrieval.v1 import retrieval_pb2
from ingest.domain import Delete, Draft, SetAccess, StoredContent, Upsert, content_key
from retriever import citations
from retriever.stages import ranking
from retriever.stages.head_check import Rejection

SEEDS = range(int(os.environ.get("HEADWATER_PROGRAMS", "4")))
CLUSTER_SEEDS = SEEDS[: max(1, len(SEEDS) // 4)]
PROGRAMS = [
    *[("embedded", seed) for seed in SEEDS],
    *[pytest.param("cluster", seed, marks=pytest.mark.cluster) for seed in CLUSTER_SEEDS],
]


@pytest.fixture
async def platform(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PlatformWorld]:
    """Over the embedded engines, or those that a test asks for: an installation on servers takes many seconds."""
    chosen = await asyncio.to_thread(installation, getattr(request, "param", "embedded"))
    async with platform_world(tmp_path, chosen) as world:
        yield world


def installation(profile: str) -> Mapping[str, str]:
    """Settings of an installation of its own; empty for the embedded profile."""
    with patch.dict(os.environ, {"HEADWATER_PROFILE": profile}):
        return settings()


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Everything that goes into logs, spans and metrics from now on."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    telemetry = setup(GatewaySettings(data_dir=tmp_path / "telemetry", log_level="DEBUG"))

    def all_of_it() -> str:
        metrics = prometheus_client.generate_latest(telemetry.registry).decode()
        telemetry.shutdown()
        spans = (tmp_path / "telemetry" / "traces" / "gateway.jsonl").read_text()
        logs = "".join(capsys.readouterr())
        assert spans
        assert logs
        assert "headwater_" in metrics
        return metrics + spans + logs

    yield all_of_it
    telemetry.shutdown()
    root.handlers[:], root.level = handlers, level
    tracing.use(trace.NoOpTracerProvider())


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("platform", "seed"), PROGRAMS, indirect=["platform"])
async def test_nobody_ever_sees_what_he_may_not_read(
    platform: PlatformWorld, said: Callable[[], str], seed: int
) -> None:
    program = Program(platform, random.Random(seed))
    await program.run()
    # A program that shows nothing proves nothing.
    assert sum(count for door, count in program.doors.items() if door.startswith("search")) > 10
    assert program.keys
    assert program.cited > 0
    assert len(program.refusals) <= len(LOOKS), "refusals tell what is hidden from what is not there"
    told = said()
    assert [word for word in program.words if word in told] == []


async def test_every_door_shows_something_to_those_who_may_see_it(platform: PlatformWorld) -> None:
    program = Program(platform, random.Random(7))
    await platform.corpus.tenants.create("acme", {}, at=platform.clock.now())
    await program.upsert("acme", "doc-0")
    await program.send("acme", "doc-0", 10, SetAccess(("public",), 0))
    await platform.settle()
    known, doors = program.known["acme", "doc-0"], platform.doors
    reader = Caller("acme", "ann", frozenset(), 0, READING)
    for door in SEARCHES:
        (hit,) = {each[0] for each in (await doors.search(door, "maintenance code", reader)).hits}
        assert hit == "doc-0", door
    asked = f"What is the maintenance code of the {known.topic}?"
    for door in ASKS:
        assert known.word.encode() in (await doors.ask(door, asked, reader)).raw, door
    answer = await doors.ask("grpc", asked, reader)
    for door in LOOKS:
        assert known.word.encode() in (await doors.replay(door, answer.answer_id, reader)).raw, door
        assert (await doors.list(door, reader)).documents == {"doc-0"}, door
        assert (await doors.get(door, "doc-0", reader)).documents == {"doc-0"}, door
    # Two texts were searched for, two sentences read again and again: all that could be remembered was.
    assert [model.asked for model in platform.models] == [2, len(ASKS) + 1 + 2]


async def test_names_that_look_alike_are_different_people(platform: PlatformWorld) -> None:
    program = Program(platform, random.Random(1))
    await platform.corpus.tenants.create("acme", {}, at=platform.clock.now())
    for number, name in enumerate((*[f"user:{each}" for each in SUBJECTS], *[f"group:{each}" for each in GROUPS])):
        await program.upsert("acme", f"doc-{number}")
        known = program.known[("acme", f"doc-{number}")]
        known.version, known.principals, known.level, known.expires_at = known.version + 2, frozenset({name}), 0, None
        text = program.texts[("acme", f"doc-{number}")]
        content = StoredContent(content_key("acme", f"{number:064x}"), f"{number:064x}", len(text))
        await platform.ingest.stores.objects.put(content.object_key, text.encode())
        draft = Draft(f"doc-{number}", known.version, filename="a.txt", principals=(name,))
        await program.send("acme", f"doc-{number}", known.version, Upsert(draft, content))
    names = [*[(each, frozenset[str]()) for each in SUBJECTS], *[("nobody", frozenset({each})) for each in GROUPS]]
    for number, (subject, groups) in enumerate(names):
        caller = Caller("acme", subject, groups, 0, READING)
        query = retrieval_pb2.SearchQuery(text="maintenance code", k=100)
        response = await platform.search.search(gateway_pb2.SearchRequest(query=query), caller)
        assert {hit.document_id for hit in response.result.hits} == {f"doc-{number}"}


async def test_a_caller_in_five_thousand_groups_sees_exactly_what_one_of_them_opens(platform: PlatformWorld) -> None:
    program = Program(platform, random.Random(2))
    await platform.corpus.tenants.create("acme", {}, at=platform.clock.now())
    for number in range(3):
        await program.upsert("acme", f"doc-{number}")
        version = program.known[("acme", f"doc-{number}")].version + 1
        await program.send("acme", f"doc-{number}", version, SetAccess((f"group:team-{number * 2499}",), 0))
    await program.send("acme", "doc-2", 99, SetAccess(("group:team-5000",), 0))
    crowd = Caller("acme", "ann", frozenset(f"team-{number}" for number in range(5_000)), 0, READING)
    query = retrieval_pb2.SearchQuery(text="maintenance code", k=100)
    response = await platform.search.search(gateway_pb2.SearchRequest(query=query), crowd)
    assert {hit.document_id for hit in response.result.hits} == {"doc-0", "doc-1"}


@pytest.mark.parametrize("end", ["revoked", "deleted", "superseded"])
async def test_words_of_what_was_taken_away_change_no_count(platform: PlatformWorld, end: str) -> None:
    """Index rows outlive their document by the sweeper's grace: a reader must not be able to probe them."""
    program = Program(platform, random.Random(3))
    await platform.corpus.tenants.create("acme", {}, at=platform.clock.now())
    await program.upsert("acme", "doc-0")
    await program.send("acme", "doc-0", 10, SetAccess(("public",), 0))
    word = program.known[("acme", "doc-0")].word
    if end == "revoked":
        await program.send("acme", "doc-0", 11, SetAccess((), 0))
    elif end == "deleted":
        await program.send("acme", "doc-0", 11, Delete())
    else:
        program.known[("acme", "doc-0")].version, program.known[("acme", "doc-0")].live = 20, False
        await program.upsert("acme", "doc-0")
        await program.send("acme", "doc-0", 30, SetAccess((), 0))
    reader = Caller("acme", "ann", frozenset(), 0, READING)
    sizes = set()
    for text in (word, "unheard-of"):
        query = retrieval_pb2.SearchQuery(text=text, k=10, legs=["lexical"])
        response = await platform.search.search(gateway_pb2.SearchRequest(query=query), reader)
        sizes.add((len(response.result.hits), response.result.dropped_by_head_check))
    assert sizes == {(0, 0)}


async def test_errors_say_the_same_of_what_is_hidden_and_what_is_not_there(platform: PlatformWorld) -> None:
    program = Program(platform, random.Random(4))
    await platform.corpus.tenants.create("acme", {}, at=platform.clock.now())
    await program.upsert("acme", "doc-0")
    await program.send("acme", "doc-0", 10, SetAccess((), 0))
    reader = Caller("acme", "ann", frozenset(), 0, READING)
    said = []
    for document in ("doc-0", "doc-that-never-was"):
        with pytest.raises(HeadwaterError) as caught:
            await platform.ingest.look.get(reader, document)
        said.append((type(caught.value), caught.value.reason, caught.value.message, dict(caught.value.metadata)))
    assert said[0] == said[1]


# -- the checks, one taken away at a time -----------------------------------------------------------------------------


async def test_without_the_head_check_of_searches_the_programs_find_leaks(
    platform: PlatformWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "rejection", lambda head, *rest: None if head else Rejection.UNKNOWN)
    with pytest.raises(AssertionError):
        await Program(platform, random.Random(0)).run()


async def test_without_the_head_check_of_citations_the_programs_find_leaks(
    platform: PlatformWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(citations, "rejection", lambda *parts: None)
    with pytest.raises(AssertionError):
        await Program(platform, random.Random(0)).run()


async def rows_a_prefilter_lets_through(platform: PlatformWorld) -> tuple[set[str], set[str]]:
    """Documents that each leg offers to somebody of tenant "acme-2" who holds every token of "acme"."""
    tokens = access_tokens("acme", ["public", *[f"group:{name}" for name in GROUPS]])
    prefilter = Prefilter("acme-2", tokens, 9)
    generation = platform.ingest.generation.current().name
    stores = platform.corpus
    (near,) = await stores.vectors.search(generation, np.ones((1, 8), np.float32), 100, prefilter)
    (named,) = await stores.lexical.search(generation, [analyse("maintenance code")], 100, prefilter)
    return {each.document_id for each in near}, {each.document_id for each in named}


async def two_tenants(platform: PlatformWorld) -> None:
    program = Program(platform, random.Random(5))
    for tenant in ("acme", "acme-2"):
        await platform.corpus.tenants.create(tenant, {}, at=platform.clock.now())
        await program.upsert(tenant, f"of-{tenant}")
        await program.send(tenant, f"of-{tenant}", 10, SetAccess(("public",), 0))


async def test_a_foreign_tenant_s_tokens_open_no_row_of_his(platform: PlatformWorld) -> None:
    await two_tenants(platform)
    assert await rows_a_prefilter_lets_through(platform) == (set(), set())


async def test_without_a_directory_per_tenant_that_would_be_noticed(
    platform: PlatformWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = IndexPlace.directory

    def shared(self: IndexPlace, root: Path, kind: str) -> Path:
        # Of the vectors only: tantivy's lock lets no second tenant write into a directory to begin with.
        return own(self, root, kind) if "lexical" in kind else root / self.generation / "acme" / kind

    monkeypatch.setattr(IndexPlace, "directory", shared)
    await two_tenants(platform)
    near, _ = await rows_a_prefilter_lets_through(platform)
    assert near == {"of-acme"}


async def candidates_dropped(platform: PlatformWorld, leg: str) -> int:
    """How many candidates of a leg only the head check stops, when nothing has been taken away from anybody."""
    program = Program(platform, random.Random(6))
    await platform.corpus.tenants.create("acme", {}, at=platform.clock.now())
    for number in range(4):
        await program.upsert("acme", f"doc-{number}")
        await program.send("acme", f"doc-{number}", 10, SetAccess((f"group:{GROUPS[number]}",), number))
    writer = Caller("acme", "ann", frozenset({GROUPS[0]}), 0, frozenset(Scope))
    query = retrieval_pb2.SearchQuery(text="maintenance code", k=100, legs=[leg])
    response = await platform.search.search(gateway_pb2.SearchRequest(query=query), writer)
    assert {hit.document_id for hit in response.result.hits} <= {"doc-0"}
    return response.result.dropped_by_head_check


@pytest.mark.parametrize("leg", ["vector", "lexical"])
async def test_the_prefilter_keeps_what_nobody_may_read_from_the_legs(platform: PlatformWorld, leg: str) -> None:
    assert await candidates_dropped(platform, leg) == 0


async def test_without_the_prefilter_that_would_be_noticed(
    platform: PlatformWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything(
        self: AccessTable, tokens: frozenset[str], clearance: int
    ) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.ones(len(self._levels), dtype=np.bool_)

    monkeypatch.setattr(AccessTable, "passing", everything)
    assert await candidates_dropped(platform, "vector") == 3
