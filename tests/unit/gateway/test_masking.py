"""What is kept of questions, and what a replay shows, when personal data is in it."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace

import pytest
from tests.unit.gateway.fakes import ALICE, Gateway, passage

from chassis.identity import Caller, Scope
from gateway.adapters.language_model_understanding import build_messages
from gateway.domain import AnswerReady, Question
from gateway.generators.openai_compatible.disguise import Disguise
from gateway.plan import Plan, Turn
from gateway.replay import ReplayAnswers
from gateway.stages.mask import masked, masked_entry

LONG = " ".join(f"name{number}@mail{number}.example" for number in range(300))
SENTENCE = "A gateway with firmware 3.1 accepts at most 120 sensors, says anna@example.org."


async def test_a_long_question_is_masked_beside_the_event_loop() -> None:
    masking = asyncio.create_task(masked_entry(LONG, Plan(LONG, LONG)))
    await asyncio.sleep(0)

    assert not masking.done()
    text, plan = await masking
    assert plan is not None
    assert text == plan.asked == " ".join(["[EMAIL]"] * 300)


async def test_a_short_question_is_masked_as_a_long_one() -> None:
    assert await masked_entry("To a@b.example", None) == ("To [EMAIL]", None)


def test_a_question_full_of_addresses_is_masked_in_a_fraction_of_a_second() -> None:
    parts = tuple(LONG[start : start + 2000] for start in range(0, 8000, 2000))
    started = time.process_time()

    kept = masked(Plan(LONG, LONG, searches=parts))

    assert time.process_time() - started < 0.5
    assert "example" not in kept.text


async def replayed(caller: Caller, *, redacts: bool) -> str:
    gateway = Gateway((passage("gateway", SENTENCE),))
    question = Question("How many sensors does a gateway with firmware 3.1 accept?")
    async with aclosing(gateway.questions.ask(question, ALICE)) as events:
        answer = [event async for event in events][-1]
    assert isinstance(answer, AnswerReady)
    assert "anna@example.org" in answer.answer.text
    answers = ReplayAnswers(gateway.log, gateway.retrieval, gateway.rates, redacts=redacts)
    return (await answers.replay(answer.answer.answer_id, caller)).answer.text


@pytest.mark.parametrize(
    ("scopes", "redacts", "shown"),
    [
        (frozenset({Scope.READ}), True, "[EMAIL]"),
        (frozenset({Scope.READ, Scope.REVEAL}), True, "anna@example.org"),
        (frozenset({Scope.READ}), False, "anna@example.org"),
    ],
)
async def test_a_replay_shows_what_a_model_was_not_shown_to_those_with_the_scope_only(
    scopes: frozenset[Scope], redacts: bool, shown: str
) -> None:
    assert shown in await replayed(replace(ALICE, scopes=scopes), redacts=redacts)


def test_a_turn_is_cut_when_everything_in_it_is_hidden() -> None:
    said = f"{'sk-a1'.ljust(1980, '2')} card 4111 1111 1111 1111"

    _, user = build_messages("And?", (Turn(said, ""),), Disguise(ALICE).hide)

    assert "4111" not in str(user["content"])


def test_a_model_sees_no_number_that_came_to_light_when_others_were_hidden() -> None:
    hidden = Disguise(ALICE).hide("phone 4515986, 4515987, 4515988, 4515989")

    assert "45159" not in hidden
