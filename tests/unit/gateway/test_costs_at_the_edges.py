"""Costs and limits as callers see them, over both edges."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import grpc
import httpx
import pytest
from tests.unit.gateway.edges import Edges, edges

from headwater import AsyncClient, Identity, PermissionDeniedError, messages
from headwater.gateway.v1 import costs_pb2, gateway_pb2
from headwater.gateway.v1.costs_pb2 import GetCostsRequest

QUESTION = "How many sensors does a gateway with firmware 3.1 accept?"
PRICES = 'currency = "EUR"\n[search]\nper_thousand_searches = 0.02\n[embedding]\nper_million_tokens = 0.01\n'


def as_caller(subject: str, scopes: str, tenant: str = "acme") -> tuple[tuple[str, str], ...]:
    return (
        ("x-headwater-dev-tenant", tenant),
        ("x-headwater-dev-subject", subject),
        ("x-headwater-dev-scopes", scopes),
    )


ANN, BEN, EVE = as_caller("ann", "read write admin"), as_caller("ben", "read write"), as_caller("eve", "write", "evil")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Edges]:
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    async with edges(tmp_path, prices=prices) as running:
        yield running


async def asked(gateway: Edges, who: tuple[tuple[str, str], ...] = ANN) -> gateway_pb2.AnswerFinal:
    request = gateway_pb2.AskRequest(question=gateway_pb2.Question(text=QUESTION))
    events = [event async for event in gateway.grpc.Ask(request, metadata=who)]
    return events[-1].final


async def test_an_answer_says_what_it_cost(gateway: Edges) -> None:
    cost = messages.answer(await asked(gateway)).cost

    assert cost is not None
    assert [each.stage for each in cost.stages] == [
        "embedding",
        "search",
        "rerank",
        "llm_input",
        "llm_output",
        "cache_savings",
    ]
    embedding, search = cost.stages[:2]
    assert (search.quantity, search.unit, search.amount) == (1, "searches", Decimal("0.00002"))
    assert embedding.amount == embedding.quantity * Decimal("0.00000001")
    assert embedding.quantity > 9
    # The answer was extracted: no language model read or wrote anything.
    assert [each.quantity for each in cost.stages[2:]] == [0, 0, 0, 0]
    assert cost.total == embedding.amount + Decimal("0.00002")
    assert cost.complete


async def test_a_logged_answer_still_says_it(gateway: Edges) -> None:
    final = await asked(gateway)
    replay = await gateway.grpc.GetAnswer(gateway_pb2.GetAnswerRequest(answer_id=final.answer_id), metadata=ANN)
    assert replay.answer.cost == final.cost


async def test_over_http_a_cost_is_exact_text(gateway: Edges) -> None:
    response = await gateway.http.post("/v1/ask", json={"question": QUESTION}, headers=httpx.Headers(list(ANN)))

    cost = response.json()["cost"]
    assert cost["currency"] == "EUR"
    assert cost["stages"][1] == {"stage": "search", "unit": "searches", "quantity": 1, "amount": "0.00002"}
    assert Decimal(cost["total"]) == sum(Decimal(each["amount"]) for each in cost["stages"])


async def test_without_a_price_table_use_is_told_and_its_cost_is_not_known(tmp_path: Path) -> None:
    async with edges(tmp_path) as gateway:
        cost = (await asked(gateway)).cost

    assert not cost.complete
    assert cost.stages[1].quantity == 1
    assert not cost.stages[1].HasField("amount")


async def test_each_question_of_a_batch_is_charged_for_itself(gateway: Edges) -> None:
    request = gateway_pb2.AskBatchRequest(questions=[gateway_pb2.Question(text=QUESTION)] * 3)
    answers = (await gateway.grpc.AskBatch(request, metadata=ANN)).answers

    assert [answer.cost.stages[1].quantity for answer in answers] == [1, 1, 1]
    report = await gateway.costs.GetCosts(GetCostsRequest(), metadata=ANN)
    assert next(row for row in report.rows if row.stage == "search").quantity == 3


async def test_a_report_adds_up_what_a_tenants_users_asked(gateway: Edges) -> None:
    for who in (ANN, ANN, BEN):
        await asked(gateway, who)

    by_user = costs_pb2.COST_GROUPING_USER
    report = await gateway.costs.GetCosts(GetCostsRequest(by=by_user), metadata=ANN)
    searches = [(row.tenant_id, row.subject, row.amount) for row in report.rows if row.stage == "search"]
    assert searches == [("acme", "ann", "0.00004"), ("acme", "ben", "0.00002")]
    assert report.since == report.until == "2026-11-21"


async def test_the_client_reads_reports_as_decimals_and_refusals_as_errors(gateway: Edges) -> None:
    await asked(gateway)
    async with AsyncClient(gateway.target, identity=Identity("acme", "ann", scopes=("read", "write"))) as client:
        report = await client.costs.report(since=date(2026, 11, 1))
        with pytest.raises(PermissionDeniedError):
            await client.costs.report("user")

    assert (report.since, report.until) == (date(2026, 11, 1), date(2026, 11, 21))
    assert next(row for row in report.rows if row.stage == "search").amount == Decimal("0.00002")


async def test_another_tenant_sees_nothing_of_it(gateway: Edges) -> None:
    await asked(gateway, ANN)

    assert not (await gateway.costs.GetCosts(GetCostsRequest(), metadata=EVE)).rows
    for wanted in (
        GetCostsRequest(tenant_id="acme"),
        GetCostsRequest(all_tenants=True),
        GetCostsRequest(by=costs_pb2.COST_GROUPING_USER),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.costs.GetCosts(wanted, metadata=EVE)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_day_that_is_none_is_refused(gateway: Edges) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.costs.GetCosts(GetCostsRequest(since="yesterday"), metadata=ANN)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_address_over_its_limit_is_refused_over_both_edges(tmp_path: Path) -> None:
    async with edges(tmp_path, rate_address_search="2/hour", rate_proxies="127.0.0.0/8") as gateway:
        headers = {"x-forwarded-for": "192.0.2.9"}
        for _ in range(2):
            assert (await gateway.http.post("/v1/search", json={"query": "x"}, headers=headers)).status_code == 200
        refused = await gateway.http.post("/v1/search", json={"query": "x"}, headers=headers)
        query = gateway_pb2.SearchRequest(query={"text": "x", "k": 1})
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.grpc.Search(query, metadata=tuple(headers.items()))
        other = await gateway.http.post("/v1/search", json={"query": "x"}, headers={"x-forwarded-for": "192.0.2.8"})
        direct = await gateway.grpc.Search(query)

    assert (refused.status_code, refused.json()["reason"]) == (429, "ADDRESS_RATE_LIMITED")
    assert refused.headers["retry-after"] == "1800"
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert other.status_code == 200
    assert direct.result.hits
