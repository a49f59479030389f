"""Questions through the use cases: answers, abstentions, checks and the log."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

import pytest
from tests.unit.gateway.fakes import ALICE, BOB, PASSAGES, Gateway, retrieved

from chassis.errors import DependencyUnavailable, InvalidRequest, NotFound, Overloaded, PermissionDenied
from chassis.identity import Caller, Scope
from gateway.domain import (
    ABSTENTION_TEXT,
    Answer,
    AnswerEvent,
    AnswerReady,
    CitationSettled,
    Outcome,
    Question,
    StageFinished,
    TextPiece,
)

SENSORS = Question("How many sensors does a gateway with firmware 3.1 accept?")


async def events_of(gateway: Gateway, question: Question, caller: Caller = ALICE) -> list[AnswerEvent]:
    async with aclosing(gateway.questions.ask(question, caller)) as events:
        return [event async for event in events]


async def answer_of(gateway: Gateway, question: Question, caller: Caller = ALICE) -> Answer:
    last = (await events_of(gateway, question, caller))[-1]
    assert isinstance(last, AnswerReady)
    return last.answer


async def test_an_answer_is_a_cited_sentence_of_a_passage() -> None:
    answer = await answer_of(Gateway(), SENSORS)

    assert answer.outcome is Outcome.ANSWERED
    assert answer.text.startswith("A gateway with firmware 3.1 accepts at most 120 sensors. [1]")
    assert answer.citations[0].quote == "A gateway with firmware 3.1 accepts at most 120 sensors."
    assert answer.generation == "g1"


async def test_events_come_in_the_order_in_which_things_happen() -> None:
    events = await events_of(Gateway(), SENSORS)

    stages = [event.timing.stage for event in events if isinstance(event, StageFinished)]
    assert stages == ["retrieve", "context", "generate", "check_citations"]
    text = "".join(event.text for event in events if isinstance(event, TextPiece))
    last = events[-1]
    assert isinstance(last, AnswerReady)
    assert text == last.answer.text
    assert tuple(event.citation for event in events if isinstance(event, CitationSettled)) == last.answer.citations


async def test_a_question_about_something_that_no_passage_mentions_is_refused_with_the_exact_text() -> None:
    answer = await answer_of(Gateway(), Question("Does the gateway measure nitrate?"))

    assert answer.outcome is Outcome.ABSTAINED
    assert answer.text == ABSTENTION_TEXT == "I don't know based on the available knowledge."
    assert answer.citations == ()


async def test_empty_retrieval_is_an_abstention() -> None:
    answer = await answer_of(Gateway(passages=()), SENSORS)

    assert (answer.outcome, answer.confidence) == (Outcome.ABSTAINED, 0.0)


async def test_weak_retrieval_is_an_abstention_without_reading_anything() -> None:
    gateway = Gateway()
    weak = [replace(found, similarity=0.03) for found in PASSAGES]
    gateway.retrieval.result = retrieved(*weak)

    assert (await answer_of(gateway, SENSORS)).outcome is Outcome.ABSTAINED


async def test_without_the_embedder_words_alone_decide_and_the_answer_says_so() -> None:
    gateway = Gateway()
    gateway.embedder.down = True

    answer = await answer_of(gateway, SENSORS)

    assert answer.outcome is Outcome.ANSWERED
    assert answer.degraded == ("sentence_embedding",)


async def test_what_retrieval_did_without_is_passed_on() -> None:
    gateway = Gateway()
    gateway.retrieval.result = retrieved(*PASSAGES, degraded=("lexical",))

    assert (await answer_of(gateway, SENSORS)).degraded == ("lexical",)


async def test_a_source_that_is_revoked_while_the_answer_is_made_is_neither_told_nor_cited() -> None:
    gateway = Gateway()
    gateway.revoke("gateway")

    events = await events_of(gateway, SENSORS)

    last = events[-1]
    assert isinstance(last, AnswerReady)
    assert "citations" in last.answer.degraded
    assert "120" not in "".join(event.text for event in events if isinstance(event, TextPiece))
    assert all(citation.key.document_id != "gateway" for citation in last.answer.citations)


async def test_when_readability_cannot_be_known_there_is_no_answer() -> None:
    gateway = Gateway()
    gateway.retrieval.down = True

    with pytest.raises(DependencyUnavailable) as caught:
        await answer_of(gateway, SENSORS)

    assert caught.value.retry_after_seconds == 2.0


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (Question("x" * 1_000_000), "QUERY_TOO_LONG"),
        (Question("   "), "EMPTY_QUERY"),
        (Question("why?", context_tokens=10**6), "INVALID_CONTEXT_TOKENS"),
    ],
)
async def test_what_cannot_be_a_question_is_refused_before_anything_is_spent(question: Question, reason: str) -> None:
    gateway = Gateway()

    with pytest.raises(InvalidRequest) as caught:
        await answer_of(gateway, question)

    assert caught.value.reason == reason
    assert gateway.retrieval.asked == []


async def test_the_limit_of_a_query_is_named() -> None:
    with pytest.raises(InvalidRequest, match="8,192 characters"):
        await answer_of(Gateway(), Question("x" * 8193))


async def test_a_caller_over_his_rate_is_told_when_to_come_back_and_others_are_not_affected() -> None:
    gateway = Gateway(rate="2/hour")
    for _ in range(2):
        await answer_of(gateway, SENSORS)

    with pytest.raises(Overloaded) as caught:
        await answer_of(gateway, SENSORS)

    assert caught.value.reason == "RATE_LIMITED"
    assert caught.value.retry_after_seconds is not None
    assert 0 < caught.value.retry_after_seconds <= 3600
    assert (await answer_of(gateway, SENSORS, BOB)).outcome is Outcome.ANSWERED


async def test_asking_needs_the_read_scope() -> None:
    with pytest.raises(PermissionDenied):
        await answer_of(Gateway(), SENSORS, Caller("acme", "writer", scopes=frozenset({Scope.WRITE})))


async def test_a_batch_is_one_retrieval_and_keeps_its_order() -> None:
    gateway = Gateway()

    answers = await gateway.questions.ask_batch([SENSORS, Question("Does it measure nitrate?")], ALICE)

    assert [answer.outcome for answer in answers] == [Outcome.ANSWERED, Outcome.ABSTAINED]
    assert gateway.retrieval.batches == 1
    assert len(gateway.log.entries) == 2


@pytest.mark.parametrize("size", [0, 65])
async def test_a_batch_has_1_to_64_questions(size: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await Gateway().questions.ask_batch([SENSORS] * size, ALICE)

    assert caught.value.reason == "INVALID_BATCH_SIZE"


async def test_an_answer_that_cannot_be_logged_is_given_and_flagged() -> None:
    gateway = Gateway()
    gateway.log.down = True

    answer = await answer_of(gateway, SENSORS)

    assert answer.outcome is Outcome.ANSWERED
    assert "answer_log" in answer.degraded


async def test_a_replayed_answer_is_the_same_while_its_sources_are_readable() -> None:
    gateway = Gateway()
    answer = await answer_of(gateway, SENSORS)

    replay = await gateway.answers.replay(answer.answer_id, ALICE)

    assert (replay.answer, replay.question, replay.redacted) == (answer, SENSORS.text, False)


async def test_a_replayed_answer_loses_the_sentences_whose_source_was_revoked() -> None:
    gateway = Gateway()
    answer = await answer_of(gateway, SENSORS)
    gateway.revoke("gateway")

    replay = await gateway.answers.replay(answer.answer_id, ALICE)

    assert replay.redacted
    assert "120" not in replay.answer.text
    withheld = [citation for citation in replay.answer.citations if not citation.readable]
    assert withheld
    assert all((c.quote, c.title, c.uri, c.place.heading_path) == ("", "", "", ()) for c in withheld)


async def test_a_replay_fails_closed_when_readability_cannot_be_known() -> None:
    gateway = Gateway()
    answer = await answer_of(gateway, SENSORS)
    gateway.retrieval.down = True

    with pytest.raises(DependencyUnavailable):
        await gateway.answers.replay(answer.answer_id, ALICE)


async def test_the_answer_of_somebody_else_does_not_exist() -> None:
    gateway = Gateway()
    answer = await answer_of(gateway, SENSORS)

    for stranger in (BOB, Caller("other", "alice")):
        with pytest.raises(NotFound):
            await gateway.answers.replay(answer.answer_id, stranger)
