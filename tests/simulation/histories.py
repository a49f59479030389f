"""Random histories of ingestion: a generator that notes what was accepted, a nemesis that injects faults from a seed,
and a checker that reads the stores directly.

The oracle is the fold of the log: of one document, a change counts when its version is greater than that of every
change before it that counted. For documents whose greatest version is an upsert or a delete this is the fold by
greatest version, whatever the order was.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.virtual_time import LoopClock, VirtualLoop
from tests.unit.ingest.world import START, TENANT, WRITER, Stores, World

from chassis.errors import DependencyUnavailable, HeadwaterError
from corpus.access import access_tokens
from corpus.adapters.memory.heads import MemoryHeads
from corpus.domain import ChangeState, DocumentKey, Head, HeadState
from corpus.ids import chunk_id
from corpus.ports import PutOutcome
from ingest.codec import CHANGES_TOPIC, decode_change
from ingest.domain import Change, Delete, DocumentChange, Draft, Receipt, SetAccess, Upsert

PARTITIONS = 2
DOCUMENTS = ("a", "b", "c")
GROUPS = ("group:x", "group:y", "public")
TEXTS = (b"One valve.\nTwo pumps.", b"Three filters.")
BAD, BAD_LEVEL = b"BAD bytes", 5
"""Text that no parser takes, and the level by which the oracle knows it."""
GRACE_SECONDS = 3600.0
QUIET_SECONDS = 900.0
"""Virtual time for everything to end after the last fault: the longest back-off and lease fit many times."""


class WatchedHeads(MemoryHeads):
    """Heads that notice when one goes back."""

    async def put(self, head: Head) -> PutOutcome:
        before = await self.get(head.key)
        outcome = await super().put(head)
        after = await self.get(head.key)
        assert after is not None
        assert before is None or after.version >= before.version, f"the head of {head.key} went back"
        return outcome


@dataclass
class Process:
    """One process, as far as others can tell: it works, stands still, or is gone."""

    name: str
    mortal: bool = True
    dead: bool = False
    awake: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.awake.set()


@dataclass
class Nemesis:
    """Delays and fails calls. A failure after the call leaves its caller without knowledge of the outcome."""

    dice: random.Random
    rate: float
    active: bool = True
    journal: list[str] = field(default_factory=list)
    deadly: frozenset[str] = frozenset()
    """Calls at which a process dies one time in five, whatever the rate is."""

    def between(self, process: Process) -> Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]:
        async def around(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
            await process.awake.wait()
            if process.dead:
                raise DependencyUnavailable("This process is gone.")
            fate = self.dice.random() / self.rate if self.active else 1.0
            # Standing still just before the commit is what the version compare is for: it happens more often there.
            if process.mortal and fate < (0.5 if name == "heads.put" else 0.05):
                self._note(process, name, "stands still")
                # Writing late *and* dying before it is noticed leaves rows for the audit to mend, not for the worker.
                process.mortal = False
                process.awake.clear()
                asyncio.get_running_loop().call_later(self.dice.uniform(1, 90), process.awake.set)
                await process.awake.wait()
            elif process.mortal and (fate < 0.1 or (self._is_deadly(name) and self.dice.random() < 0.2)):
                self._note(process, name, "dies")
                process.dead = True
            elif fate < 0.3:
                self._note(process, name, "late")
                await asyncio.sleep(self.dice.uniform(0, 2))
                await process.awake.wait()
            elif fate < 0.6:
                self._note(process, name, "not done")
                raise DependencyUnavailable("Failed before.")
            if process.dead:
                raise DependencyUnavailable("This process is gone.")
            result = await call()
            await process.awake.wait()
            # A poll that fails has handed out nothing (see the port), so it has no unknown outcome.
            if 0.6 <= fate < 0.9 and name != "consumer.poll":
                self._note(process, name, "done, unknown")
                raise DependencyUnavailable("Failed after.")
            return result

        return around

    def _is_deadly(self, name: str) -> bool:
        return self.active and name in self.deadly

    def _note(self, process: Process, name: str, fate: str) -> None:
        self.journal.append(f"{asyncio.get_running_loop().time():.3f} {process.name} {name}: {fate}")


class History:
    """One run: a plan of changes, one worker or more, faults, and then quiet."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.dice = random.Random(seed)
        self.clock: Any = LoopClock(START, loop.time)
        self.stores = Stores(self.clock, loop.time)
        self.stores.heads = WatchedHeads()
        self.nemesis = Nemesis(random.Random(seed + 1), rate=self.dice.choice((0.02, 0.1, 0.3)))
        self.receipts: list[Receipt] = []
        self._changes: dict[tuple[str, int], Change] = {}
        self._exit = AsyncExitStack()
        self._workers: list[tuple[Process, asyncio.Task[None]]] = []

    async def play(self) -> None:
        """Everything up to the moment when the last fault is over and all is quiet."""
        async with self._exit:
            api = await self._world(Process("api", mortal=False))
            self._exit.push_async_callback(self._stop_workers)
            await self._start_worker()
            for _ in range(self.dice.randint(6, 18)):
                await self._disturb()
                await self._change(api)
                await asyncio.sleep(self.dice.choice((0.0, 0.1, 1.0, 5.0, 20.0)))
            self.nemesis.active = False
            for process, task in self._workers:
                if process.dead:
                    task.cancel()
            await self._start_worker()
            await self._until_quiet(api)
            await self._stop_workers()
            await self.checker(api).check()

    def checker(self, api: World) -> Checker:
        """Who looks at the end."""
        return Checker(api, self.receipts)

    async def _stop_workers(self) -> None:
        for process, task in self._workers:
            process.awake.set()
            task.cancel()
        await asyncio.gather(*(task for _, task in self._workers), return_exceptions=True)

    async def _world(self, process: Process) -> World:
        world = World(self.nemesis.between(process), self.stores, PARTITIONS, self.clock)
        return await self._exit.enter_async_context(world)

    async def _start_worker(self) -> None:
        process = Process(f"worker-{len(self._workers)}")
        world = await self._world(process)
        task = asyncio.create_task(world.consumer(max_in_flight=4).run())
        self._workers.append((process, task))

    async def _disturb(self) -> None:
        """Somebody restarts workers that are gone, and replaces those that stand still; sometimes for no reason."""
        process, task = self._workers[-1]
        if process.dead:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if process.dead or not process.awake.is_set() or self.dice.random() < 0.1:
            await self._start_worker()

    async def _change(self, api: World) -> None:
        document_id, version = self.dice.choice(DOCUMENTS), self.dice.randint(1, 14)
        change = self._changes.setdefault((document_id, version), self._invent(document_id, version))
        try:
            match change:
                case Upsert(draft=draft):
                    text = BAD if draft.security_level == BAD_LEVEL else TEXTS[version % 2]
                    receipt = await api.accept.put(WRITER, draft, text)
                case Delete():
                    receipt = await api.accept.delete(WRITER, document_id, version)
                case SetAccess(principals=principals, security_level=level):
                    receipt = await api.accept.set_access(WRITER, document_id, version, principals, level)
        except HeadwaterError:
            return  # refused, or unknown: the log says whether it was accepted
        self.receipts.append(receipt)

    def _invent(self, document_id: str, version: int) -> Change:
        kind = self.dice.random()
        readers = tuple(self.dice.sample(GROUPS, self.dice.randint(0, 2)))
        level = self.dice.randint(0, 1)
        if kind < 0.15:
            return Delete()
        if kind < 0.45:
            return SetAccess(readers, level)
        bad = self.dice.random() < 0.1
        draft = Draft(
            document_id,
            version,
            filename="a.txt",
            doc_type=self.dice.choice(("", "guide")),
            principals=readers,
            security_level=BAD_LEVEL if bad else level,
        )
        return Upsert(draft, None)  # type: ignore[arg-type]  # the API stores the bytes

    async def _until_quiet(self, api: World) -> None:
        async with asyncio.timeout(QUIET_SECONDS):
            while await self._is_busy(api):
                await asyncio.sleep(1.0)

    async def _is_busy(self, api: World) -> bool:
        """Also somebody who stands still will go on with what he was about to do."""
        pending = (await self.stores.ledger.counts(TENANT)).get(ChangeState.PENDING)
        asleep = any(not process.awake.is_set() for process, _ in self._workers)
        return bool(sum((await api.change_log.lag()).values()) or pending or asleep)


