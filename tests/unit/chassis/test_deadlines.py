from __future__ import annotations

import asyncio

import pytest

from chassis.errors import DeadlineExceeded
from chassis.rpc.deadlines import HOP_MARGIN_SECONDS, budget, deadline_in, remaining_seconds, timeout_for_hop


def test_there_is_no_deadline_where_nobody_set_one() -> None:
    assert remaining_seconds() is None
    assert timeout_for_hop(3) == 3


def test_an_inner_deadline_shortens_the_outer_one_and_never_extends_it() -> None:
    with deadline_in(10):
        with deadline_in(1):
            assert (remaining_seconds() or 99) <= 1
        with deadline_in(100):
            assert (remaining_seconds() or 99) <= 10
        with deadline_in(None):
            assert (remaining_seconds() or 99) <= 10
    assert remaining_seconds() is None


def test_a_call_gets_its_own_limit_or_what_is_left_less_a_margin() -> None:
    with deadline_in(2):
        assert timeout_for_hop(1) == 1
        assert timeout_for_hop(60) <= 2 - HOP_MARGIN_SECONDS


def test_no_call_is_begun_when_there_is_no_time_left_for_it() -> None:
    with deadline_in(HOP_MARGIN_SECONDS / 2), pytest.raises(DeadlineExceeded):
        timeout_for_hop(1)


async def test_work_over_its_budget_is_cancelled_and_reported() -> None:
    with pytest.raises(DeadlineExceeded):
        async with budget(0.01):
            await asyncio.Event().wait()


async def test_a_timeout_of_the_work_itself_is_not_mistaken_for_the_budget() -> None:
    with pytest.raises(TimeoutError):
        async with budget(60):
            raise TimeoutError


async def test_cancelling_from_outside_stays_a_cancellation() -> None:
    async def work() -> None:
        async with budget(60):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
