"""Token budgets: reserved before a call, settled after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from tests.unit.gateway.chat_endpoint import ChatScript, chat_endpoint
from tests.unit.gateway.fakes import ALICE, NOW, PASSAGES, Gateway

from chassis.clock import ManualClock
from chassis.errors import DependencyUnavailable, HeadwaterError, InvalidRequest, Overloaded
from gateway.adapters.language_model_understanding import LanguageModelUnderstanding
from gateway.adapters.memory_token_ledger import MemoryTokenLedger
from gateway.adapters.redis_token_ledger import RedisTokenLedger
from gateway.adapters.sqlite_token_ledger import SqliteTokenLedger
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.costs.budgets import BudgetLimits, TokenBudgets
from gateway.costs.domain import Account
from gateway.costs.metered import ModelMeter
from gateway.domain import CitationSettled, Draft, Outcome, Question, TextPiece
from gateway.generators.openai_compatible.endpoint import ChatEndpoint, EndpointSettings, Payer
from gateway.generators.openai_compatible.errors import EndpointError
from gateway.generators.within_budget import OVER_BUDGET, WithinBudget
from gateway.parts import open_token_ledger
from gateway.plan import Plan
from gateway.ports import GenerationRequest, UnderstandingRequest
from gateway.settings import GatewaySettings
from gateway.stages.context import ContextLimits, select_context

TODAY = date(2026, 11, 21)
MESSAGES = [{"role": "user", "content": "How many sensors does a gateway take?"}]
PROMPT_TOKENS = EstimatingTokenCounter().count(MESSAGES[0]["content"])
MAX_TOKENS = 100
HELD = PROMPT_TOKENS + MAX_TOKENS


class LedgerThatIsDown(MemoryTokenLedger):
    """Takes nothing, or corrects nothing."""

    def __init__(self, *, taking: bool = False, correcting: bool = False) -> None:
        super().__init__()
        self._broken = (taking, correcting)

    async def take(self, tenant_id: str, day: date, tokens: int, limit: int) -> bool:
        if self._broken[0]:
            raise DependencyUnavailable("The disk is full.")
        return await super().take(tenant_id, day, tokens, limit)

    async def correct(self, tenant_id: str, day: date, change: int) -> None:
        if self._broken[1]:
            raise DependencyUnavailable("The disk is full.")
        await super().correct(tenant_id, day, change)


def budgets(
    ledger: MemoryTokenLedger, *, day: int = 1000, in_flight: int = 0, clock: ManualClock | None = None, **own: int
) -> TokenBudgets:
    return TokenBudgets(BudgetLimits(day, in_flight, own), ledger, clock or ManualClock(NOW))


async def test_a_call_holds_its_estimate_and_is_charged_what_it_used() -> None:
    ledger = MemoryTokenLedger()
    async with budgets(ledger).reserve("acme", 600) as reservation:
        assert await ledger.used("acme", TODAY) == 600
        reservation.used = 250
    assert await ledger.used("acme", TODAY) == 250


async def test_a_call_that_used_nothing_gets_everything_back() -> None:
    ledger = MemoryTokenLedger()
    with pytest.raises(EndpointError):
        async with budgets(ledger).reserve("acme", 600):
            raise EndpointError("503")
    assert await ledger.used("acme", TODAY) == 0


async def test_a_call_that_used_more_than_its_estimate_is_charged_all_of_it() -> None:
    ledger = MemoryTokenLedger()
    async with budgets(ledger).reserve("acme", 600) as reservation:
        reservation.used = 1700
    assert await ledger.used("acme", TODAY) == 1700


async def test_a_budget_that_is_used_up_says_when_there_is_a_new_one() -> None:
    ledger = MemoryTokenLedger()
    day = budgets(ledger)
    async with day.reserve("acme", 900) as reservation:
        reservation.used = 900
    with pytest.raises(Overloaded) as caught:
        async with day.reserve("acme", 101):
            raise AssertionError
    error = caught.value
    assert error.reason == "TOKEN_BUDGET_EXHAUSTED"
    assert error.metadata["resets_at"] == "2026-11-22T00:00:00+00:00"
    assert error.retry_after_seconds == 15 * 3600
    async with day.reserve("acme", 100):
        pass
    async with day.reserve("other", 1000):
        pass


async def test_a_call_across_midnight_is_charged_to_the_day_on_which_it_began() -> None:
    ledger, clock = MemoryTokenLedger(), ManualClock(datetime(2026, 11, 21, 23, 59, 59, 999_999, tzinfo=UTC))
    day = budgets(ledger, clock=clock)
    async with day.reserve("acme", 1000) as reservation:
        clock.advance(0.000_001)
        async with day.reserve("acme", 1000):
            pass
        reservation.used = 700
    assert await ledger.used("acme", TODAY) == 700
    assert await ledger.used("acme", date(2026, 11, 22)) == 0


async def test_a_tenant_may_have_a_budget_of_its_own_or_none() -> None:
    ledger = MemoryTokenLedger()
    day = budgets(ledger, acme=2000, free=0)
    async with day.reserve("acme", 2000), day.reserve("free", 10**9):
        assert await ledger.used("free", TODAY) == 0


async def test_calls_under_way_never_hold_more_than_they_may() -> None:
    ledger = MemoryTokenLedger()
    limited = budgets(ledger, day=100_000, in_flight=1000)
    refused, most = [], 0

    async def call(tokens: int) -> None:
        nonlocal most
        try:
            async with limited.reserve("acme", tokens):
                most = max(most, limited.in_flight("acme"))
                await asyncio.sleep(0)
        except Overloaded as error:
            refused.append(error.reason)

    await asyncio.gather(*(call(100 + number % 7 * 50) for number in range(200)))

    assert 0 < most <= 1000
    assert set(refused) == {"TOKENS_IN_FLIGHT"}
    assert limited.in_flight("acme") == 0
    assert await ledger.used("acme", TODAY) == 0


async def test_a_call_that_never_fits_beside_nothing_else_is_told_the_limit_and_not_to_retry() -> None:
    ledger = MemoryTokenLedger()
    limited = budgets(ledger, in_flight=100)
    with pytest.raises(InvalidRequest) as caught:
        async with limited.reserve("acme", 101):
            raise AssertionError
    assert caught.value.reason == "TOKENS_OVER_LIMIT"
    assert caught.value.metadata["limit_tokens"] == "100"
    assert caught.value.retry_after_seconds is None
    assert "100" in caught.value.message
    async with limited.reserve("acme", 100):
        assert limited.in_flight("acme") == 100
        with pytest.raises(Overloaded):
            async with limited.reserve("acme", 1):
                raise AssertionError
    assert await ledger.used("acme", TODAY) == 0


async def test_what_was_refused_for_the_day_holds_nothing_in_flight() -> None:
    limited = budgets(MemoryTokenLedger(), day=10, in_flight=1000)
    with pytest.raises(Overloaded):
        async with limited.reserve("acme", 11):
            raise AssertionError
    assert limited.in_flight("acme") == 0


async def test_a_ledger_that_is_down_admits_no_call() -> None:
    limited = budgets(LedgerThatIsDown(taking=True), in_flight=1000)
    with pytest.raises(DependencyUnavailable):
        async with limited.reserve("acme", 1):
            raise AssertionError
    assert limited.in_flight("acme") == 0


async def test_a_call_that_can_not_be_settled_stays_charged_with_its_estimate() -> None:
    ledger = LedgerThatIsDown(correcting=True)
    async with budgets(ledger).reserve("acme", 600) as reservation:
        reservation.used = 10
    assert await ledger.used("acme", TODAY) == 600


async def complete(script: ChatScript, limited: TokenBudgets, account: Account) -> None:
    meter = ModelMeter("m", MAX_TOKENS, EstimatingTokenCounter(), limited)
    settings = EndpointSettings(script.base_url, "m", "", 2.0, 2.0, MAX_TOKENS, 0.0, attempts=1)
    endpoint = ChatEndpoint(settings, meter=meter)
    try:
        async with aclosing(endpoint.complete(MESSAGES, Payer("acme", account))) as deltas:
            async for _ in deltas:
                pass
    finally:
        await endpoint.close()


async def test_a_completion_is_charged_with_what_the_endpoint_says() -> None:
    ledger, account = MemoryTokenLedger(), Account()
    async with chat_endpoint(ChatScript(["A ", "B"], usage={"prompt_tokens": 40, "completion_tokens": 3})) as script:
        await complete(script, budgets(ledger), account)

    assert await ledger.used("acme", TODAY) == 43
    assert (account.models["m"].input_tokens, account.models["m"].output_tokens) == (40, 3)


async def test_a_completion_of_an_endpoint_that_says_nothing_is_counted() -> None:
    ledger, account = MemoryTokenLedger(), Account()
    async with chat_endpoint(ChatScript(["one ", "two"])) as script:
        await complete(script, budgets(ledger), account)

    assert await ledger.used("acme", TODAY) == PROMPT_TOKENS + 2


async def test_a_completion_that_is_cut_off_is_charged_as_far_as_it_came() -> None:
    ledger, account = MemoryTokenLedger(), Account()
    async with chat_endpoint(ChatScript(["one ", "two ", "three"], cut_after=2)) as script:
        with pytest.raises(EndpointError):
            await complete(script, budgets(ledger), account)

    assert account.models["m"].input_tokens == PROMPT_TOKENS
    assert PROMPT_TOKENS < await ledger.used("acme", TODAY) <= PROMPT_TOKENS + 3


async def test_a_completion_that_never_began_costs_nothing() -> None:
    ledger, account = MemoryTokenLedger(), Account()
    async with chat_endpoint(ChatScript(["one"], failures=[503])) as script:
        with pytest.raises(EndpointError):
            await complete(script, budgets(ledger), account)

    assert await ledger.used("acme", TODAY) == 0
    assert account.models == {}


async def test_nothing_is_sent_to_the_endpoint_over_budget() -> None:
    async with chat_endpoint(ChatScript(["one"])) as script:
        with pytest.raises(Overloaded):
            await complete(script, budgets(MemoryTokenLedger(), day=HELD - 1), Account())
    assert script.requests == []


@pytest.mark.parametrize("limits", [{"day": 1}, {"in_flight": 1}], ids=["day", "in_flight"])
async def test_over_budget_rules_alone_understand_a_question(limits: dict[str, int]) -> None:
    async with chat_endpoint(ChatScript(["{}"])) as script:
        meter = ModelMeter("m", MAX_TOKENS, EstimatingTokenCounter(), budgets(MemoryTokenLedger(), **limits))
        settings = EndpointSettings(script.base_url, "m", "", 2.0, 2.0, MAX_TOKENS, 0.0, attempts=1)
        endpoint = ChatEndpoint(settings, meter=meter)
        question = Question("How many sensors?")
        plan = await LanguageModelUnderstanding(endpoint, total_seconds=5.0).refine(
            Plan(question.text, question.text), UnderstandingRequest(question, ALICE, NOW)
        )
        await endpoint.close()
    assert plan.degraded == ("understanding",)
    assert script.requests == []


class Refusing:
    """A generator that is refused, at once or in the middle."""

    name = "refusing"

    def __init__(self, error: HeadwaterError, pieces: Sequence[str] = ()) -> None:
        self._error = error
        self._pieces = pieces

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TextPiece | CitationSettled | Draft, None]:
        for piece in self._pieces:
            yield TextPiece(piece)
        raise self._error


OVER_LIMIT = InvalidRequest("Too large.", reason="TOKENS_OVER_LIMIT")
EXHAUSTED = Overloaded("Used up.", reason="TOKEN_BUDGET_EXHAUSTED", retry_after_seconds=9.0)


async def drafts(generator: WithinBudget) -> list[Draft]:
    blocks = select_context(PASSAGES, ContextLimits(3000, 12, sections=False), EstimatingTokenCounter())
    request = GenerationRequest("How many sensors does a gateway with firmware 3.1 accept?", blocks, ALICE, NOW)
    return [piece async for piece in generator.generate(request) if isinstance(piece, Draft)]


@pytest.mark.parametrize("error", [EXHAUSTED, OVER_LIMIT, DependencyUnavailable("The ledger is down.")])
async def test_over_its_budget_a_question_is_answered_extractively_and_says_so(error: HeadwaterError) -> None:
    (draft,) = await drafts(WithinBudget(Refusing(error), Gateway().generator))

    assert draft.outcome is Outcome.ANSWERED
    assert OVER_BUDGET in draft.degraded
    assert draft.generator == "extractive"


@pytest.mark.parametrize("error", [Overloaded("Busy."), InvalidRequest("Nonsense.")])
async def test_no_other_refusal_makes_way(error: HeadwaterError) -> None:
    with pytest.raises(type(error)):
        await drafts(WithinBudget(Refusing(error), Gateway().generator))


async def test_a_question_over_budget_is_refused_with_the_budgets_own_error() -> None:
    gateway = Gateway(generator=Refusing(EXHAUSTED))
    with pytest.raises(Overloaded) as caught:
        async for _ in gateway.questions.ask(Question("How many sensors?"), ALICE):
            pass
    assert caught.value is EXHAUSTED


@pytest.mark.parametrize(
    ("profile", "redis", "expected"),
    [
        ("embedded", "", SqliteTokenLedger),
        ("embedded", "redis://127.0.0.1:1/0", SqliteTokenLedger),
        ("cluster", "", MemoryTokenLedger),
        ("cluster", "redis://127.0.0.1:1/0", RedisTokenLedger),
    ],
)
async def test_gateways_that_share_a_disk_or_a_redis_count_together(
    profile: str, redis: str, expected: type[object], tmp_path: Path
) -> None:
    settings = GatewaySettings(
        profile=profile, data_dir=tmp_path, elasticsearch={"url": "http://127.0.0.1:1"}, redis={"url": redis}
    )
    async with AsyncExitStack() as stack:
        ledger = open_token_ledger(stack, settings)
        assert type(ledger) is expected
