"""A call that fails anywhere on the way of a dead letter, before or after it took effect, changes nothing about how it
ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.simulation.virtual_time import run
from tests.unit.ingest.operated import Operated
from tests.unit.ingest.world import WRITER, World

from chassis.errors import DependencyUnavailable, HeadwaterError
from corpus.dead_letters import LetterState
from corpus.domain import ChangeState
from ingest.dead_letters.decide import LetterOutcome

MOST_CALLS = 80
"""More than there are: the test says when it has seen all of them."""


class Fault:
    """Fails one call of a port, counted from the moment it is armed."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.at, self.after, self.seen, self.armed = at, after, 0, False
        self.hit = ""

    async def __call__(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if not self.armed or name.startswith("consumer."):
            return await call()
        self.seen += 1
        if self.seen - 1 != self.at:
            return await call()
        self.hit = name
        if self.after:
            await call()
        raise DependencyUnavailable("It may or may not have happened.", reason="FAULT", retry_after_seconds=0.0)


async def replay(operated: Operated, event_id: str) -> None:
    """Calls until a call succeeds: after a failure the outcome is unknown."""
    for _ in range(3):
        try:
            [result], _ = await operated.decide.replay(WRITER, [event_id])
        except HeadwaterError:
            continue
        if result.outcome is not LetterOutcome.REFUSED:
            return


async def history(fault: Fault) -> None:
    async with World(fault) as world:
        operated = Operated(world)
        event_id = await operated.put("doc", "BAD valve")
        await operated.append(b"junk")
        fault.armed = True
        await operated.work()
        letters = {letter.letter_id: letter for letter in await operated.all()}
        assert len(letters) == 2, fault.hit
        assert letters[event_id].state is LetterState.OPEN
        assert await operated.state(event_id) is ChangeState.DEAD_LETTERED
        copies = [letter.letter_id for letter in await world.dead_letters()]
        assert set(copies) == letters.keys()
        assert len(copies) <= 2 + bool(fault.hit)
        operated.heal()
        await replay(operated, event_id)
        await operated.work()
        # Whoever is not sure asks once more.
        await replay(operated, event_id)
        await operated.work()
        fault.armed = False
        assert await operated.state(event_id) is ChangeState.APPLIED, fault.hit
        assert await world.text("doc") == "GOOD valve"
        letter = await operated.letters.get(event_id)
        assert letter is not None
        assert (letter.state, letter.outcome) == (LetterState.REPLAYED, ChangeState.APPLIED), fault.hit


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_fault_at_any_call_of_a_dead_letter_and_its_replay_does_no_harm(after: bool) -> None:
    hit: set[str] = set()
    for at in range(MOST_CALLS):
        fault = Fault(at, after=after)
        run(lambda _, fault=fault: history(fault))  # type: ignore[misc]
        if not fault.hit:
            break
        hit.add(fault.hit)
    else:
        pytest.fail("there are more calls than are tried")
    assert {"letters.put", "letters.get", "objects.put", "log.append", "ledger.finish", "ledger.reopen"} <= hit
    assert {"known_bad.note", "known_bad.forget", "heads.put"} <= hit
