"""Personal data that was put back for a reader: told to that reader, and kept nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest
from tests.unit.gateway.cached import CachedGateway
from tests.unit.gateway.chat_endpoint import ChatScript, chat_endpoint
from tests.unit.gateway.fakes import ALICE, passage

from chassis.identity import Caller, Scope
from corpus.analysis import analyse
from gateway import observe
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.domain import Answer, AnswerReady, Question
from gateway.generators.openai_compatible.endpoint import ChatEndpoint, EndpointSettings
from gateway.generators.openai_compatible.generator import OpenAICompatibleGenerator

MAIL = "anna@example.org"
SENTENCE = f"A gateway accepts 120 sensors, ask {MAIL} for more."
PIECES = ("A gateway accepts 120 sensors, ", "ask [EMA", "IL_1] for more. [1]")
QUESTION = Question("How many sensors does a gateway accept?")
MAY = replace(ALICE, scopes=frozenset({Scope.READ, Scope.REVEAL}))


@asynccontextmanager
async def redacting() -> AsyncIterator[CachedGateway]:
    """A gateway whose language model gets placeholders."""
    async with chat_endpoint(ChatScript(PIECES)) as script:
        endpoint = ChatEndpoint(EndpointSettings(script.base_url, "some-model", "key-1", 2.0, 5.0, 100, 0.0, 3))
        generator = OpenAICompatibleGenerator(
            endpoint, analyse, EstimatingTokenCounter(), total_seconds=10.0, redacts=True
        )
        try:
            yield CachedGateway(passages=(passage("gateway", SENTENCE),), generator=generator)
        finally:
            await endpoint.close()


async def ask(gateway: CachedGateway, caller: Caller) -> Answer:
    async with aclosing(gateway.questions.ask(QUESTION, caller)) as events:
        last = [event async for event in events][-1]
    assert isinstance(last, AnswerReady)
    return last.answer


async def test_what_is_put_back_for_a_reader_is_in_no_log_cache_or_span(monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[str] = []
    monkeypatch.setattr(observe, "set_content", lambda span, name, text: traced.append(text))
    async with redacting() as gateway:
        answer = await ask(gateway, MAY)

        assert MAIL in answer.text
        [logged] = gateway.log.entries.values()
        assert logged.answer.text == answer.text.replace(MAIL, "[EMAIL_1]")
        assert not [text for text in traced if MAIL in text]
        assert gateway.cache.answers == []


async def test_what_is_put_back_for_nobody_is_kept_as_ever() -> None:
    async with redacting() as gateway:
        answer = await ask(gateway, replace(ALICE, scopes=frozenset({Scope.READ})))

        [logged] = gateway.log.entries.values()
        assert logged.answer.text == answer.text
        assert "[EMAIL_1]" in answer.text
        assert len(gateway.cache.answers) == 1
