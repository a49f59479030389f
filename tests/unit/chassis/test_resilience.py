from __future__ import annotations

import asyncio

import pytest

from chassis.clock import ManualClock
from chassis.errors import DependencyUnavailable, NotFound, Overloaded
from chassis.resilience.admission import AdmissionController
from chassis.resilience.breaker import BreakerPolicy, BreakerState, CircuitBreaker
from chassis.resilience.retry import RetryBudget

POLICY = BreakerPolicy(window_seconds=10, minimum_calls=4, consecutive_failures=3, open_seconds=2)


async def _attempt(breaker: CircuitBreaker, error: BaseException | None = None) -> None:
    try:
        async with breaker.guard():
            if error is not None:
                raise error
    except BaseException as raised:
        if raised is not error:
            raise


def _state(breaker: CircuitBreaker) -> BreakerState:
    return breaker.state


async def _fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        await _attempt(breaker, DependencyUnavailable("down"))


async def test_failures_in_a_row_open_the_breaker_and_calls_are_refused_with_a_delay() -> None:
    breaker = CircuitBreaker("store", POLICY, ManualClock())
    await _fail(breaker, 3)
    assert _state(breaker) is BreakerState.OPEN
    with pytest.raises(DependencyUnavailable) as refused:
        async with breaker.guard():
            pytest.fail("the call was made")
    assert refused.value.reason == "CIRCUIT_OPEN"
    assert refused.value.metadata == {"dependency": "store"}
    assert refused.value.retry_after_seconds == 2


async def test_a_share_of_failures_opens_the_breaker_though_none_are_in_a_row() -> None:
    breaker = CircuitBreaker("store", POLICY, ManualClock())
    for _ in range(2):
        await _attempt(breaker)
        assert _state(breaker) is BreakerState.CLOSED
        await _fail(breaker, 1)
    assert _state(breaker) is BreakerState.OPEN


async def test_old_failures_leave_the_window() -> None:
    clock = ManualClock()
    breaker = CircuitBreaker("store", POLICY, clock)
    await _fail(breaker, 2)
    clock.advance(11)
    await _attempt(breaker)
    await _fail(breaker, 1)
    await _attempt(breaker)
    await _attempt(breaker)
    assert _state(breaker) is BreakerState.CLOSED


async def test_a_good_probe_closes_the_breaker_and_a_bad_one_opens_it_again() -> None:
    clock = ManualClock()
    breaker = CircuitBreaker("store", POLICY, clock)
    await _fail(breaker, 3)
    clock.advance(2)
    assert _state(breaker) is BreakerState.HALF_OPEN
    await _fail(breaker, 1)
    assert _state(breaker) is BreakerState.OPEN
    clock.advance(2)
    await _attempt(breaker)
    assert _state(breaker) is BreakerState.CLOSED


async def test_only_one_probe_goes_out_at_a_time() -> None:
    clock = ManualClock()
    breaker = CircuitBreaker("store", POLICY, clock)
    await _fail(breaker, 3)
    clock.advance(2)
    async with breaker.guard():
        with pytest.raises(DependencyUnavailable):
            async with breaker.guard():
                pytest.fail("a second probe was made")


async def test_answers_and_cancelled_calls_say_nothing_against_a_dependency() -> None:
    breaker = CircuitBreaker("store", POLICY, ManualClock())
    for error in (NotFound("no"), asyncio.CancelledError()):
        for _ in range(5):
            await _attempt(breaker, error)
    assert _state(breaker) is BreakerState.CLOSED


async def test_a_cancelled_probe_gives_its_place_to_the_next() -> None:
    clock = ManualClock()
    breaker = CircuitBreaker("store", POLICY, clock)
    await _fail(breaker, 3)
    clock.advance(2)
    await _attempt(breaker, asyncio.CancelledError())
    assert _state(breaker) is BreakerState.HALF_OPEN
    await _attempt(breaker)
    assert _state(breaker) is BreakerState.CLOSED


def test_retries_stop_when_their_budget_is_spent_and_calls_earn_it_back() -> None:
    budget = RetryBudget(ratio=0.5, capacity=2)
    assert [budget.try_spend() for _ in range(3)] == [True, True, False]
    budget.record_call()
    assert not budget.try_spend()
    budget.record_call()
    assert budget.try_spend()
    assert budget.tokens == 0


async def test_work_beyond_the_permits_is_refused_at_once_with_a_retry_hint() -> None:
    admission = AdmissionController(2)
    await admission.acquire()
    await admission.acquire()
    assert admission.is_full
    with pytest.raises(Overloaded) as refused:
        await admission.acquire()
    assert refused.value.retry_after_seconds is not None
    assert refused.value.retry_after_seconds > 0
    admission.release()
    assert await admission.acquire() == 0


async def test_waiters_get_permits_in_order_and_newcomers_do_not_overtake_them() -> None:
    admission = AdmissionController(1, max_waiting=2, max_wait_seconds=30)
    order: list[str] = []

    async def work(name: str) -> None:
        async with admission.admit() as waited:
            order.append(name)
            assert waited > 0

    async with admission.admit():
        order.append("holder")
        first, second = asyncio.create_task(work("a")), asyncio.create_task(work("b"))
        while admission.waiting < 2:
            await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await admission.acquire()
    await asyncio.gather(first, second)
    assert order == ["holder", "a", "b"]
    assert admission.in_flight == 0


async def test_a_wait_that_is_too_long_or_cancelled_leaves_no_permit_behind() -> None:
    admission = AdmissionController(1, max_waiting=5, max_wait_seconds=0.01)
    async with admission.admit():
        with pytest.raises(Overloaded):
            await admission.acquire()
        waiter = asyncio.create_task(admission.acquire())
        while not admission.waiting:
            await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
    assert (admission.in_flight, admission.waiting) == (0, 0)


async def test_a_permit_granted_to_a_waiter_that_is_cancelled_goes_on_to_the_next() -> None:
    admission = AdmissionController(1, max_waiting=5, max_wait_seconds=30)
    await admission.acquire()
    first, second = asyncio.create_task(admission.acquire()), asyncio.create_task(admission.acquire())
    while admission.waiting < 2:
        await asyncio.sleep(0)
    admission.release()
    first.cancel()
    assert await second > 0
    assert admission.in_flight == 1
