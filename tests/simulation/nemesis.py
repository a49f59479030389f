"""Who injects faults: named, chosen from a seed, counted."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chassis.errors import DeadlineExceeded, DependencyUnavailable, HeadwaterError
from chassis.eventlog.engine import LEASE_SECONDS

Call = Callable[[], Awaitable[Any]]

LONGEST_PAUSE_SECONDS = 70.0
LONGEST_CALL_SECONDS = 6.0
"""Of one that a process waits for while it does not stand still."""


class Fault(StrEnum):
    """What may happen at a call of a port. After all but the first two its caller does not know whether it was done."""

    DELAYED = "delayed"
    FAILED_BEFORE = "failed before it was done"
    FAILED_AFTER = "failed after it was done"
    TIMED_OUT = "timed out"
    LANDED_LATE = "done only after its caller had given up"
    DONE_TWICE = "done twice"
    REDELIVERED = "records were delivered again"
    PAUSED = "the worker stood still"
    ZOMBIE = "the worker stood still until it had lost its partitions, and then went on"
    CRASHED = "the worker died"


WEIGHTS = {
    Fault.DELAYED: 20.0,
    Fault.FAILED_BEFORE: 25.0,
    Fault.FAILED_AFTER: 22.0,
    Fault.TIMED_OUT: 15.0,
    Fault.PAUSED: 2.0,
    Fault.ZOMBIE: 3.0,
    Fault.CRASHED: 5.0,
}
MORTAL = frozenset({Fault.PAUSED, Fault.ZOMBIE, Fault.CRASHED})
SPECIAL: dict[str, dict[Fault, float]] = {
    # A poll that fails has handed out nothing (see the port), so it has no unknown outcome.
    "consumer.poll": {Fault.FAILED_AFTER: 0.0, Fault.TIMED_OUT: 0.0},
    # What happens just before the commit is what the version compare is for.
    "heads.put": {Fault.ZOMBIE: 40.0, Fault.LANDED_LATE: 15.0},
    "log.append": {Fault.DONE_TWICE: 35.0, Fault.LANDED_LATE: 35.0},
}
TIME_OUTS = {"log.append", "embedder.embed_passages"}
"""Ports that say so with an error of its own; the others know but one."""


@dataclass
class Process:
    """One process, as far as others can tell: it works, stands still, or is gone."""

    name: str
    mortal: bool = True
    dead: bool = False
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.awake.set()

    @property
    def is_gone(self) -> bool:
        return self.dead or (self.task is not None and self.task.done())

    def die(self) -> None:
        """Like SIGKILL: what it does to tidy up reaches nobody."""
        self.dead = True
        if self.task is not None:
            self.task.cancel()

    def check(self) -> None:
        if self.dead:
            raise _gone()


@dataclass
class Nemesis:
    """Chooses a fault for a share of all calls of ports."""

    dice: random.Random
    rate: float
    active: bool = True
    deadly: frozenset[str] = frozenset()
    """Calls at which a worker dies one time in five, whatever the rate is."""
    journal: list[str] = field(default_factory=list)
    injected: Counter[Fault] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    """Of workers, by the method that was called."""
    struck: Counter[str] = field(default_factory=Counter)
    """The same, of calls that a fault was chosen for."""
    _landing: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def is_busy(self) -> bool:
        """Whether something is still to be done that its caller has given up."""
        return bool(self._landing)

    def between(self, process: Process) -> Callable[[str, Call], Awaitable[Any]]:
        """What all calls of a process go through."""

        async def around(name: str, call: Call) -> Any:
            if not process.awake.is_set():
                await process.awake.wait()
            process.check()
            fault = self._choose(process, name)
            result = await (call() if fault is None else self._inject(fault, process, name, call))
            if not process.awake.is_set():
                await process.awake.wait()
            return result

        return around

    def _choose(self, process: Process, name: str) -> Fault | None:
        if not self.active:
            return None
        if process.mortal:
            self.calls[name] += 1
        if process.mortal and name in self.deadly and self.dice.random() < 0.2:
            return self._struck(process, name, Fault.CRASHED)
        if self.dice.random() >= self.rate:
            return None
        weights = {**WEIGHTS, **SPECIAL.get(name, {})}
        kinds = [each for each in weights if process.mortal or each not in MORTAL]
        (fault,) = self.dice.choices(kinds, [weights[each] for each in kinds])
        return self._struck(process, name, fault)

    def _struck(self, process: Process, name: str, fault: Fault) -> Fault:
        self.struck[name] += 1
        self.note(process.name, name, fault)
        return fault

    def note(self, who: str, name: str, fault: Fault) -> None:
        """Counts a fault."""
        self.injected[fault] += 1
        self.journal.append(f"{asyncio.get_running_loop().time():.3f} {who} {name}: {fault}")

    async def _inject(self, fault: Fault, process: Process, name: str, call: Call) -> Any:
        match fault:
            case Fault.DELAYED:
                await self._pass(process, self.dice.uniform(0, 2))
                return await call()
            case Fault.FAILED_BEFORE:
                raise DependencyUnavailable("Failed before.")
            case Fault.FAILED_AFTER:
                await call()
                raise DependencyUnavailable("Failed after.")
            case Fault.TIMED_OUT:
                raise await self._time_out(process, name, call)
            case Fault.LANDED_LATE:
                task = asyncio.create_task(self._land(call, self.dice.uniform(0.1, 8)))
                self._landing.add(task)
                task.add_done_callback(self._landing.discard)
                raise _given_up(name)
            case Fault.DONE_TWICE:
                await call()
                return await call()
            case Fault.CRASHED:
                if self.dice.random() < 0.5:
                    await call()
                process.die()
                raise _gone()
            case Fault.PAUSED | Fault.ZOMBIE:
                return await self._stand_still(fault, process, call)
            case Fault.REDELIVERED:
                raise AssertionError("That is the log's: see ``WatchedLog``.")

    async def _time_out(self, process: Process, name: str, call: Call) -> HeadwaterError:
        """It was done, or it was not: the caller waits, and never knows."""
        done = self.dice.random() < 0.5
        await self._pass(process, self.dice.uniform(0.1, LONGEST_CALL_SECONDS / 2))
        if done:
            await call()
        await self._pass(process, self.dice.uniform(0.1, LONGEST_CALL_SECONDS / 2))
        return _given_up(name)

    async def _stand_still(self, fault: Fault, process: Process, call: Call) -> Any:
        # Writing late *and* dying before it is noticed leaves rows for the audit to mend, not for the worker.
        process.mortal = False
        brief = fault is Fault.PAUSED
        bounds = (1.0, LEASE_SECONDS - 1) if brief else (LEASE_SECONDS + 5, LONGEST_PAUSE_SECONDS)
        process.awake.clear()
        asyncio.get_running_loop().call_later(self.dice.uniform(*bounds), process.awake.set)
        await process.awake.wait()
        return await call()

    async def _pass(self, process: Process, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await process.awake.wait()
        process.check()

    async def _land(self, call: Call, seconds: float) -> None:
        await asyncio.sleep(seconds)
        try:
            await call()
        except HeadwaterError:
            return  # nobody waits for it any more


def _gone() -> HeadwaterError:
    return DependencyUnavailable("This process is gone.")


def _given_up(name: str) -> HeadwaterError:
    kind = DeadlineExceeded if name in TIME_OUTS else DependencyUnavailable
    return kind("No answer in time: it may have been done.")
