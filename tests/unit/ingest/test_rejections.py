"""A worker that refuses everything halts; one that is given bad documents does not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.unit.ingest.operated import Operated
from tests.unit.ingest.world import START, WRITER, World, stop, until

from chassis.clock import ManualClock
from chassis.errors import DependencyUnavailable, DocumentRejected, HeadwaterError
from corpus.adapters.memory.dead_letters import MemoryHalts
from corpus.dead_letters import Halt
from corpus.domain import ChangeState
from ingest.canary import BUILT_IN, Canary, CanaryDocument
from ingest.known_bad import INGEST_HALTED
from ingest.open_changes import LookAtOpenChanges, OpenCause
from ingest.parsing.model import ParsedDocument
from ingest.parsing.registry import parse_document
from ingest.rejections import (
    LEAST_IN_A_MINUTE,
    MOST_IN_A_ROW,
    PROBE_SECONDS,
    TRUST_SECONDS,
    RejectionBreaker,
)

BAD = DocumentRejected("The document is bad.", reason="UNREADABLE")
BROKEN = DocumentRejected("The parsers crash.", reason="PARSER_CRASHED")


class Probe:
    """Says what it is told to, and counts."""

    def __init__(self) -> None:
        self.says: HeadwaterError | None = None
        self.raises: HeadwaterError | None = None
        self.made = 0

    async def failure(self, filename: str | None) -> HeadwaterError | None:
        self.made += 1
        if filename is None:
            return None
        if self.raises:
            raise self.raises
        return self.says


class Rig:
    def __init__(self) -> None:
        self.clock, self.probe, self.board = ManualClock(START), Probe(), MemoryHalts()
        self.told: list[Halt | None] = []

        async def tell(halt: Halt | None) -> None:
            self.told.append(halt)

        self.breaker = RejectionBreaker(self.probe, self.board, self.clock, "node/1", tell)

    async def good(self, times: int = 1) -> None:
        for _ in range(times):
            async with self.breaker.indexing():
                pass

    async def bad(self, times: int = 1) -> None:
        """Documents that are refused, and whose refusal is believed."""
        for _ in range(times):
            with pytest.raises(DocumentRejected):
                async with self.breaker.indexing():
                    raise BAD
            await self.breaker.judge(BAD, "a.pdf")

    async def held(self) -> None:
        with pytest.raises(DependencyUnavailable) as caught:
            await self.breaker.judge(BAD, "a.pdf")
        assert caught.value.reason == INGEST_HALTED

    async def halted(self) -> None:
        self.probe.says = BROKEN
        self.clock.advance(TRUST_SECONDS + 1)
        await self.held()


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_a_broken_deployment_halts_at_its_first_rejection(rig: Rig) -> None:
    rig.probe.says = BROKEN
    await rig.held()
    assert rig.breaker.halt == Halt("node/1", START, START, "PARSER_CRASHED", "The parsers crash.", 1)
    assert rig.told == [rig.breaker.halt]
    assert list(await rig.board.list()) == [rig.breaker.halt]


async def test_one_that_breaks_right_after_a_good_probe_halts_after_100_in_a_row(rig: Rig) -> None:
    await rig.bad()
    # So many good ones that 100 are no fifth of the minute.
    await rig.good(1000)
    rig.probe.says = BROKEN
    await rig.bad(MOST_IN_A_ROW - 1)
    assert rig.breaker.halt is None
    await rig.held()
    assert rig.breaker.halt is not None


async def test_a_fifth_of_a_minute_raises_the_doubt_and_one_in_a_hundred_does_not(rig: Rig) -> None:
    await rig.bad()
    for _ in range(20):
        await rig.good(99)
        await rig.bad()
    assert rig.probe.made == 1
    rig.probe.says = BROKEN
    for _ in range(LEAST_IN_A_MINUTE * 20):
        await rig.good()
        try:
            await rig.breaker.judge(BAD, "")
        except DependencyUnavailable:
            break
    assert rig.breaker.halt is not None
    assert rig.probe.made == 2


async def test_a_few_documents_of_which_many_are_bad_raise_no_doubt_of_their_own(rig: Rig) -> None:
    await rig.bad()
    await rig.good(2)
    await rig.bad(LEAST_IN_A_MINUTE - 3)
    assert rig.probe.made == 1


async def test_150_bad_files_in_a_row_do_not_halt_a_sound_deployment(rig: Rig) -> None:
    await rig.bad(150)
    assert rig.breaker.halt is None
    assert 2 <= rig.probe.made <= 5
    await rig.good()


async def test_a_halted_worker_takes_one_document_every_few_seconds_and_holds_the_others(rig: Rig) -> None:
    await rig.halted()
    for _ in range(3):
        with pytest.raises(DependencyUnavailable):
            await rig.good()
    rig.clock.advance(PROBE_SECONDS + 0.1)
    with pytest.raises(DocumentRejected):
        async with rig.breaker.indexing():
            raise BAD
    with pytest.raises(DependencyUnavailable) as caught:
        await rig.good()
    assert 0 < (caught.value.retry_after_seconds or 0) <= PROBE_SECONDS
    await rig.held()
    [halt] = await rig.board.list()
    assert halt.seen_at == rig.clock.now()
    assert halt.since < halt.seen_at


async def test_it_resumes_when_a_waiting_document_can_be_indexed(rig: Rig) -> None:
    await rig.halted()
    rig.clock.advance(PROBE_SECONDS + 0.1)
    await rig.good()
    assert rig.breaker.halt is None
    assert list(await rig.board.list()) == []
    assert rig.told[-1] is None
    await rig.good(10)


async def test_it_resumes_when_the_waiting_document_is_bad_and_the_built_in_one_is_read(rig: Rig) -> None:
    await rig.halted()
    rig.probe.says = None
    rig.clock.advance(PROBE_SECONDS + 0.1)
    await rig.bad()
    assert rig.breaker.halt is None


async def test_it_resumes_when_an_operator_says_so_and_halts_again_when_nothing_is_better(rig: Rig) -> None:
    await rig.halted()
    rig.clock.advance(1)
    await rig.board.request_resume(rig.clock.now())
    rig.clock.advance(PROBE_SECONDS)
    await rig.bad()
    assert rig.breaker.halt is None
    rig.clock.advance(TRUST_SECONDS + 1)
    await rig.held()
    rig.clock.advance(PROBE_SECONDS + 0.1)
    await rig.held()
    assert rig.breaker.halt is not None, "one word of an operator ends one halt"


async def test_a_halted_worker_without_documents_resumes_by_its_probe_or_an_operator(rig: Rig) -> None:
    await rig.breaker.reconsider()
    await rig.halted()
    made = rig.probe.made
    await rig.breaker.reconsider()
    assert rig.probe.made == made, "not so soon"
    rig.clock.advance(PROBE_SECONDS + 0.1)
    await rig.breaker.reconsider()
    assert rig.breaker.halt is not None
    [halt] = await rig.board.list()
    assert halt.seen_at == rig.clock.now()
    rig.probe.says = None
    rig.clock.advance(PROBE_SECONDS + 0.1)
    await rig.breaker.reconsider()
    assert rig.breaker.halt is None
    assert list(await rig.board.list()) == []
    await rig.halted()
    rig.clock.advance(PROBE_SECONDS + 0.1)
    await rig.board.request_resume(rig.clock.now())
    await rig.breaker.reconsider()
    assert rig.breaker.halt is None


async def test_a_probe_that_can_not_be_made_makes_the_event_wait_and_halts_nothing(rig: Rig) -> None:
    rig.probe.raises = DependencyUnavailable("The embedder is away.", reason="EMBEDDER_DOWN")
    with pytest.raises(DependencyUnavailable) as caught:
        await rig.breaker.judge(BAD, "")
    assert caught.value.reason == "EMBEDDER_DOWN"
    assert rig.breaker.halt is None


async def test_a_run_of_documents_whose_bytes_are_gone_halts_though_the_probe_is_good(rig: Rig) -> None:
    gone = DocumentRejected("The bytes are gone.", reason="CONTENT_MISSING")
    await rig.breaker.judge(gone, "")  # makes the probe, from which on is counted
    for _ in range(LEAST_IN_A_MINUTE - 1):
        await rig.breaker.judge(gone, "")
    assert rig.breaker.halt is None, "some may be missing"
    with pytest.raises(DependencyUnavailable):
        await rig.breaker.judge(gone, "")
    assert rig.breaker.halt is not None
    assert rig.breaker.halt.reason == "CONTENT_MISSING"
    rig.clock.advance(PROBE_SECONDS + 0.1)
    with pytest.raises(DependencyUnavailable):
        await rig.breaker.judge(gone, "")
    rig.clock.advance(PROBE_SECONDS + 0.1)
    await rig.good()
    assert rig.breaker.halt is None


async def test_records_that_are_no_events_are_believed_while_everything_else_is_down_and_count_for_nothing(
    rig: Rig,
) -> None:
    rig.probe.raises = DependencyUnavailable("The embedder is away.")
    rig.probe.says = BROKEN
    for _ in range(2 * MOST_IN_A_ROW):
        await rig.breaker.judge(BAD, None)
    assert rig.breaker.halt is None


async def test_documents_in_work_when_it_halts_wait_without_a_probe_each(rig: Rig) -> None:
    rig.probe.says = BROKEN
    outcomes = await asyncio.gather(*(rig.breaker.judge(BAD, "") for _ in range(30)), return_exceptions=True)
    assert all(isinstance(outcome, DependencyUnavailable) for outcome in outcomes)
    assert rig.probe.made == 1


async def test_a_board_that_is_away_does_not_keep_a_worker_from_halting_or_resuming(rig: Rig) -> None:
    async def away(*args: object) -> None:
        raise DependencyUnavailable("away")

    rig.board.put = rig.board.clear = away  # type: ignore[assignment, method-assign]
    await rig.halted()
    assert rig.breaker.halt is not None
    rig.clock.advance(PROBE_SECONDS + 0.1)
    await rig.good()
    assert rig.breaker.halt is None


class RealParser:
    """The parsers without their sandbox."""

    async def parse(self, data: bytes, filename: str, media_type: str) -> ParsedDocument:
        return await asyncio.to_thread(parse_document, data, filename=filename, media_type=media_type)


async def test_the_built_in_documents_are_read_by_the_real_parsers() -> None:
    async with World() as world:
        canary = Canary(RealParser(), world.apply.index.chunker, world.embedder, world.generation)
        assert await canary.failure("report.DOCX") is None
    assert {document.filename.split(".")[-1] for document in BUILT_IN} == {"md", "html", "pdf", "docx"}


async def test_a_parser_that_reads_something_else_fails_the_probe() -> None:
    class Wrong(RealParser):
        async def parse(self, data: bytes, filename: str, media_type: str) -> ParsedDocument:
            return await super().parse(b"nothing of the kind", "a.txt", "")

    class Raises(RealParser):
        async def parse(self, data: bytes, filename: str, media_type: str) -> ParsedDocument:
            raise ValueError("a defect")

    async with World() as world:
        chunker = world.apply.index.chunker
        wrong = await Canary(Wrong(), chunker, world.embedder, world.generation).failure("")
        raises = await Canary(Raises(), chunker, world.embedder, world.generation).failure("")
    assert wrong is not None
    assert raises is not None


LINES = (CanaryDocument("canary.txt", b"a canary sings"),)


async def test_while_halted_nothing_is_lost_or_given_up_and_status_says_why() -> None:
    """Every parse fails; after the repair everything is applied."""
    async with World() as world:
        operated = Operated(world)
        canary = Canary(world.parser, world.apply.index.chunker, world.embedder, world.generation, LINES)
        breaker = RejectionBreaker(canary, operated.halts, world.clock, "node/1")
        index = replace(world.apply.index, breaker=breaker)
        world.apply = replace(world.apply, index=index)
        world.handler = replace(world.handler, apply=world.apply, doubts=breaker)
        parse = world.parser.parse

        async def broken(data: bytes, filename: str, media_type: str) -> ParsedDocument:
            raise BROKEN

        world.parser.parse = broken  # type: ignore[method-assign]
        ids = [await operated.put(f"doc-{n}", f"words {n}") for n in range(20)]
        worker = asyncio.create_task(world.consumer().run())
        look = LookAtOpenChanges(
            world.stores.ledger, operated.halts, operated.letters, world.clock, world.stores.tenants
        )

        async def halted() -> bool:
            return any(change.cause is OpenCause.HALTED for change in await look.list(WRITER)) and bool(breaker.halt)

        await until(halted)
        world.clock.advance(PROBE_SECONDS * 3)
        assert await operated.all() == []
        assert len(await look.list(WRITER)) == 20
        world.parser.parse = parse  # type: ignore[method-assign]

        async def applied() -> bool:
            world.clock.advance(1)
            return await world.lag() == 0

        await until(applied, 30)
        await stop(worker)
        assert {await operated.state(event_id) for event_id in ids} == {ChangeState.APPLIED}
        assert await operated.all() == []
        assert breaker.halt is None
