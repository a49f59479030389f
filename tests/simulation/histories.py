"""Random histories of ingestion: a generator that notes what was accepted, a nemesis that injects faults from a seed
(``nemesis``), an onlooker who searches meanwhile (``onlooker``), and a checker that reads the stores (``checker``)."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.simulation.checker import DOCUMENTS, GROUPS, Checker
from tests.simulation.nemesis import Nemesis, Process
from tests.simulation.onlooker import Onlooker
from tests.simulation.oracle import BAD, BAD_LEVEL, TEXTS
from tests.simulation.stores import SimulatedStores
from tests.simulation.virtual_time import LoopClock, VirtualLoop
from tests.unit.ingest.world import START, WRITER, World

from chassis.errors import HeadwaterError
from corpus.domain import ChangeState
from ingest.domain import Change, Delete, DocumentChange, Draft, Receipt, SetAccess, Upsert

QUIET_SECONDS = 900.0
"""Virtual time for everything to end after the last fault: the longest back-off and lease fit many times."""
MOST_WORKERS = 3
"""At a time, besides those that stand still."""


@dataclass(frozen=True)
class Told:
    """What a history was like, for those who ask whether it was one worth telling."""

    journal: list[str]
    seen: Counter[str]
    """Faults, and whatever else must come about in a block of histories, by name."""
    calls: Counter[str]
    struck: Counter[str]


class History:
    """One run: a plan of changes, one worker or more, faults, and then quiet."""

    by_version = False
    """Whether changes count by their versions, whatever their order in the log."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.dice = random.Random(seed)
        self.partitions = self.dice.randint(1, 4)
        self.documents = DOCUMENTS[: self.dice.randint(1, len(DOCUMENTS))]
        self.nemesis = Nemesis(random.Random(seed + 1), rate=self.dice.choice((0.02, 0.1, 0.3)))
        self.clock: Any = LoopClock(START, loop.time)
        self.stores = SimulatedStores(self.clock, loop.time, self.nemesis)
        self.receipts: list[Receipt] = []
        self.seen: Counter[str] = Counter()
        self._changes: dict[tuple[str, int], Change] = {}
        self._exit = AsyncExitStack()
        self._workers: list[Process] = []

    async def play(self) -> Told:
        """Everything up to the moment when the last fault is over and all is quiet."""
        async with self._exit:
            api = await self._world(Process("api", mortal=False))
            generation = api.generation.current().name
            onlooker = Onlooker(self.stores, generation, self.dice, self.clock, by_version=self.by_version)
            watching = asyncio.create_task(onlooker.watch())
            self._exit.push_async_callback(self._stop, watching)
            for _ in range(self.dice.randint(1, MOST_WORKERS)):
                await self._start_worker()
            for _ in range(self.dice.randint(6, 18)):
                await self._disturb()
                await self._change(api)
                await asyncio.sleep(self.dice.choice((0.0, 0.0, 0.1, 1.0, 4.0, 15.0)))
            self.nemesis.active = False
            await self._start_worker()
            await self._until_quiet(api)
            await self._stop(watching)
            assert not self.stores.violations, self.stores.violations
            await self.checker(api).check()
            return self._told(onlooker)

    def checker(self, api: World) -> Checker:
        """Who looks at the end."""
        return Checker(api, self.stores, self.receipts)

    def _told(self, onlooker: Onlooker) -> Told:
        self.seen.update({str(fault): count for fault, count in self.nemesis.injected.items()})
        self.seen.update(looks=onlooker.looks, served=onlooker.served)
        newest: dict[str, DocumentChange] = {}
        for event in self.stores.log.changes:
            before = newest.get(event.key.document_id)
            if before is not None and event.version < before.version:
                self.seen["reordered"] += 1
                continue
            if before is not None and isinstance(before.change, Delete) and isinstance(event.change, Upsert):
                self.seen["created again"] += 1
            newest[event.key.document_id] = event
            self.seen[event.kind] += 1
        return Told(self.nemesis.journal, self.seen, self.nemesis.calls, self.nemesis.struck)

    async def _stop(self, watching: asyncio.Task[None]) -> None:
        tasks = [process.task for process in self._workers if process.task is not None]
        for process in self._workers:
            process.awake.set()
        for task in (watching, *tasks):
            task.cancel()
        ended = await asyncio.gather(watching, *tasks, return_exceptions=True)
        if isinstance(ended[0], Exception):
            raise ended[0]

    async def _world(self, process: Process) -> World:
        world = World(self.nemesis.between(process), self.stores, self.partitions, self.clock)
        return await self._exit.enter_async_context(world)

    async def _start_worker(self) -> None:
        process = Process(f"worker-{len(self._workers)}")
        world = await self._world(process)
        process.task = asyncio.create_task(self._work(world))
        self._workers.append(process)

    async def _work(self, world: World) -> None:
        await world.consumer(max_in_flight=4).run()

    async def _disturb(self) -> None:
        """Somebody restarts workers that are gone, and replaces those that stand still; sometimes for no reason."""
        awake = [process for process in self._workers if not process.is_gone and process.awake.is_set()]
        if not awake or self.dice.random() < 0.1:
            await self._start_worker()
            self.seen["workers started"] += 1
            if len(awake) >= MOST_WORKERS:  # a rolling restart
                assert awake[0].task is not None
                awake[0].task.cancel()
                self.seen["workers stopped"] += 1

    async def _change(self, api: World) -> None:
        document_id, version = self.dice.choice(self.documents), self.dice.randint(1, 14)
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
        pending = (await self.stores.ledger.counts(await self.stores.tenant_id())).get(ChangeState.PENDING)
        asleep = any(not process.awake.is_set() for process in self._workers)
        return bool(sum((await api.change_log.lag()).values()) or pending or asleep or self.nemesis.is_busy)


@contextmanager
def seeded_ids(seed: int) -> Iterator[None]:
    """Event and member ids come from the seed as well, so that a replay takes the same course."""
    before, dice = os.urandom, random.Random(seed)
    os.urandom = dice.randbytes
    try:
        yield
    finally:
        os.urandom = before


def history(seed: int, kind: type[History] = History) -> Callable[[VirtualLoop], Any]:
    """The program of one seed; returns what it was like."""

    async def program(loop: VirtualLoop) -> Told:
        with seeded_ids(seed):
            return await kind(seed, loop).play()

    return program
