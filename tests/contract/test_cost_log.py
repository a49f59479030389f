"""Contract of the cost log, over every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.contract.corpus_adapters import elasticsearch_installation, name_of

from chassis.elasticsearch.client import open_store
from chassis.endpoints import ElasticsearchEndpoint
from chassis.errors import DependencyUnavailable
from gateway.adapters.elasticsearch_cost_log import SPECS, ElasticsearchCostLog
from gateway.adapters.sqlite_cost_log import SqliteCostLog
from gateway.costs.domain import CostEntry, CostQuery, CostRow, Grouping, QueryCost, Stage, StageCost
from gateway.costs.ports import CostLog

ADAPTERS = (SqliteCostLog, pytest.param(ElasticsearchCostLog, marks=pytest.mark.cluster))
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


@asynccontextmanager
async def opened(adapter: Any, directory: Path) -> AsyncIterator[Callable[[], CostLog]]:
    """Yields a function that opens the log as one more process would see it."""
    if adapter is ElasticsearchCostLog:
        async with elasticsearch_installation(SPECS) as connect:
            yield lambda: ElasticsearchCostLog(connect(), timeout_seconds=60)
        return
    logs: list[SqliteCostLog] = []

    def open_one() -> SqliteCostLog:
        logs.append(SqliteCostLog(directory / "costs.sqlite"))
        return logs[-1]

    yield open_one
    for log in logs:
        await log.close()


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], CostLog]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


@pytest.fixture
def log(open_log: Callable[[], CostLog]) -> CostLog:
    return open_log()


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


async def test_costs_survive_a_restart_and_gateways_add_to_the_same_sums(open_log: Callable[[], CostLog]) -> None:
    first, second = open_log(), open_log()
    await asyncio.gather(*(each.record(entry()) for each in (first, second) for _ in range(20)))

    row = (await open_log().report(query()))[1]
    assert (row.quantity, row.amount, row.questions) == (120, 40 * TINY, 40)


async def test_large_sums_are_exact_to_the_last_digit(open_log: Callable[[], CostLog]) -> None:
    amount = Decimal("1234567.999999999999")
    for _ in range(3):
        await open_log().record(entry(amount=amount, quantity=2**45))

    row = (await open_log().report(query()))[1]
    assert (row.quantity, row.amount) == (3 * 2**45, 3 * amount)


@pytest.mark.cluster
async def test_a_report_has_more_rows_than_come_at_once(tmp_path: Path) -> None:
    async with opened(ElasticsearchCostLog, tmp_path) as open_one:
        log = open_one()
        await asyncio.gather(*(log.record(entry(subject=f"user-{number:03}")) for number in range(600)))
        rows = await log.report(query(Grouping.USER))
        assert [row.subject for row in rows[::2]] == [f"user-{number:03}" for number in range(600)]
        assert await log.forget_before(DAY + timedelta(days=1)) == 1200
        await log.record(entry(subject="user-000"))
        assert [row.questions for row in await log.report(query())] == [1, 1]


async def test_a_cost_that_can_t_be_kept_is_an_error_and_is_not_lost_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = open_store(ElasticsearchEndpoint(url="http://127.0.0.1:1"))
    log = ElasticsearchCostLog(store)
    with pytest.raises(DependencyUnavailable):
        await log.record(entry())
    sent: list[Any] = []

    async def accept(_: object, writes: list[Any]) -> None:
        sent.extend(writes)

    monkeypatch.setattr("gateway.adapters.elasticsearch_cost_log.bulk", accept)
    await log.record(entry())
    await store.close()
    assert [(write.source["stage"], write.source["quantity"], write.version) for write in sent] == [
        ("search", 2, 2),
        ("llm_input", 6, 2),
    ]
