"""Prices, accounts and reports of cost."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.gateway.fakes import ALICE, BOB, NOW, Gateway

from chassis.clock import ManualClock
from chassis.errors import DeadlineExceeded, DependencyUnavailable, FailedPrecondition, InvalidRequest, PermissionDenied
from chassis.identity import Caller, Scope
from chassis.telemetry import metrics
from gateway.costs.accounting import UNRECORDED, CostAccounting
from gateway.costs.domain import (
    Account,
    CostEntry,
    CostQuery,
    CostRow,
    Grouping,
    ModelPrice,
    PriceTable,
    QueryCost,
    Stage,
    StageCost,
)
from gateway.costs.prices import PriceTableError, load_prices, parse_prices
from gateway.costs.report import ReportCosts
from gateway.domain import CitationSettled, Draft, Question, TextPiece
from gateway.ports import GenerationRequest
from gateway.rates import RateLimits, Spending
from gateway.settings import GatewaySettings

EXAMPLE = Path(__file__).parents[3] / "eval" / "prices.toml"
TODAY = date(2026, 11, 21)
WRITER = Caller("acme", "carol", scopes=frozenset({Scope.READ, Scope.WRITE}))
PRICES = PriceTable(
    "EUR", Decimal("0.01"), Decimal("0.02"), Decimal("0.05"), {"m": ModelPrice(Decimal("0.15"), Decimal("0.6"))}
)


class ListedCosts:
    """A cost log that remembers what it was told."""

    def __init__(self) -> None:
        self.entries: list[CostEntry] = []
        self.queries: list[CostQuery] = []
        self.down = False

    async def record(self, entry: CostEntry) -> None:
        if self.down:
            raise DependencyUnavailable("The disk is full.")
        self.entries.append(entry)

    async def report(self, query: CostQuery) -> tuple[CostRow, ...]:
        self.queries.append(query)
        return ()

    async def forget_before(self, day: date) -> int:
        return 0


class Failing:
    """A generator whose time is up."""

    name = "failing"

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TextPiece | CitationSettled | Draft, None]:
        raise DeadlineExceeded("The time is up.")
        yield


def amounts(cost: QueryCost) -> dict[str, Decimal | None]:
    return {each.stage.value: each.amount for each in cost.stages}


def parsed(text: str) -> PriceTable:
    return parse_prices(tomllib.loads(text, parse_float=Decimal))


def used(model: str = "m") -> Account:
    account = Account()
    account.embedded(9)
    account.searched(reranked=True)
    account.searched(reranked=False)
    account.completed(model, 1003, 207)
    return account


def test_a_question_costs_exactly_what_its_parts_do() -> None:
    cost = PRICES.cost_of(used())

    assert amounts(cost) == {
        "embedding": Decimal("0.00000009"),
        "search": Decimal("0.00004"),
        "rerank": Decimal("0.00005"),
        "llm_input": Decimal("0.00015045"),
        "llm_output": Decimal("0.0001242"),
        "cache_savings": Decimal(0),
    }
    assert (cost.total, cost.complete) == (Decimal("0.00036474"), True)


def test_what_a_cache_saved_has_its_price_and_is_no_part_of_the_total() -> None:
    account = used()
    account.served("m", 1003, 207)
    cost = PRICES.cost_of(account)

    assert amounts(cost)["cache_savings"] == Decimal("0.00027465")
    assert {each.stage: each.quantity for each in cost.stages}[Stage.CACHE_SAVINGS] == 1210
    assert cost.total == Decimal("0.00036474")
    account.served("another", 1, 1)
    cost = PRICES.cost_of(account)
    assert (amounts(cost)["cache_savings"], cost.complete) == (None, True)


async def test_savings_are_counted_apart_from_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    spent, saved = [], []

    class Noted:
        def __init__(self, notes: list[dict[str, str]]) -> None:
            self.notes = notes

        def add(self, amount: float, **labels: str) -> None:
            self.notes.append(labels)

    monkeypatch.setattr(metrics, "GATEWAY_COST", Noted(spent))
    monkeypatch.setattr(metrics, "GATEWAY_CACHE_SAVED_COST", Noted(saved))
    account = Account()
    account.served("m", 1003, 207)
    costs = ListedCosts()
    accounting = CostAccounting(PRICES, costs, ManualClock(NOW), metric_tenants=5)
    assert await accounting.settle(ALICE, accounting.cost_of(account))
    assert spent == []
    assert saved == [{"tenant": "acme", "currency": "EUR"}]
    assert [entry.cost.total for entry in costs.entries] == [0]


def test_what_has_no_price_is_unknown_and_not_free() -> None:
    cost = PRICES.cost_of(used("another"))

    assert amounts(cost)["llm_input"] is None
    assert not cost.complete
    assert cost.total == Decimal("0.00009009")


def test_one_model_without_a_price_makes_the_stage_unknown() -> None:
    account = used()
    account.completed("another", 1, 1)
    assert amounts(PRICES.cost_of(account))["llm_output"] is None


def test_what_was_not_used_costs_nothing_even_without_a_price() -> None:
    cost = PriceTable().cost_of(Account())
    assert (cost.total, cost.complete) == (Decimal(0), True)


def test_without_prices_use_is_counted_and_its_cost_unknown() -> None:
    cost = PriceTable().cost_of(used())
    assert [each.quantity for each in cost.stages] == [9, 2, 1, 1003, 207, 0]
    assert not cost.complete


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 200_000)), max_size=8), st.integers(0, 10**9))
def test_the_sum_of_costs_is_the_cost_of_the_sum(uses: list[tuple[int, int]], micros: int) -> None:
    price = Decimal(micros).scaleb(-6)
    prices = PriceTable("EUR", models={"m": ModelPrice(price, price)})
    together, apart = Account(), Decimal(0)
    for read, written in uses:
        together.completed("m", read, written)
        alone = Account()
        alone.completed("m", read, written)
        apart += prices.cost_of(alone).total
    assert prices.cost_of(together).total == apart


def test_the_committed_example_is_a_price_table() -> None:
    prices = load_prices(EXAMPLE)
    assert prices.currency == "EUR"
    assert prices.models["example-large"] == ModelPrice(Decimal("2.5"), Decimal(10))


def test_a_price_is_read_as_it_is_written() -> None:
    assert parsed('currency = "USD"\n[embedding]\nper_million_tokens = 0.1').embedding == Decimal("0.1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        'currency = "eur"',
        'currency = "EUR"\nembeding = {}',
        'currency = "EUR"\n[search]\nper_million_tokens = 1',
        'currency = "EUR"\n[search]\nper_thousand_searches = -1',
        'currency = "EUR"\n[search]\nper_thousand_searches = nan',
        'currency = "EUR"\n[search]\nper_thousand_searches = "1"',
        'currency = "EUR"\n[search]\nper_thousand_searches = true',
        'currency = "EUR"\n[search]\nper_thousand_searches = 0.0000001',
        'currency = "EUR"\n[models.m]\ninput = 1',
        'currency = "EUR"\nmodels = 1',
    ],
)
def test_what_is_no_price_table_is_refused(text: str) -> None:
    with pytest.raises(PriceTableError):
        parsed(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prices": "missing.toml"},
        {"rate_tenant_ask": "many"},
        {"rate_ask": ""},
        {"rate_proxies": "everyone"},
        {"token_budget_tenants": "acme"},
        {"token_budget_tenants": "acme=1 acme=2"},
        {"token_budget_tenants": "acme=-1"},
    ],
)
def test_settings_that_can_not_be_meant_are_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings(data_dir=tmp_path, **wrong)


def accounting(log: ListedCosts | None, tenants: int = 2) -> CostAccounting:
    return CostAccounting(PRICES, log, ManualClock(NOW), metric_tenants=tenants)


async def test_a_cost_is_kept_for_who_asked_on_the_day_in_utc() -> None:
    log = ListedCosts()
    costs = accounting(log)
    assert await costs.settle(ALICE, costs.cost_of(used()))

    assert log.entries == [CostEntry("acme", "alice", TODAY, PRICES.cost_of(used()))]


async def test_a_question_that_used_nothing_leaves_nothing() -> None:
    log = ListedCosts()
    assert await accounting(log).settle(ALICE, PRICES.cost_of(Account()))
    assert log.entries == []


async def test_a_cost_that_can_not_be_kept_is_told() -> None:
    log = ListedCosts()
    log.down = True
    assert not await accounting(log).settle(ALICE, PRICES.cost_of(used()))


async def test_metrics_name_a_bounded_number_of_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []
    monkeypatch.setattr(metrics.GATEWAY_COST, "add", lambda _amount, **labels: named.append(labels["tenant"]))
    costs = accounting(None, tenants=2)
    for number in (0, 1, 2, 3, 0):
        search = QueryCost("EUR", (StageCost(Stage.SEARCH, 1, Decimal(1)),))
        await costs.settle(Caller(f"t{number}", "a"), search)

    assert named == ["t0", "t1", "other", "other", "t0"]


async def test_a_question_is_charged_once_however_it_ends() -> None:
    log = ListedCosts()
    gateway = Gateway(costs=accounting(log))
    question = Question("How many sensors does a gateway with firmware 3.1 accept?")
    async with aclosing(gateway.questions.ask(question, ALICE)) as events:
        async for event in events:
            if isinstance(event, TextPiece):
                break  # the reader leaves
    assert len(log.entries) == 1

    gateway.retrieval.unreadable.add("gateway")
    async with aclosing(gateway.questions.ask(question, ALICE)) as events:
        assert [event async for event in events]
    assert len(log.entries) == 2


async def test_a_question_that_fails_after_its_search_is_charged_for_the_search() -> None:
    log = ListedCosts()
    gateway = Gateway(generator=Failing(), costs=accounting(log))
    with pytest.raises(DeadlineExceeded):
        async for _ in gateway.questions.ask(Question("How many sensors?"), ALICE):
            pass
    (entry,) = log.entries
    assert [each.stage for each in entry.cost.stages if each.quantity] == [Stage.EMBEDDING, Stage.SEARCH]


async def test_an_answer_whose_cost_could_not_be_kept_says_so() -> None:
    log = ListedCosts()
    log.down = True
    gateway = Gateway(costs=accounting(log))
    (answer,) = await gateway.questions.ask_batch([Question("How many sensors does a gateway accept?")], ALICE)
    assert UNRECORDED in answer.degraded


def reporting(log: ListedCosts | None) -> ReportCosts:
    return ReportCosts(log, RateLimits(dict.fromkeys(Spending, "1000/second")), ManualClock(NOW))


async def test_a_report_is_of_today_and_the_callers_own_tenant_unless_asked_otherwise() -> None:
    log = ListedCosts()
    await reporting(log).report(WRITER, Grouping.STAGE)
    await reporting(log).report(ALICE, Grouping.USER, tenant_id="other", since=date(2026, 1, 1), until=TODAY)
    await reporting(log).report(ALICE, Grouping.TENANT, all_tenants=True)

    assert log.queries == [
        CostQuery(TODAY, TODAY, Grouping.STAGE, "acme"),
        CostQuery(date(2026, 1, 1), TODAY, Grouping.USER, "other"),
        CostQuery(TODAY, TODAY, Grouping.TENANT, None),
    ]


@pytest.mark.parametrize(
    ("caller", "wanted"),
    [
        (BOB, {"by": Grouping.STAGE}),
        (WRITER, {"by": Grouping.USER}),
        (WRITER, {"by": Grouping.STAGE, "tenant_id": "other"}),
        (WRITER, {"by": Grouping.STAGE, "all_tenants": True}),
    ],
)
async def test_who_may_not_see_a_report_is_refused_before_anything_is_read(
    caller: Caller, wanted: dict[str, Any]
) -> None:
    log = ListedCosts()
    with pytest.raises(PermissionDenied):
        await reporting(log).report(caller, **wanted)
    assert log.queries == []


async def test_a_period_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        await reporting(ListedCosts()).report(ALICE, Grouping.STAGE, since=TODAY, until=date(2026, 11, 20))
    with pytest.raises(InvalidRequest):
        await reporting(ListedCosts()).report(ALICE, Grouping.STAGE, since=date.min)
    with pytest.raises(InvalidRequest):
        await reporting(ListedCosts()).report(ALICE, Grouping.STAGE, tenant_id="x", all_tenants=True)


async def test_a_gateway_that_keeps_no_costs_says_so() -> None:
    with pytest.raises(FailedPrecondition):
        await reporting(None).report(ALICE, Grouping.STAGE)
