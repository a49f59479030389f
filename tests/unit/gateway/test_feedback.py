"""Feedback: who may give it, what reviewers learn from it, and what nobody does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.unit.gateway.fakes import ALICE, BOB, NOW, Gateway

from chassis.errors import DependencyUnavailable, InvalidRequest, NotFound, Overloaded, PermissionDenied
from chassis.identity import Caller, Scope
from corpus.analysis import analyse
from gateway.domain import Answer, AnswerReady, CitationKey, Outcome, Question, Rating
from gateway.feedback.domain import AskedQuestion, Feedback, RatedAnswer, Reason, Source
from gateway.feedback.report import group_questions, rate_documents
from gateway.feedback.service import Opinion

SENSORS = "How many sensors does a gateway with firmware 3.1 accept?"
PROBE = "How often should the probe be cleaned in summer?"
NOTHING = "Who won the chess tournament of Reykjavik?"
REVIEWER = Caller("acme", "rita", frozenset(), 0, frozenset({Scope.READ, Scope.REVIEW}))
BAD = Opinion(Rating.BAD)


async def asked(gateway: Gateway, text: str, caller: Caller = ALICE) -> Answer:
    async for event in gateway.questions.ask(Question(text), caller):
        if isinstance(event, AnswerReady):
            return event.answer
    raise AssertionError("no answer")


async def test_feedback_is_kept_with_the_answer_and_the_latest_counts() -> None:
    gateway = Gateway()
    answer = await asked(gateway, SENSORS)

    await gateway.feedback.give(answer.answer_id, Opinion(Rating.GOOD, comment="right"), ALICE)
    await gateway.feedback.give(answer.answer_id, Opinion(Rating.BAD, Reason.OUTDATED, "It is 200.", "old"), ALICE)

    assert gateway.log.feedback == {answer.answer_id: Feedback(Rating.BAD, NOW, Reason.OUTDATED, "It is 200.", "old")}


@pytest.mark.parametrize(
    "stranger", [BOB, replace(ALICE, tenant_id="other"), replace(ALICE, subject="Alice"), REVIEWER]
)
async def test_nobody_rates_an_answer_of_somebody_else(stranger: Caller) -> None:
    gateway = Gateway()
    answer = await asked(gateway, SENSORS)

    with pytest.raises(NotFound) as foreign:
        await gateway.feedback.give(answer.answer_id, BAD, stranger)
    with pytest.raises(NotFound) as missing:
        await gateway.feedback.give("none", BAD, stranger)

    assert str(foreign.value) == str(missing.value)
    assert gateway.log.feedback == {}


async def test_what_can_not_be_feedback_is_refused() -> None:
    gateway = Gateway()
    answer = await asked(gateway, SENSORS)
    for opinion, reason in (
        (Opinion(Rating.BAD, comment="x" * 4097), "COMMENT_TOO_LONG"),
        (Opinion(Rating.BAD, corrected="x" * 8193), "CORRECTION_TOO_LONG"),
        (Opinion(Rating.GOOD, Reason.WRONG), "REASON_WITH_GOOD"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await gateway.feedback.give(answer.answer_id, opinion, ALICE)
        assert caught.value.reason == reason
    with pytest.raises(PermissionDenied):
        await gateway.feedback.give(answer.answer_id, BAD, replace(ALICE, scopes=frozenset()))


async def test_personal_data_in_feedback_is_not_stored() -> None:
    gateway = Gateway()
    answer = await asked(gateway, SENSORS)

    opinion = Opinion(Rating.BAD, None, "Write to ann@example.org.", "My card is 4111 1111 1111 1111.")
    await gateway.feedback.give(answer.answer_id, opinion, ALICE)

    feedback = gateway.log.feedback[answer.answer_id]
    assert (feedback.corrected, feedback.comment) == ("Write to [EMAIL].", "My card is [CARD].")


async def test_feedback_counts_against_the_rate() -> None:
    gateway = Gateway(rate="1/minute")
    answer = await asked(gateway, SENSORS)
    await gateway.feedback.give(answer.answer_id, BAD, ALICE)

    with pytest.raises(Overloaded):
        await gateway.feedback.give(answer.answer_id, BAD, ALICE)


async def rated_world() -> tuple[Gateway, Answer]:
    gateway = Gateway()
    answer = await asked(gateway, SENSORS)
    assert {citation.key.document_id for citation in answer.citations} == {"gateway"}
    await gateway.feedback.give(answer.answer_id, Opinion(Rating.BAD, Reason.WRONG, "It is 200."), ALICE)
    return gateway, answer


@pytest.mark.parametrize("scope", [Scope.REVIEW, Scope.ADMIN])
async def test_a_reviewer_learns_which_documents_fail_and_what_nothing_answers(scope: Scope) -> None:
    gateway, _ = await rated_world()
    gateway.retrieval.result = replace(gateway.retrieval.result, passages=())
    for question in (NOTHING, "Reykjavik: who won the tournament of chess?", "What is the wifi password?"):
        assert (await asked(gateway, question, BOB)).outcome is Outcome.ABSTAINED

    report = await gateway.feedback.report(None, 20, replace(REVIEWER, scopes=frozenset({Scope.READ, scope})))

    assert (report.good, report.bad, report.reasons, report.truncated) == (0, 1, ((Reason.WRONG, 1),), False)
    (document,) = report.documents
    assert (document.document_id, document.title, document.good, document.bad) == ("gateway", "Gateway", 0, 1)
    assert document.reasons == ((Reason.WRONG, 1),)
    assert [group.times for group in report.unanswered] == [2, 1]


async def test_a_document_that_the_reviewer_may_not_read_is_neither_named_nor_exported() -> None:
    gateway, answer = await rated_world()
    assert [row.answer_id for row in await gateway.feedback.export(None, REVIEWER)] == [answer.answer_id]

    gateway.revoke("gateway")

    assert (await gateway.feedback.report(None, 20, REVIEWER)).documents == ()
    assert list(await gateway.feedback.export(None, REVIEWER)) == []


async def test_nothing_is_told_when_readability_can_not_be_known() -> None:
    gateway, _ = await rated_world()
    gateway.retrieval.down = True

    with pytest.raises(DependencyUnavailable):
        await gateway.feedback.report(None, 20, REVIEWER)
    with pytest.raises(DependencyUnavailable):
        await gateway.feedback.export(None, REVIEWER)


@pytest.mark.parametrize("scopes", [frozenset({Scope.READ, Scope.WRITE}), frozenset({Scope.READ, Scope.REVEAL})])
async def test_only_reviewers_see_what_others_think(scopes: frozenset[Scope]) -> None:
    gateway, _ = await rated_world()
    caller = replace(REVIEWER, scopes=scopes)

    with pytest.raises(PermissionDenied):
        await gateway.feedback.report(None, 20, caller)
    with pytest.raises(PermissionDenied):
        await gateway.feedback.export(None, caller)


async def test_a_reviewer_or_admin_of_another_tenant_sees_nothing() -> None:
    gateway, _ = await rated_world()
    foreign = replace(ALICE, tenant_id="other")

    report = await gateway.feedback.report(None, 20, foreign)

    assert (report.good, report.bad, report.documents, report.unanswered) == (0, 0, (), ())
    assert list(await gateway.feedback.export(None, foreign)) == []


async def test_an_export_has_question_sources_and_opinion_but_not_who_asked() -> None:
    gateway, answer = await rated_world()

    (row,) = await gateway.feedback.export(None, REVIEWER)

    keys = tuple(Source(citation.key, citation.title) for citation in answer.citations)
    feedback = Feedback(Rating.BAD, NOW, Reason.WRONG, "It is 200.")
    assert row == RatedAnswer(answer.answer_id, SENSORS, Outcome.ANSWERED, keys, NOW, feedback)


async def test_what_was_stored_before_masking_was_on_leaves_masked() -> None:
    gateway, answer = await rated_world()
    entry = gateway.log.entries[answer.answer_id]
    gateway.log.entries[answer.answer_id] = replace(entry, question="Who is ann@example.org?")
    gateway.log.feedback[answer.answer_id] = Feedback(Rating.BAD, NOW, None, "bob@example.org", "cid@example.org")

    (row,) = await gateway.feedback.export(None, REVIEWER)

    assert (row.question, row.feedback.corrected, row.feedback.comment) == ("Who is [EMAIL]?", "[EMAIL]", "[EMAIL]")


async def test_feedback_is_forgotten_with_its_answer() -> None:
    gateway, _ = await rated_world()
    await gateway.log.forget_before(NOW + timedelta(days=1))

    assert list(await gateway.feedback.export(None, REVIEWER)) == []


async def test_a_report_takes_only_a_sensible_number() -> None:
    gateway = Gateway()
    for most in (0, 101):
        with pytest.raises(InvalidRequest):
            await gateway.feedback.report(None, most, REVIEWER)


def rated(rating: Rating, *documents: str, outcome: Outcome = Outcome.ANSWERED, title: str = "") -> RatedAnswer:
    sources = tuple(Source(CitationKey(document, 1, f"{document}-{n}"), title) for document in documents for n in "12")
    return RatedAnswer("a", "q", outcome, sources, NOW, Feedback(rating, NOW))


def keys_of(*answers: RatedAnswer) -> frozenset[CitationKey]:
    return frozenset(source.key for answer in answers for source in answer.sources)


def test_one_bad_answer_does_not_make_a_document_worse_than_eight_of_ten() -> None:
    answers = [
        *[rated(Rating.BAD, "often")] * 8,
        *[rated(Rating.GOOD, "often")] * 2,
        rated(Rating.BAD, "once"),
        *[rated(Rating.GOOD, "fine")] * 9,
    ]

    often, once = rate_documents(answers, keys_of(*answers), 10)

    assert (often.document_id, often.good, often.bad) == ("often", 2, 8)
    assert (once.document_id, once.good, once.bad) == ("once", 0, 1)
    average = 9 / 20
    assert often.rate == pytest.approx((8 + 4 * average) / 14)
    assert once.rate == pytest.approx((1 + 4 * average) / 5)


def test_hidden_documents_change_no_figure_of_the_others() -> None:
    seen = [rated(Rating.BAD, "seen"), rated(Rating.GOOD, "seen")]
    hidden = [rated(Rating.BAD, "hidden")] * 50

    assert rate_documents([*seen, *hidden], keys_of(*seen), 10) == rate_documents(seen, keys_of(*seen), 10)


def test_an_answer_counts_once_for_a_document_and_only_if_it_answered() -> None:
    answers = [rated(Rating.BAD, "x", title="new"), rated(Rating.BAD, "x", outcome=Outcome.FALLBACK, title="old")]

    (document,) = rate_documents(answers, keys_of(*answers), 10)

    assert (document.bad, document.title) == (1, "new")


def test_at_most_so_many_documents_and_groups_are_named() -> None:
    answers = [rated(Rating.BAD, f"d{number}") for number in range(5)]
    assert len(rate_documents(answers, keys_of(*answers), 3)) == 3
    questions = [AskedQuestion(f"word{number}", NOW) for number in range(5)]
    assert len(group_questions(questions, analyse, 3)) == 3


def at(hours: int) -> datetime:
    return NOW + timedelta(hours=hours)


def test_questions_with_the_same_words_are_one_group_under_the_last_of_them() -> None:
    questions = [
        AskedQuestion("How do I clean the probes?", at(1)),
        AskedQuestion("cleaning a probe", at(2)),
        AskedQuestion("Why?", at(3)),
        AskedQuestion("what is it", at(4)),
    ]

    first, *others = group_questions(questions, analyse, 10)

    assert (first.question, first.times, first.last_asked_at) == ("cleaning a probe", 2, at(2))
    assert [each.question for each in others] == ["what is it", "Why?"]
