"""Whether rejections are the documents' fault: a worker that refuses everything must not drain the log into the dead
letters (docs/dead-letters.md, "Halts").

A rejection is believed as long as a probe has lately shown that this worker reads a built-in document. A probe is made

    when the last good one is older than half a minute,
    after 100 rejections in a row,
    when a fifth of at least 50 documents of the last minute was refused.

A run of rejections that no document can be at fault for (its stored bytes are gone, its vectors are none) needs no
probe: it halts the worker after as many. So does a run of any rejections where there is nothing to probe, as with
records of sources: whether their mapping or the records are wrong is for people to say.

A probe that fails halts the worker: the rejected document and all others wait, nothing is committed or given up;
deletes and changes of access are applied. Every few seconds one waiting document is tried. It ends the halt when it can
be indexed, or when it is refused and the built-in document is not. An operator may end it as well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol

import structlog

from chassis.clock import Clock
from chassis.errors import DependencyUnavailable, HeadwaterError
from chassis.telemetry.metrics import INGEST_HALTED as HALTED_GAUGE
from corpus.dead_letters import Halt, Halts
from ingest.known_bad import INGEST_HALTED

_log = structlog.get_logger()

MOST_IN_A_ROW: Final = 100
MOST_OF_A_MINUTE: Final = 0.2
LEAST_IN_A_MINUTE: Final = 50
"""One of three is a third, and tells nothing."""
WINDOW_SECONDS: Final = 60.0
TRUST_SECONDS: Final = 30.0
"""How long a good probe is good for: a probe costs as much as a few small documents."""
PROBE_SECONDS: Final = 5.0
"""Between two probes of a halted worker."""
RECORD_SECONDS: Final = 0.5
"""Between two tries where there is nothing to probe: they cost little, and only a good one among those that wait ends
the halt."""
_NOT_THE_DOCUMENT: Final = frozenset({"CONTENT_MISSING", "BAD_VECTOR"})
_SAME_SECONDS: Final = 1.0
"""A probe that failed so long ago need not be made again."""


class Probe(Protocol):
    """Documents of ours, of which every sound deployment can read every one."""

    async def failure(self, filename: str | None) -> HeadwaterError | None:
        """What the built-in documents are refused with, None when they are read. ``filename`` is of the document that
        gave rise to the doubt: its format is tried as well. None: of a record that could not be read, so that only a
        built-in event is. Raises an error to back off from when it can't be told now."""
        ...


async def _tell_nobody(halt: Halt | None) -> None:
    del halt


