"""Contract of the cost log, over every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.adapters.sqlite_cost_log import SqliteCostLog
from gateway.costs.domain import CostEntry, CostQuery, CostRow, Grouping, QueryCost, Stage, StageCost
from gateway.costs.ports import CostLog

ADAPTERS = (SqliteCostLog,)
DAY = date(2026, 11, 21)
TINY = Decimal("0.000000000001")


def entry(
    tenant: str = "acme",
    subject: str = "alice",
    day: date = DAY,
    amount: Decimal | None = TINY,
    quantity: int = 3,
    currency: str = "EUR",
) -> CostEntry:
    stages = (
        StageCost(Stage.SEARCH, 1, Decimal("0.1")),
        StageCost(Stage.LLM_INPUT, quantity, amount),
        StageCost(Stage.LLM_OUTPUT, 0, Decimal(0)),
    )
    return CostEntry(tenant, subject, day, QueryCost(currency, stages))


def query(
    by: Grouping = Grouping.STAGE, tenant: str | None = "acme", since: date = DAY, until: date = DAY
) -> CostQuery:
    return CostQuery(since, until, by, tenant)


@pytest.fixture(params=ADAPTERS)
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[CostLog]:
    opened = request.param(tmp_path / "costs.sqlite")
    yield opened
    await opened.close()


async def test_costs_add_up_exactly(log: CostLog) -> None:
    await asyncio.gather(*(log.record(entry()) for _ in range(1000)))

    assert await log.report(query()) == (
        CostRow("", "", Stage.SEARCH, "EUR", 1000, 0, Decimal(100), 1000),
        CostRow("", "", Stage.LLM_INPUT, "EUR", 3000, 0, Decimal("0.000000001"), 1000),
    )


async def test_what_has_no_price_is_counted_apart(log: CostLog) -> None:
    await log.record(entry(quantity=5))
    await log.record(entry(amount=None, quantity=7))

    row = (await log.report(query()))[1]
    assert (row.quantity, row.unpriced, row.amount) == (12, 7, TINY)


async def test_rows_are_by_what_was_asked_for_in_order(log: CostLog) -> None:
    for tenant, subject in (("b", "x"), ("a", "y"), ("a", "x"), ("b", "x")):
        await log.record(entry(tenant, subject))

    def keys(rows: tuple[CostRow, ...]) -> list[tuple[str, str, str, int]]:
        return [(row.tenant_id, row.subject, row.stage.value, row.questions) for row in rows]

    assert keys(await log.report(query(tenant=None))) == [("", "", "search", 4), ("", "", "llm_input", 4)]
    assert keys(await log.report(query(Grouping.TENANT, None))) == [
        ("a", "", "search", 2),
        ("a", "", "llm_input", 2),
        ("b", "", "search", 2),
        ("b", "", "llm_input", 2),
    ]
    assert keys(await log.report(query(Grouping.USER, "b"))) == [("b", "x", "search", 2), ("b", "x", "llm_input", 2)]


async def test_nothing_of_another_tenant_is_in_a_tenants_report(log: CostLog) -> None:
    await log.record(entry("other"))
    for by in Grouping:
        assert await log.report(query(by)) == ()


async def test_both_days_of_a_period_are_in_it(log: CostLog) -> None:
    for days in range(-2, 3):
        await log.record(entry(day=DAY + timedelta(days=days)))

    rows = await log.report(query(since=DAY - timedelta(days=1), until=DAY))
    assert rows[0].questions == 2


async def test_currencies_are_never_added(log: CostLog) -> None:
    await log.record(entry())
    await log.record(entry(currency="USD"))
    assert [row.currency for row in await log.report(query())] == ["EUR", "USD", "EUR", "USD"]


async def test_earlier_days_are_forgotten(log: CostLog) -> None:
    await log.record(entry(day=DAY - timedelta(days=1)))
    await log.record(entry())

    assert await log.forget_before(DAY) == 2
    assert await log.forget_before(DAY) == 0
    assert len(await log.report(query(since=DAY - timedelta(days=9)))) == 2


async def test_costs_survive_a_restart(tmp_path: Path) -> None:
    first = SqliteCostLog(tmp_path / "costs.sqlite")
    await first.record(entry())
    await first.close()

    second = SqliteCostLog(tmp_path / "costs.sqlite")
    assert len(await second.report(query())) == 2
    await second.close()
