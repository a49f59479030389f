"""One queue for all callers: order, priorities, what is dropped, what is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest

from chassis.errors import DependencyUnavailable, Overloaded
from inference.batching import PassRecord, TokenBudgetBatcher
from inference.domain import Priority

DEADLINE_SECONDS = 10.0


class Encoder:
    """Doubles numbers; an item's length is the item. Passes wait at a gate until they are let through."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.open()

    def open(self) -> None:
        self.gate.set()

    def shut(self) -> None:
        self.gate.clear()

    def run(self, items: Sequence[int]) -> list[int]:
        self.passes.append(list(items))
        self.begun.release()
        if not self.gate.wait(DEADLINE_SECONDS):
            raise TimeoutError
        if 666 in items:
            raise ArithmeticError("unlucky")
        return [2 * item for item in items]

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=DEADLINE_SECONDS)


@asynccontextmanager
async def batcher(encoder: Encoder, **options: object) -> AsyncIterator[TokenBudgetBatcher[int, int]]:
    made = TokenBudgetBatcher[int, int](encoder.run, lambda item: item, workers=1, **options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        encoder.open()
        await asyncio.to_thread(made.close)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


def _has_grown(queue: TokenBudgetBatcher[int, int], priority: Priority, before: int) -> bool:
    return queue.queued_tokens(priority) > before


async def behind_a_running_pass(
    queue: TokenBudgetBatcher[int, int], encoder: Encoder, calls: Sequence[tuple[list[int], Priority]]
) -> list[asyncio.Task[list[int]]]:
    """Submits calls, in order, while a first pass of 1 is held up."""
    encoder.shut()
    tasks = [asyncio.create_task(queue.submit([1], Priority.INTERACTIVE))]
    await encoder.has_begun()
    for items, priority in calls:
        before = queue.queued_tokens(priority)
        tasks.append(asyncio.create_task(queue.submit(items, priority)))
        await until(partial(_has_grown, queue, priority, before))
    return tasks


async def test_results_come_in_the_order_of_the_items() -> None:
    async with batcher(Encoder(), pass_tokens=10) as queue:
        assert await queue.submit([3, 9, 1, 4], Priority.BULK) == [6, 18, 2, 8]
        assert await queue.submit([], Priority.BULK) == []


async def test_a_query_goes_before_bulk_work_that_was_there_first() -> None:
    encoder = Encoder()
    async with batcher(encoder) as queue:
        tasks = await behind_a_running_pass(queue, encoder, [([50, 60], Priority.BULK), ([7], Priority.INTERACTIVE)])
        encoder.open()
        await asyncio.gather(*tasks)
    assert encoder.passes == [[1], [7], [60], [50]]


async def test_bulk_work_is_not_starved_by_queries() -> None:
    encoder = Encoder()
    async with batcher(encoder) as queue:
        tasks = await behind_a_running_pass(
            queue, encoder, [([99], Priority.BULK), *(([7], Priority.INTERACTIVE) for _ in range(20))]
        )
        encoder.open()
        await asyncio.gather(*tasks)
    assert 5 <= encoder.passes.index([99]) <= 10


async def test_interactive_callers_take_turns() -> None:
    encoder = Encoder()
    async with batcher(encoder) as queue:
        tasks = await behind_a_running_pass(
            queue, encoder, [([33, 32, 31, 30], Priority.INTERACTIVE), ([7], Priority.INTERACTIVE)]
        )
        encoder.open()
        await asyncio.gather(*tasks)
    assert encoder.passes == [[1], [33], [7], [32], [31], [30]]


async def test_items_of_several_callers_share_a_pass_within_the_token_budget() -> None:
    encoder = Encoder()
    records: list[PassRecord] = []
    async with batcher(encoder, pass_tokens=24, observer=records.append) as queue:
        tasks = await behind_a_running_pass(
            queue, encoder, [([7, 8], Priority.BULK), ([8, 2], Priority.BULK), ([8], Priority.BULK)]
        )
        encoder.open()
        await asyncio.gather(*tasks)
    # 3 × 8 tokens fill a pass; 2 is too unlike the rest to be padded to 8.
    assert encoder.passes == [[1], [8, 7, 8], [2], [8]]
    assert (records[1].tokens, records[1].padded_tokens, len(records[1].waited_seconds)) == (23, 24, 3)


async def test_a_caller_who_left_costs_no_further_pass() -> None:
    encoder = Encoder()
    async with batcher(encoder) as queue:
        tasks = await behind_a_running_pass(queue, encoder, [([50, 51, 52], Priority.BULK), ([40], Priority.BULK)])
        tasks[1].cancel()
        await until(lambda: queue.queued_tokens(Priority.BULK) == 40)
        encoder.open()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        assert await tasks[2] == [80]
    assert encoder.passes == [[1], [40]]


async def test_a_full_queue_refuses_with_a_delay_and_has_room_again_later() -> None:
    encoder = Encoder()
    limits = {Priority.INTERACTIVE: 10, Priority.BULK: 100}
    async with batcher(encoder, max_queued_tokens=limits) as queue:
        tasks = await behind_a_running_pass(queue, encoder, [([90], Priority.BULK)])
        with pytest.raises(Overloaded) as raised:
            await queue.submit([11], Priority.BULK)
        assert raised.value.retry_after_seconds is not None
        assert raised.value.retry_after_seconds > 0
        tasks.append(asyncio.create_task(queue.submit([5], Priority.INTERACTIVE)))  # queries have their own room
        encoder.open()
        await asyncio.gather(*tasks)
        assert await queue.submit([11], Priority.BULK) == [22]


async def test_one_request_longer_than_the_queue_is_served_when_nothing_waits() -> None:
    async with batcher(Encoder(), max_queued_tokens={Priority.INTERACTIVE: 10, Priority.BULK: 10}) as queue:
        assert await queue.submit([8, 8, 8], Priority.BULK) == [16, 16, 16]


async def test_a_failing_pass_fails_its_callers_and_nobody_else() -> None:
    encoder = Encoder()
    async with batcher(encoder) as queue:
        with pytest.raises(ArithmeticError):
            await queue.submit([666, 1], Priority.BULK)
        assert await queue.submit([2], Priority.BULK) == [4]
    assert [1] not in encoder.passes


async def test_closing_tells_those_who_wait_and_those_who_come_late() -> None:
    encoder = Encoder()
    async with batcher(encoder) as queue:
        first, waiting = await behind_a_running_pass(queue, encoder, [([5], Priority.BULK)])
        closing = asyncio.create_task(asyncio.to_thread(queue.close))
        with pytest.raises(DependencyUnavailable):
            await waiting
        encoder.open()
        await closing
        assert await first == [2]  # its pass was under way
        with pytest.raises(DependencyUnavailable):
            await queue.submit([1], Priority.BULK)