@dataclass(slots=True)
class RejectionBreaker:
    """One per worker, for all its lanes. Safe for concurrent use within one event loop.

    Args:
        probe: None: there is no telling, and many rejections are too many.
        on_change: Told of every halt, and with None of its end.
        part: As metrics call it.
    """

    probe: Probe | None
    board: Halts
    clock: Clock
    worker: str
    on_change: Callable[[Halt | None], Awaitable[None]] = _tell_nobody
    part: str = "changes"
    _halt: Halt | None = None
    _in_a_row: int = 0
    _minute: deque[tuple[float, bool]] = field(default_factory=deque)
    _refused: int = 0
    _failed_at: float | None = None
    _trusted_at: float | None = None
    _next_probe: float = 0.0
    _judging: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def halt(self) -> Halt | None:
        """The halt that the worker is in."""
        return self._halt

    @asynccontextmanager
    async def indexing(self) -> AsyncIterator[None]:
        """Encloses the indexing of one document. Raises DependencyUnavailable INGEST_HALTED while the worker is halted,
        except for one document every few seconds."""
        if self._halt is not None:
            await self._admit_or_hold(self._halt)
        yield
        self._in_a_row = 0
        self._note(good=True)
        if self._halt is not None:
            await self._resume("a waiting document was indexed")

    async def judge(self, error: HeadwaterError, filename: str | None) -> None:
        """Returns when a rejection is to be believed; see ``ingest.handle.Doubts``."""
        async with self._judging:
            if filename is None:
                # Reading an event costs nothing and needs nobody, so it is tried each time: whatever else may be down,
                # a record that is none stops nobody.
                failure = await self.probe.failure(None) if self.probe else None
                if failure is not None:
                    await self._stop(failure)
                    raise self._held()
                return
            self._in_a_row += 1
            self._note(good=False)
            if self._halt is None and not self._in_doubt():
                return
            if self._failed_at is not None and self.clock.monotonic() - self._failed_at < _SAME_SECONDS:
                raise self._held()  # was in work when another one's rejection halted the worker
            failure = await self._failure(error, filename)
            if failure is None:
                self._trust()
                if self._halt is not None:
                    await self._resume("the built-in documents are read again")
                return
            await self._stop(failure)
            raise self._held()

    async def _admit_or_hold(self, halt: Halt) -> None:
        now = self.clock.monotonic()
        if now < self._next_probe:
            raise self._held()
        self._next_probe = now + self._pause()
        await self._look_at_board(halt)

    async def reconsider(self) -> None:
        """For a halted worker that has no document to try: makes the probe again, unless documents are being tried.
        Raises what a probe raises that could not be made."""
        halt = self._halt
        if halt is None or self.clock.monotonic() < self._next_probe:
            return
        self._next_probe = self.clock.monotonic() + self._pause()
        await self._look_at_board(halt)
        if self.probe is None or halt.reason in _NOT_THE_DOCUMENT:
            return  # the probe was good all the time
        async with self._judging:
            if self._halt is not None and await self.probe.failure("") is None:
                await self._resume("the built-in documents are read again")

    async def _look_at_board(self, halt: Halt) -> None:
        """Says that the worker is halted still, and goes on if an operator asked for it."""
        try:
            asked = await self.board.resume_requested_at()
            if self._halt is None:
                return
            if asked is not None and asked > halt.since:
                await self._resume("an operator asked for it")
                return
            self._halt = replace(self._halt, seen_at=self.clock.now())
            await self.board.put(self._halt)
            if self._halt is None:
                await self.board.clear(self.worker)  # it went on meanwhile
        except HeadwaterError as error:
            # Whether it can be seen from outside or not, documents are tried.
            _log.warning("halt_not_told", reason=error.reason)

    async def _failure(self, error: HeadwaterError, filename: str) -> HeadwaterError | None:
        """What speaks against believing the rejection."""
        if self.probe is None or (error.reason in _NOT_THE_DOCUMENT and (self._halt is not None or self._are_many())):
            return error
        return await self.probe.failure(filename)

    async def leave(self) -> None:
        """Takes back what a halted worker said, when it is stopped."""
        if self._halt is not None:
            try:
                await self.board.clear(self.worker)
            except HeadwaterError as error:
                _log.warning("resumption_not_told", reason=error.reason)

    def _pause(self) -> float:
        return PROBE_SECONDS if self.probe else RECORD_SECONDS

    def _in_doubt(self) -> bool:
        if self.probe is None:
            return self._are_many()
        if self._trusted_at is None or self.clock.monotonic() - self._trusted_at > TRUST_SECONDS:
            return True
        return self._are_many()

    def _are_many(self) -> bool:
        many = len(self._minute) >= LEAST_IN_A_MINUTE and self._refused >= MOST_OF_A_MINUTE * len(self._minute)
        return self._in_a_row >= MOST_IN_A_ROW or many

    def _note(self, *, good: bool) -> None:
        now = self.clock.monotonic()
        self._minute.append((now, good))
        self._refused += not good
        while self._minute[0][0] < now - WINDOW_SECONDS:
            self._refused -= not self._minute.popleft()[1]

    def _trust(self) -> None:
        self._trusted_at = self.clock.monotonic()
        self._failed_at = None
        self._in_a_row = self._refused = 0
        self._minute.clear()

    async def _stop(self, failure: HeadwaterError) -> None:
        self._failed_at = self.clock.monotonic()
        self._next_probe = self._failed_at + self._pause()
        now = self.clock.now()
        since = self._halt.since if self._halt else now
        self._halt = Halt(self.worker, since, now, failure.reason, failure.message, self._in_a_row)
        self._trusted_at = None
        HALTED_GAUGE.set(1, part=self.part)
        _log.error(
            "ingest_halted", part=self.part, reason=failure.reason, rejections=self._in_a_row, since=since.isoformat()
        )
        await self.on_change(self._halt)
        try:
            await self.board.put(self._halt)
        except HeadwaterError as error:
            _log.warning("halt_not_told", reason=error.reason)

    async def _resume(self, why: str) -> None:
        halted, self._halt = self._halt, None
        self._trust()
        HALTED_GAUGE.set(0, part=self.part)
        _log.warning("ingest_resumes", part=self.part, why=why, since=_text(halted.since if halted else None))
        await self.on_change(None)
        try:
            await self.board.clear(self.worker)
        except HeadwaterError as error:
            # Seen as of long ago, it is taken for the word of a worker that died.
            _log.warning("resumption_not_told", reason=error.reason)

    def _held(self) -> DependencyUnavailable:
        return DependencyUnavailable(
            "The worker refuses documents that it should be able to read, and takes no changes until it can: "
            "headwater status says why.",
            reason=INGEST_HALTED,
            retry_after_seconds=max(self._next_probe - self.clock.monotonic(), 0.1),
        )


def _text(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""