@dataclass
class Expected:
    """What the oracle says of one document."""

    version: int
    content: Upsert | None = None
    readers: tuple[str, ...] = ()
    level: int = 0


def fold(events: list[DocumentChange]) -> dict[str, Expected]:
    """The oracle."""
    state: dict[str, Expected] = {}
    for event in events:
        name, now = event.key.document_id, state.get(event.key.document_id)
        if now is not None and event.version <= now.version:
            continue
        match event.change:
            case Upsert(draft=draft) as upsert:
                if draft.security_level != BAD_LEVEL:  # else it is a dead letter
                    state[name] = Expected(event.version, upsert, draft.principals, draft.security_level)
            case Delete():
                state[name] = Expected(event.version)
            case SetAccess(principals=principals, security_level=level):
                content = now.content if now else None
                state[name] = Expected(event.version, content, principals if content else (), level if content else 0)
    return state


class Checker:
    """Compares what the stores hold with what the log says; knows nothing of how ingestion works."""

    def __init__(self, world: World, receipts: list[Receipt]) -> None:
        self.world, self.stores, self.receipts = world, world.stores, receipts
        self.generation = world.generation.current().name

    async def check(self) -> None:
        events = await self.events()
        expected = fold(events)
        await self._check_acceptance(events)
        await self._check_heads(expected)
        live = {name: one for name, one in expected.items() if one.content is not None}
        await self._check_rows(live, swept=False)
        await self._check_access(live)
        self.world.clock.advance(2 * GRACE_SECONDS)
        await self.world.sweeper(GRACE_SECONDS).sweep()
        await self._check_rows(live, swept=True)

    async def events(self) -> list[DocumentChange]:
        """What the log holds, in the order that counts."""
        return [decode_change(value) for value in await self.world.values(CHANGES_TOPIC)]

    async def _check_acceptance(self, events: list[DocumentChange]) -> None:
        ids = {event.event_id for event in events}
        assert {receipt.event_id for receipt in self.receipts} <= ids, "an accepted change is not in the log"
        for event in events:
            newest = await self.stores.ledger.newest(event.key, 100)
            states = [record.state for record in newest if record.version == event.version]
            assert len(states) == 1, "not exactly one ledger row"
            assert states[0] is not ChangeState.PENDING, "a change has not ended"
        letters = {letter.event_id for letter in await self.world.dead_letters()}
        dead = await self.stores.ledger.newest_dead_letters(TENANT, 1000)
        await self._check_letters(letters, {record.event_id for record in dead})

    async def _check_letters(self, letters: set[str], dead: set[str]) -> None:
        assert dead == letters, "dead letters and the ledger differ"

    async def _check_heads(self, expected: dict[str, Expected]) -> None:
        heads = {head.key.document_id: head for head in await self.stores.heads.list(TENANT, include_deleted=True)}
        assert {name: head.version for name, head in heads.items()} == {
            name: one.version for name, one in expected.items()
        }
        for name, one in expected.items():
            head = heads[name]
            assert (head.state is HeadState.LIVE) == (one.content is not None), name
            if one.content is not None:
                assert head.content_sha256 == one.content.content.sha256
                assert head.doc_type == one.content.draft.doc_type
                assert head.access.tokens == access_tokens(TENANT, one.readers)
                assert head.access.security_level == one.level

    async def _check_rows(self, live: dict[str, Expected], *, swept: bool) -> None:
        wanted: set[tuple[str, int]] = set()
        stored: set[tuple[str, int]] = set()
        for name in live:
            head = await self.world.head(name)
            assert head is not None
            assert head.chunk_count > 0
            for ordinal in range(head.chunk_count):
                made = chunk_id(TENANT, name, head.chunks_version, ordinal, self.generation)
                wanted.add((made, head.chunks_version))
        for name in DOCUMENTS:
            for version, generation in await self.stores.chunks.versions_of(DocumentKey(TENANT, name)):
                chunks = await self.stores.chunks.chunks_of(DocumentKey(TENANT, name), version, generation)
                stored |= {(chunk.chunk_id, chunk.chunks_version) for chunk in chunks}
        vectors = set((await self.stores.vectors.chunk_ids(self.generation, TENANT)).items())
        terms = set((await self.stores.lexical.chunk_ids(self.generation, TENANT)).items())
        for rows in (stored, vectors, terms):
            if swept:
                assert rows == wanted, "rows that no head names, or too few"
            else:
                assert rows >= wanted, "a live document lacks rows"

    async def _check_access(self, live: dict[str, Expected]) -> None:
        for group in GROUPS:
            for clearance in (0, 1):
                allowed = {name for name, one in live.items() if group in one.readers and one.level <= clearance}
                for found in (self.world.found_by, self.world.found_by_terms):
                    shown = await found(group, clearance=clearance)
                    assert await self._by_live_rows(shown) == allowed, f"{group} at {clearance}: index and head differ"

    async def _by_live_rows(self, shown: set[tuple[str, int]]) -> set[str]:
        heads = {name: await self.world.head(name) for name, _ in shown}
        return {
            name
            for name, version in shown
            if (head := heads[name]) is not None and head.state is HeadState.LIVE and head.chunks_version == version
        }


@contextmanager
def _seeded_ids(seed: int) -> Iterator[None]:
    """Event and member ids come from the seed as well, so that a replay takes the same course."""
    before, dice = os.urandom, random.Random(seed)
    os.urandom = dice.randbytes
    try:
        yield
    finally:
        os.urandom = before


def history(seed: int, kind: type[History] = History) -> Callable[[VirtualLoop], Any]:
    """The program of one seed; returns the journal of its faults."""

    async def program(loop: VirtualLoop) -> list[str]:
        with _seeded_ids(seed):
            one = kind(seed, loop)
            await one.play()
            return one.nemesis.journal

    return program
