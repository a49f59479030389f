"""Joining concurrent calls into groups."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from chassis.errors import DependencyUnavailable, InvalidRequest
from corpus.adapters.coalescing import Coalescer


class Gate:
    """Work that stands still until it is let go, and remembers its groups."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, list[int]]] = []
        self.entered = threading.Event()
        self.open = threading.Event()

    def work(self, key: str, items: Sequence[int]) -> Sequence[int | BaseException]:
        self.groups.append((key, list(items)))
        self.entered.set()
        assert self.open.wait(10)
        if 13 in items:
            raise DependencyUnavailable("down", reason="DOWN", retry_after_seconds=2)
        return [InvalidRequest("odd") if item == 7 else item * 2 for item in items]


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def coalescer(gate: Gate) -> AsyncIterator[Coalescer[str, int, int]]:
    with ThreadPoolExecutor(2) as executor:
        made = Coalescer[str, int, int](gate.work, executor, max_group=4, name="test")
        yield made
        gate.open.set()
        await made.close()


async def started(gate: Gate, coalescer: Coalescer[str, int, int], key: str, item: int) -> asyncio.Task[int]:
    task = asyncio.create_task(coalescer.run(key, item))
    assert await asyncio.to_thread(gate.entered.wait, 10)
    return task


async def test_what_arrives_during_a_group_forms_the_next_ones_in_order(
    gate: Gate, coalescer: Coalescer[str, int, int]
) -> None:
    first = await started(gate, coalescer, "a", 0)
    rest = [asyncio.create_task(coalescer.run("a", item)) for item in range(1, 7)]
    await asyncio.sleep(0)
    gate.open.set()
    assert await asyncio.gather(first, *rest) == [0, 2, 4, 6, 8, 10, 12]
    assert gate.groups == [("a", [0]), ("a", [1, 2, 3, 4]), ("a", [5, 6])]


async def test_keys_do_not_wait_for_each_other(gate: Gate, coalescer: Coalescer[str, int, int]) -> None:
    first = await started(gate, coalescer, "a", 1)
    gate.entered.clear()
    second = await started(gate, coalescer, "b", 2)
    gate.open.set()
    assert [await first, await second] == [2, 4]


async def test_one_items_error_is_its_callers_alone(gate: Gate, coalescer: Coalescer[str, int, int]) -> None:
    gate.open.set()
    results = await asyncio.gather(*(coalescer.run("a", item) for item in (1, 7, 2)), return_exceptions=True)
    assert results[0] == 2
    assert isinstance(results[1], InvalidRequest)
    assert results[2] == 4


async def test_an_error_of_the_work_reaches_every_caller_and_the_next_group_runs(
    gate: Gate, coalescer: Coalescer[str, int, int]
) -> None:
    first = await started(gate, coalescer, "a", 1)
    rest = [asyncio.create_task(coalescer.run("a", item)) for item in (13, 2)]
    await asyncio.sleep(0)
    gate.open.set()
    assert await first == 2
    errors = await asyncio.gather(*rest, return_exceptions=True)
    assert [(type(error), getattr(error, "reason", "")) for error in errors] == [(DependencyUnavailable, "DOWN")] * 2
    assert errors[0] is not errors[1]
    assert await coalescer.run("a", 3) == 6


async def test_a_caller_that_left_is_not_worked_for(gate: Gate, coalescer: Coalescer[str, int, int]) -> None:
    first = await started(gate, coalescer, "a", 1)
    gone = asyncio.create_task(coalescer.run("a", 2))
    stays = asyncio.create_task(coalescer.run("a", 3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    gate.open.set()
    assert [await first, await stays] == [2, 6]
    assert gate.groups == [("a", [1]), ("a", [3])]


async def test_closing_finishes_what_was_handed_in_and_refuses_the_rest(
    gate: Gate, coalescer: Coalescer[str, int, int]
) -> None:
    first = await started(gate, coalescer, "a", 1)
    closing = asyncio.create_task(coalescer.close())
    await asyncio.sleep(0)
    with pytest.raises(DependencyUnavailable):
        await coalescer.run("a", 2)
    gate.open.set()
    await closing
    assert first.done()
    assert await first == 2
