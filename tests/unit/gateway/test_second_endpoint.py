"""A second endpoint that writes where the first fails, and the breaker of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import pytest
from tests.unit.gateway.chat_endpoint import ChatScript, chat_endpoint
from tests.unit.gateway.fakes import ALICE, NOW, Gateway

from chassis.clock import ManualClock
from chassis.errors import Overloaded
from chassis.resilience.breaker import BreakerPolicy
from corpus.analysis import analyse
from gateway.adapters.memory_token_ledger import MemoryTokenLedger
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.costs.budgets import BudgetLimits, TokenBudgets
from gateway.costs.domain import Account
from gateway.costs.metered import ModelMeter
from gateway.domain import FALLBACK_TEXT, Answer, AnswerReady, Outcome, Question, TextPiece
from gateway.generators.openai_compatible.breaker import EndpointBreaker
from gateway.generators.openai_compatible.endpoint import ChatEndpoint, EndpointSettings, Payer
from gateway.generators.openai_compatible.endpoints import ChatEndpoints, NamedEndpoint
from gateway.generators.openai_compatible.errors import EndpointError
from gateway.generators.openai_compatible.generator import OpenAICompatibleGenerator

QUESTION = Question("How many sensors does a gateway accept?")
FIRST = ("The first says ", "120 [1].")
SECOND = ("The second says ", "120 [1].")
MESSAGES = [{"role": "user", "content": "Why?"}]


def settings_of(script: ChatScript, *, token_seconds: float = 5.0, attempts: int = 1) -> EndpointSettings:
    return EndpointSettings(script.base_url, "some-model", "", 2.0, token_seconds, 100, 0.0, attempts)


@asynccontextmanager
async def endpoints_of(
    *scripts: ChatScript, token_seconds: float = 5.0, breakers: Sequence[EndpointBreaker | None] = (None, None)
) -> AsyncIterator[ChatEndpoints]:
    async with AsyncExitStack() as stack:
        named = []
        for name, script, breaker in zip(("first", "second"), scripts, breakers, strict=False):
            await stack.enter_async_context(chat_endpoint(script))
            endpoint = ChatEndpoint(settings_of(script, token_seconds=token_seconds), breaker=breaker)
            stack.push_async_callback(endpoint.close)
            named.append(NamedEndpoint(name, endpoint))
        yield ChatEndpoints(named)


def gateway_over(endpoints: ChatEndpoints, *, total: float = 10.0) -> Gateway:
    tokens = EstimatingTokenCounter()
    return Gateway(
        generator=OpenAICompatibleGenerator(endpoints, analyse, tokens, total_seconds=total, preferred="first")
    )


async def ask(gateway: Gateway) -> tuple[Answer, str]:
    """The answer, and the text that was streamed."""
    async with aclosing(gateway.questions.ask(QUESTION, ALICE)) as stream:
        events = [event async for event in stream]
    last = events[-1]
    assert isinstance(last, AnswerReady)
    return last.answer, "".join(event.text for event in events if isinstance(event, TextPiece))


async def written(endpoints: ChatEndpoints, seconds: float | None = None) -> tuple[str, str]:
    """Text and endpoint of a completion."""
    async with aclosing(endpoints.complete(MESSAGES, None, seconds)) as deltas:
        pieces = [delta async for delta in deltas]
    (endpoint,) = {delta.endpoint for delta in pieces}
    return "".join(delta.text for delta in pieces), endpoint


async def test_while_the_first_endpoint_works_the_second_is_not_asked_and_nothing_is_said_of_it() -> None:
    second = ChatScript(SECOND)
    async with endpoints_of(ChatScript(FIRST), second) as endpoints:
        answer, _ = await ask(gateway_over(endpoints))

    assert (answer.text, answer.generator, answer.degraded) == ("The first says 120 [1].", "openai-compatible", ())
    assert second.requests == []


@pytest.mark.parametrize(
    "first",
    [
        ChatScript(FIRST, failures=[503]),
        ChatScript(FIRST, failures=[401]),
        ChatScript(FIRST, failures=[400]),
        ChatScript(FIRST, cut_after=0),
        ChatScript(FIRST, error_after=0),
        ChatScript(FIRST, garbled=(0, "{")),
        ChatScript(()),
        ChatScript((" ", "\n")),
    ],
    ids=[
        "is busy",
        "refuses the key",
        "refuses the request",
        "hangs up",
        "reports an error",
        "garbles",
        "nothing",
        "blanks",
    ],
)
async def test_an_endpoint_that_fails_before_its_first_word_is_stood_in_for_and_the_answer_says_so(
    first: ChatScript,
) -> None:
    async with endpoints_of(first, ChatScript(SECOND)) as endpoints:
        answer, told = await ask(gateway_over(endpoints))

    assert answer.outcome is Outcome.ANSWERED
    assert answer.text == told == "The second says 120 [1]."
    assert [citation.number for citation in answer.citations] == [1]
    assert answer.generator == "openai-compatible:second"
    assert answer.degraded == ("generator_endpoint",)


@pytest.mark.parametrize(
    "first",
    [
        ChatScript(FIRST, cut_after=1),
        ChatScript(FIRST, error_after=1),
        ChatScript(FIRST, garbled=(1, "{")),
        ChatScript(FIRST, finish_reason="content_filter"),
        ChatScript((), finish_reason="content_filter"),
    ],
    ids=["hangs up", "reports an error", "garbles", "filters what it wrote", "filters at once"],
)
async def test_an_answer_that_has_begun_is_never_finished_by_another_endpoint(first: ChatScript) -> None:
    second = ChatScript(SECOND)
    async with endpoints_of(first, second) as endpoints:
        answer, told = await ask(gateway_over(endpoints))

    assert (answer.outcome, answer.text) == (Outcome.FALLBACK, FALLBACK_TEXT)
    assert told.endswith(FALLBACK_TEXT)
    assert "generator" in answer.degraded
    assert second.requests == []
    assert "second" not in told


async def test_when_both_fail_the_answer_is_the_passages() -> None:
    async with endpoints_of(ChatScript(FIRST, failures=[500]), ChatScript(SECOND, failures=[500])) as endpoints:
        answer, _ = await ask(gateway_over(endpoints))

    assert (answer.outcome, answer.text) == (Outcome.FALLBACK, FALLBACK_TEXT)
    assert {citation.key.document_id for citation in answer.citations} == {"gateway", "probe"}
    assert answer.degraded == ("generator",)


async def test_an_endpoint_that_stalls_leaves_the_next_one_its_share_of_the_time() -> None:
    """It may be silent for longer than the whole answer may take."""
    first = ChatScript(FIRST, stall_before=0)
    async with endpoints_of(first, ChatScript(SECOND), token_seconds=60.0) as endpoints:
        answer, _ = await ask(gateway_over(endpoints, total=2.0))
        await asyncio.wait_for(first.left.wait(), 5)

    assert answer.text == "The second says 120 [1]."


async def test_an_endpoint_that_keeps_failing_is_left_alone_and_asked_again_after_a_while() -> None:
    clock = ManualClock(NOW)
    breaker = EndpointBreaker("test-endpoint", BreakerPolicy(consecutive_failures=2, open_seconds=10.0), clock)
    first = ChatScript(FIRST, failures=[500, 500])
    async with endpoints_of(first, ChatScript(SECOND), breakers=(breaker, None)) as endpoints:
        asked = [await written(endpoints) for _ in range(4)]
        assert len(first.requests) == 2
        clock.advance(11)
        again = await written(endpoints)

    assert {endpoint for _, endpoint in asked} == {"second"}
    assert again == ("".join(FIRST), "first")


async def test_each_endpoint_has_a_breaker_of_its_own_and_with_both_open_nobody_waits() -> None:
    policy = BreakerPolicy(consecutive_failures=1, open_seconds=1000.0)
    breakers = [EndpointBreaker(name, policy) for name in ("test-first", "test-second")]
    first, second = ChatScript(FIRST, failures=[500]), ChatScript(SECOND, failures=[500])
    async with endpoints_of(first, second, breakers=breakers) as endpoints:
        for _ in range(3):
            with pytest.raises(EndpointError):
                await written(endpoints)

    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_neither_a_refused_request_nor_a_caller_in_a_hurry_opens_the_breaker_for_others() -> None:
    breaker = EndpointBreaker("test-endpoint", BreakerPolicy(consecutive_failures=1, open_seconds=1000.0))
    first = ChatScript(FIRST, failures=[400, 422, 413])
    async with endpoints_of(first, breakers=(breaker,)) as endpoints:
        for _ in range(3):
            with pytest.raises(EndpointError):
                await written(endpoints)
        with pytest.raises(EndpointError):
            await written(endpoints, seconds=0.0)
        assert await written(endpoints) == ("".join(FIRST), "first")


async def test_a_reader_who_leaves_does_not_count_and_frees_the_place_of_the_probe() -> None:
    clock = ManualClock(NOW)
    breaker = EndpointBreaker("test-endpoint", BreakerPolicy(consecutive_failures=1, open_seconds=10.0), clock)
    first = ChatScript(FIRST, failures=[500])
    async with endpoints_of(first, breakers=(breaker,)) as endpoints:
        with pytest.raises(EndpointError):
            await written(endpoints)
        clock.advance(11)
        async with aclosing(endpoints.complete(MESSAGES)) as deltas:
            await anext(deltas)
        assert await written(endpoints) == ("".join(FIRST), "first")


async def test_each_model_is_charged_for_what_it_wrote_and_a_used_up_budget_is_no_reason_to_ask_the_next() -> None:
    account, tokens = Account(), EstimatingTokenCounter()
    budgets = TokenBudgets(BudgetLimits(day=400), MemoryTokenLedger(), ManualClock(NOW))
    usage = {"prompt_tokens": 200, "completion_tokens": 20}
    scripts = (ChatScript((), usage=usage), ChatScript(SECOND, usage=usage))
    async with AsyncExitStack() as stack:
        named = []
        for name, script in zip(("first", "second"), scripts, strict=True):
            await stack.enter_async_context(chat_endpoint(script))
            meter = ModelMeter(f"model-{name}", 100, tokens, budgets)
            endpoint = ChatEndpoint(settings_of(script), meter=meter)
            stack.push_async_callback(endpoint.close)
            named.append(NamedEndpoint(name, endpoint))
        endpoints = ChatEndpoints(named)
        async with aclosing(endpoints.complete(MESSAGES, Payer("acme", account))) as deltas:
            assert [delta.endpoint async for delta in deltas] == ["second"] * 4
        with pytest.raises(Overloaded):
            await anext(endpoints.complete(MESSAGES, Payer("acme", account)))

    used = {name: (use.input_tokens, use.output_tokens) for name, use in account.models.items()}
    assert used == {"model-first": (200, 20), "model-second": (200, 20)}
    assert (len(scripts[0].requests), len(scripts[1].requests)) == (1, 1)
