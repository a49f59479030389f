"""The gateway's generator over a real server of a real language model: llama.cpp's, with 135 million weights.

What such a model writes is worth little, so a grammar makes it write sentences with marks where a test is about them.
That it is streamed, timed out, left and malformed is as real as with a large one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import pytest
from tests.integration.model_proxy import ModelProxy, model_proxy
from tests.servers import language_model
from tests.servers.language_model import API_KEY, LanguageModel
from tests.servers.native import ServerUnavailableError
from tests.unit.gateway.chat_endpoint import ChatScript, chat_endpoint
from tests.unit.gateway.fakes import ALICE, PASSAGES, Gateway, passage

from corpus.analysis import analyse
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.domain import (
    FALLBACK_TEXT,
    Answer,
    AnswerEvent,
    AnswerReady,
    CitationSettled,
    Outcome,
    Question,
    TextPiece,
)
from gateway.generators.openai_compatible.endpoint import ChatEndpoint, EndpointSettings
from gateway.generators.openai_compatible.endpoints import ChatEndpoints, NamedEndpoint
from gateway.generators.openai_compatible.generator import OpenAICompatibleGenerator

pytestmark = [pytest.mark.llm, pytest.mark.timeout(900)]

QUESTION = Question("How many sensors does a gateway accept?")
GRAMMAR = r"""root ::= sentence sentence
sentence ::= [A-Z] [a-z0-9 ]{20,60} " [" [12] "]. "
"""
PATIENCE = 240.0
"""Seconds for one answer on a machine that runs other tests."""
SECOND = ("The second says ", "120 [1].")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageModel]:
    try:
        running = language_model.start(tmp_path_factory.mktemp("model"))
    except ServerUnavailableError as error:
        pytest.skip(str(error))
    yield running
    running.stop()


@asynccontextmanager
async def gateway_over(
    *base_urls: str, token_seconds: float = PATIENCE, key: str = API_KEY, max_tokens: int = 80
) -> AsyncIterator[Gateway]:
    async with AsyncExitStack() as stack:
        named = []
        for name, base_url in zip(("first", "second"), base_urls, strict=False):
            settings = EndpointSettings(base_url, "smollm2", key, 5.0, token_seconds, max_tokens, 0.0, attempts=2)
            endpoint = ChatEndpoint(settings)
            stack.push_async_callback(endpoint.close)
            named.append(NamedEndpoint(name, endpoint))
        tokens = EstimatingTokenCounter()
        yield Gateway(
            generator=OpenAICompatibleGenerator(
                ChatEndpoints(named), analyse, tokens, total_seconds=2 * PATIENCE, preferred="first"
            )
        )


async def events_of(gateway: Gateway, question: Question = QUESTION) -> list[AnswerEvent]:
    async with aclosing(gateway.questions.ask(question, ALICE)) as stream:
        return [event async for event in stream]


async def ask(gateway: Gateway) -> Answer:
    last = (await events_of(gateway))[-1]
    assert isinstance(last, AnswerReady)
    return last.answer


def is_fallback_with_passages(answer: Answer) -> bool:
    cited = {citation.key.document_id for citation in answer.citations}
    whole = cited == {each.document_id for each in PASSAGES}
    return answer.outcome is Outcome.FALLBACK and answer.text == FALLBACK_TEXT and whole


async def test_an_answer_is_streamed_with_its_citations(model: LanguageModel) -> None:
    async with (
        model_proxy(ModelProxy(model.base_url, more={"grammar": GRAMMAR})) as proxy,
        gateway_over(proxy.base_url) as gateway,
    ):
        events = await events_of(gateway)
    pieces = [place for place, event in enumerate(events) if isinstance(event, TextPiece)]
    settled = [place for place, event in enumerate(events) if isinstance(event, CitationSettled)]
    answer = events[-1].answer

    assert answer.outcome is Outcome.ANSWERED
    assert "".join(events[place].text for place in pieces).rstrip() == answer.text
    assert len(pieces) > 5
    # The first sentence's citation is there before the second sentence is.
    assert pieces[0] < settled[0] < pieces[-1]
    texts = {each.document_id: each.text for each in PASSAGES}
    assert answer.citations
    for citation in answer.citations:
        assert citation.quote in texts[citation.key.document_id]
    assert answer.usage.prompt_tokens > 100
    assert answer.usage.completion_tokens > 5


async def test_what_it_writes_by_itself_is_an_answer_with_sources_or_none_at_all(model: LanguageModel) -> None:
    async with gateway_over(model.base_url) as gateway:
        answer = await ask(gateway)

    assert answer.outcome in (Outcome.ANSWERED, Outcome.ABSTAINED)
    assert bool(answer.citations) is (answer.outcome is Outcome.ANSWERED)
    assert answer.generator == "openai-compatible"


async def test_a_server_that_stops_answering_is_given_up_and_answers_again_later(model: LanguageModel) -> None:
    async with gateway_over(model.base_url, token_seconds=0.5) as hasty, gateway_over(model.base_url) as patient:
        model.freeze()
        try:
            silent = await ask(hasty)
        finally:
            model.thaw()
        later = await ask(patient)

    assert is_fallback_with_passages(silent)
    assert "generator" in silent.degraded
    assert later.outcome in (Outcome.ANSWERED, Outcome.ABSTAINED)


async def test_while_it_is_silent_the_second_endpoint_writes(model: LanguageModel) -> None:
    async with (
        chat_endpoint(ChatScript(SECOND)) as second,
        gateway_over(model.base_url, second.base_url, token_seconds=0.5) as gateway,
    ):
        model.freeze()
        try:
            answer = await ask(gateway)
        finally:
            model.thaw()

    assert (answer.outcome, answer.text) == (Outcome.ANSWERED, "".join(SECOND))
    assert (answer.generator, answer.degraded) == ("openai-compatible:second", ("generator_endpoint",))


async def test_it_can_be_the_second_endpoint_itself(model: LanguageModel) -> None:
    async with (
        model_proxy(ModelProxy(model.base_url, more={"grammar": GRAMMAR})) as proxy,
        chat_endpoint(ChatScript((), failures=[503, 503])) as first,
        gateway_over(first.base_url, proxy.base_url) as gateway,
    ):
        answer = await ask(gateway)

    assert answer.outcome is Outcome.ANSWERED
    assert answer.generator == "openai-compatible:second"


async def test_when_the_reader_leaves_the_server_stops_writing(model: LanguageModel) -> None:
    before = model.abandoned
    # It may not end by itself for as long as it has room.
    endless = ModelProxy(model.base_url, more={"min_tokens": 1200})
    async with model_proxy(endless) as proxy, gateway_over(proxy.base_url, max_tokens=1200) as gateway:
        stream = gateway.questions.ask(QUESTION, ALICE)
        async for event in stream:
            if isinstance(event, TextPiece):
                break
        await stream.aclose()
        async with asyncio.timeout(PATIENCE):
            while model.abandoned == before:
                await asyncio.sleep(0.05)

    assert endless.events < 1200
    async with gateway_over(model.base_url) as gateway:
        assert (await ask(gateway)).outcome in (Outcome.ANSWERED, Outcome.ABSTAINED)


@pytest.mark.parametrize("spoilt", [{"garbles_after": 4}, {"hangs_up_after": 4}], ids=["garbled", "cut off"])
async def test_a_reply_that_breaks_in_its_middle_ends_as_the_passages(
    model: LanguageModel, spoilt: dict[str, int]
) -> None:
    async with (
        chat_endpoint(ChatScript(SECOND)) as second,
        model_proxy(ModelProxy(model.base_url, more={"grammar": GRAMMAR}, **spoilt)) as proxy,
        gateway_over(proxy.base_url, second.base_url) as gateway,
    ):
        events = await events_of(gateway)
    answer = events[-1].answer

    assert is_fallback_with_passages(answer)
    assert "generator" in answer.degraded
    told = "".join(event.text for event in events if isinstance(event, TextPiece))
    assert told.endswith(FALLBACK_TEXT)
    assert len(told) > len(FALLBACK_TEXT)
    assert second.requests == []


@pytest.mark.parametrize("spoilt", [{"garbles_after": 0}, {"hangs_up_after": 0}], ids=["garbled", "cut off"])
async def test_a_reply_that_breaks_before_its_first_word_is_the_second_endpoint_s(
    model: LanguageModel, spoilt: dict[str, int]
) -> None:
    async with (
        chat_endpoint(ChatScript(SECOND)) as second,
        model_proxy(ModelProxy(model.base_url, **spoilt)) as proxy,
        gateway_over(proxy.base_url, second.base_url) as gateway,
    ):
        answer = await ask(gateway)

    assert answer.text == "".join(SECOND)


async def test_what_it_refuses_ends_as_the_passages(model: LanguageModel) -> None:
    async with gateway_over(model.base_url, key="another") as gateway:
        stranger = await ask(gateway)
    async with gateway_over(model.base_url, max_tokens=16) as gateway:
        long = passage("gateway", "A gateway accepts 120 sensors. " * 400)
        gateway.retrieval.result = type(gateway.retrieval.result)((long, PASSAGES[1]))
        longer_than_its_context = await ask(gateway)

    assert is_fallback_with_passages(stranger)
    assert longer_than_its_context.outcome is Outcome.FALLBACK
