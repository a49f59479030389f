"""Understanding questions, through the use cases: what is searched for, what is shown, and what is never told."""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.gateway.fakes import ALICE, GATEWAY_TEXT, NOW, PASSAGES, PROBE_TEXT, Gateway, passage

from chassis.errors import InvalidRequest
from corpus.analysis import analyse
from gateway.domain import Answer, AnswerReady, Outcome, Question
from gateway.plan import Plan, PlanOptions, QuestionClass, SuggestedFilter, Turn
from gateway.ports import UnderstandingRequest
from gateway.settings import GatewaySettings
from gateway.stages.understand.filters import SuggestFilters
from gateway.stages.understand.vocabulary import FilterField, TenantVocabulary, Vocabulary
from gateway.understanding import build_planner

VOCABULARY = """
[[tenants.acme.collections]]
name = "people"
description = "Holiday, leave and travel."
doc_types = ["policy"]

[[tenants.acme.collections]]
name = "product"
description = "Probes, gateways and sensors."
doc_types = ["guide", "reference"]

[tenants.acme.fields.doc_type.values]
runbook = ["runbooks"]

[tenants.acme.fields.product.values]
rill-q2 = ["Rill Q2"]
"""
SENSORS = "How many sensors does a gateway with firmware 3.1 accept?"


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    file = tmp_path / "vocabulary.toml"
    file.write_text(VOCABULARY)
    return file


def gateway_with(vocabulary: Path, passages: Any = PASSAGES, **settings: Any) -> Gateway:
    own = GatewaySettings(understand_vocabulary=vocabulary, **settings)
    return Gateway(passages, planner=build_planner(own, analyse))


async def answer_of(gateway: Gateway, text: str, **question: Any) -> tuple[Answer, Plan]:
    async with aclosing(gateway.questions.ask(Question(text, **question), ALICE)) as events:
        last = [event async for event in events][-1]
    assert isinstance(last, AnswerReady)
    assert last.answer.plan is not None
    return last.answer, last.answer.plan


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Hello there!", QuestionClass.SMALL_TALK),
        ("Vielen Dank!", QuestionClass.SMALL_TALK),
        ("What is the meaning of life?", QuestionClass.OUT_OF_SCOPE),
    ],
)
async def test_what_no_document_answers_is_not_searched_for_and_the_answer_says_so(
    vocabulary: Path, text: str, kind: QuestionClass
) -> None:
    gateway = gateway_with(vocabulary)

    answer, plan = await answer_of(gateway, text)

    assert (answer.outcome, plan.question_class) == (Outcome.NOT_SEARCHED, kind)
    assert answer.text == plan.reply != ""
    assert gateway.retrieval.questions == []


@pytest.mark.parametrize(
    "text",
    [
        "Hello world example for the Python client",
        "What is the expected life of the battery?",
        "Who won the football World Cup in 2022?",
        "Thanks for the probe; how do I calibrate it?",
        "Write access to the registers: who has it?",
        "How should weather stations be mounted?",
        "What are clades?",
    ],
)
async def test_a_question_that_only_resembles_small_talk_is_searched_for(vocabulary: Path, text: str) -> None:
    answer, _ = await answer_of(gateway_with(vocabulary), text)

    assert answer.outcome is not Outcome.NOT_SEARCHED


async def test_a_follow_up_is_searched_and_answered_as_it_stands_alone_and_shown_so(vocabulary: Path) -> None:
    gateway = gateway_with(vocabulary)

    answer, plan = await answer_of(gateway, "And with firmware 2.3?", history=(Turn(SENSORS, "120."),))

    assert plan.rewritten == "How many sensors does a gateway with firmware 2.3 accept?"
    assert gateway.retrieval.asked == [plan.rewritten]
    assert "Firmware 2.3 accepted 64." in answer.text
    (logged,) = gateway.log.entries.values()
    assert logged.question == "And with firmware 2.3?"


async def test_a_question_that_stands_alone_is_left_as_it_is(vocabulary: Path) -> None:
    _, plan = await answer_of(gateway_with(vocabulary), SENSORS, history=(Turn("How do I clean the probe?"),))

    assert plan.rewritten == ""


async def test_too_long_a_history_is_refused(vocabulary: Path) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await answer_of(gateway_with(vocabulary), SENSORS, history=(Turn("?"),) * 21)

    assert refused.value.reason == "HISTORY_TOO_LONG"


async def test_two_things_compared_are_searched_for_one_by_one_in_one_call(vocabulary: Path) -> None:
    gateway = gateway_with(vocabulary, understand_decompose=True)

    _, plan = await answer_of(gateway, "What is the difference between the Rill Q2 and the Rill F4?")

    assert plan.question_class is QuestionClass.COMPARISON
    assert len(plan.searches) == 2
    assert "Q2" in plan.searches[0]
    assert "F4" in plan.searches[1]
    assert gateway.retrieval.batches == 1
    assert len(gateway.retrieval.questions) == 3


async def test_k_follows_what_the_question_asks_for(vocabulary: Path) -> None:
    gateway = gateway_with(vocabulary, understand_depth=True)

    few = (await answer_of(gateway, "Which port does the broker use?"))[1].k
    some = (await answer_of(gateway, "How do I calibrate the pH channel of a probe?"))[1].k
    many = (await answer_of(gateway, "Who owns the service and when was it released?"))[1].k

    assert (few, some, many) == (3, 10, 20)
    assert gateway.retrieval.questions[0].hints.k == 3


async def test_a_filter_is_suggested_but_not_applied_unless_asked_for(vocabulary: Path) -> None:
    gateway = gateway_with(vocabulary)

    _, plan = await answer_of(gateway, "How long does the battery of a Rill Q2 last?")
    _, asked = await answer_of(
        gateway, "How long does the battery of a Rill Q2 last?", options=PlanOptions(apply_filters=True)
    )

    assert [(each.as_filter(), each.applied) for each in plan.filters] == [({"product": {"$eq": "rill-q2"}}, False)]
    assert gateway.retrieval.questions[0].hints.filter is None
    assert asked.filters[0].applied
    assert gateway.retrieval.questions[1].hints.filter == {"product": {"$eq": "rill-q2"}}


@pytest.mark.parametrize("text", ["Only runbooks: why is it offline?", "doc_type: runbook why is it offline?"])
async def test_a_certain_filter_is_applied_and_never_given_up(vocabulary: Path, text: str) -> None:
    gateway = gateway_with(vocabulary, passages=())

    answer, plan = await answer_of(gateway, text)

    assert plan.filters[0].certain
    assert [question.hints.filter for question in gateway.retrieval.questions] == [{"doc_type": {"$eq": "runbook"}}]
    assert answer.outcome is Outcome.ABSTAINED


async def test_a_value_that_is_not_declared_is_never_certain_and_a_field_that_is_not_is_no_filter(
    vocabulary: Path,
) -> None:
    gateway = gateway_with(vocabulary)

    _, unknown_value = await answer_of(gateway, "product: nessie how long is it?")
    _, unknown_field = await answer_of(gateway, "customer: acme what is the discount?")

    assert [each.certain for each in unknown_value.filters] == [False]
    assert unknown_field.filters == ()


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("What changed since 2026-06-01?", [("$gte", "2026-06-01T00:00:00Z")]),
        ("What was said in March 2026?", [("$gte", "2026-03-01T00:00:00Z"), ("$lt", "2026-04-01T00:00:00Z")]),
        ("What was said in December 2025?", [("$gte", "2025-12-01T00:00:00Z"), ("$lt", "2026-01-01T00:00:00Z")]),
        ("Anything before 2025?", [("$lt", "2025-01-01T00:00:00Z")]),
        ("Was gilt seit dem 31.2.2025?", []),
        ("What happened on 2026-02-30?", []),
    ],
)
async def test_dates_become_ranges(vocabulary: Path, text: str, conditions: list[tuple[str, str]]) -> None:
    _, plan = await answer_of(gateway_with(vocabulary), text)

    assert [(each.operator, each.value) for found in plan.filters for each in found.conditions] == conditions


async def test_a_route_is_shown_and_applied_only_from_its_confidence_on(vocabulary: Path) -> None:
    text = "How many days of holiday leave do I have?"
    shown, searching = gateway_with(vocabulary), gateway_with(vocabulary, understand_route_confidence=0.8)

    route = (await answer_of(shown, text))[1].route
    applied = (await answer_of(searching, text))[1].route
    unsure = (await answer_of(searching, "Which travel rules hold for sensors?"))[1].route

    assert route is not None
    assert (route.collections, route.applied) == (("people",), False)
    assert applied is not None
    assert applied.applied
    assert unsure is not None
    assert not unsure.applied
    filters = [question.hints.filter for question in searching.retrieval.questions]
    assert filters == [{"doc_type": {"$in": ["policy"]}}, None]


async def test_a_collection_that_is_asked_for_is_searched_and_an_unknown_one_fails_closed(vocabulary: Path) -> None:
    gateway = gateway_with(vocabulary)

    _, plan = await answer_of(gateway, SENSORS, options=PlanOptions(collections=("people",)))
    with pytest.raises(InvalidRequest) as unknown:
        await answer_of(gateway, SENSORS, options=PlanOptions(collections=("people", "secrets")))
    without_stage = gateway_with(vocabulary, understand_route=False)
    with pytest.raises(InvalidRequest):
        await answer_of(without_stage, SENSORS, options=PlanOptions(collections=("people",)))

    assert plan.hints().filter == {"doc_type": {"$in": ["policy"]}}
    assert unknown.value.reason == "UNKNOWN_COLLECTION"
    assert len(gateway.retrieval.questions) == 1
    assert without_stage.retrieval.questions == []


async def test_leaving_the_route_out_does_not_lift_collections_that_were_asked_for(vocabulary: Path) -> None:
    options = PlanOptions(frozenset({"route"}), collections=("people",))

    _, plan = await answer_of(gateway_with(vocabulary), SENSORS, options=options)

    assert plan.hints().filter == {"doc_type": {"$in": ["policy"]}}


async def test_what_one_tenant_declares_is_nothing_to_another(vocabulary: Path) -> None:
    vocabulary.write_text(VOCABULARY.replace("acme", "other"))

    _, plan = await answer_of(gateway_with(vocabulary), "Only runbooks: what about holiday leave?")

    assert (plan.route, plan.filters) == (None, ())


async def test_a_vague_question_is_asked_back_with_what_the_passages_speak_of(vocabulary: Path) -> None:
    answer, plan = await answer_of(gateway_with(vocabulary), "limits?")

    assert answer.outcome is Outcome.CLARIFICATION
    assert [meaning.label for meaning in plan.meanings] == ["Gateway", "Probe"]
    assert "Gateway [1]\nProbe [2]" in answer.text
    assert [citation.key.document_id for citation in answer.citations] == ["gateway", "probe"]


async def test_a_vague_question_is_answered_where_one_document_is_all_there_is(vocabulary: Path) -> None:
    answer, plan = await answer_of(gateway_with(vocabulary, passages=PASSAGES[:1]), "sensors?")

    assert answer.outcome is not Outcome.CLARIFICATION
    assert plan.meanings == ()


async def test_an_acronym_with_two_long_forms_is_asked_back(vocabulary: Path) -> None:
    passages = [
        passage("support", "Each plan has a Service Level Agreement (SLA) of its own."),
        passage("radio", "The Sensor Link Adapter (SLA) sits under the lid."),
    ]

    answer, plan = await answer_of(gateway_with(vocabulary, passages=passages), "What is the SLA?")

    assert answer.outcome is Outcome.CLARIFICATION
    assert [m.label for m in plan.meanings] == ["SLA: Service Level Agreement", "SLA: Sensor Link Adapter"]


async def test_a_meaning_whose_source_is_revoked_is_told_neither_at_once_nor_in_a_replay(vocabulary: Path) -> None:
    gateway = gateway_with(vocabulary)
    answer, _ = await answer_of(gateway, "limits?")

    gateway.revoke("probe")
    now, _ = await answer_of(gateway, "limits?")
    replayed = (await gateway.answers.replay(answer.answer_id, ALICE)).answer

    for shown in (now, replayed):
        assert shown.plan is not None
        assert [meaning.label for meaning in shown.plan.meanings] == ["Gateway"]
        assert "Probe" not in shown.text


async def test_nothing_of_the_documents_is_in_what_a_plan_shows(vocabulary: Path) -> None:
    texts = [f"{GATEWAY_TEXT} turquoise elephants", f"{PROBE_TEXT} turquoise elephants"]
    passages = [passage(f"d{number}", text) for number, text in enumerate(texts)]
    gateway = gateway_with(vocabulary, passages=passages, understand_expand=True)

    _, plan = await answer_of(gateway, SENSORS)

    assert "turquoise" in gateway.retrieval.asked[-1]
    assert "turquoise" not in repr(plan)


async def test_a_stage_can_be_left_out_and_an_unknown_one_is_refused(vocabulary: Path) -> None:
    gateway = gateway_with(vocabulary)

    _, plan = await answer_of(gateway, "limits?", options=PlanOptions(without=frozenset({"clarify"})))
    with pytest.raises(InvalidRequest):
        await answer_of(gateway, "limits?", options=PlanOptions(without=frozenset({"magic"})))

    assert plan.meanings == ()
    assert [timing.stage for timing in plan.timings][:2] == ["rewrite", "classify"]


async def test_a_question_about_now_lets_old_passages_weigh_less(vocabulary: Path) -> None:
    gateway = gateway_with(vocabulary, understand_freshness_weight=0.3)

    await answer_of(gateway, "Is firmware 2.3 still supported?")
    await answer_of(gateway, SENSORS)

    assert [question.hints.freshness_weight for question in gateway.retrieval.questions] == [0.3, 0.0]


async def test_a_batch_is_understood_question_by_question_and_searched_in_one_call(vocabulary: Path) -> None:
    gateway = gateway_with(vocabulary)
    questions = [Question(SENSORS), Question("Hello!"), Question("What is the difference between v1 and v2?")]

    answers = await gateway.questions.ask_batch(questions, ALICE)

    assert [answer.outcome is Outcome.NOT_SEARCHED for answer in answers] == [False, True, False]
    assert gateway.retrieval.batches == 1
    alone, _ = await answer_of(gateway, SENSORS)
    assert answers[0].text == alone.text


async def test_with_every_stage_off_a_question_goes_as_it_did() -> None:
    gateway = Gateway()

    async with aclosing(gateway.questions.ask(Question("Hello!"), ALICE)) as events:
        last = [event async for event in events][-1]

    assert isinstance(last, AnswerReady)
    assert last.answer.plan is None
    assert gateway.retrieval.asked == ["Hello!"]


@pytest.mark.parametrize(
    "text",
    [
        "a." * 4096,
        "which " + "better " * 1150,
        "difference " * 740,
        "how does " + "a-" * 4000,
        "hi " * 2700,
        "only " * 1600,
        "the " * 2000 + "?",
        "1.1." * 2000,
        "Which is The A first " + "A The " * 1300,
        "both A and " * 700,
    ],
)
async def test_no_question_takes_long_to_understand(vocabulary: Path, text: str) -> None:
    settings = GatewaySettings(understand_vocabulary=vocabulary, understand_decompose=True, understand_depth=True)
    planner = build_planner(settings, analyse)
    started = time.thread_time()

    for asked in (text, text[:600]):
        history = (Turn(text, text), Turn(text[:600], text))
        await planner.plan(UnderstandingRequest(Question(asked, history=history), ALICE, NOW))

    assert time.thread_time() - started < 1.0


def test_a_vocabulary_with_a_mistake_is_refused_at_the_start(vocabulary: Path) -> None:
    vocabulary.write_text(VOCABULARY.replace("doc_types", "doc_type"))

    with pytest.raises(ValueError, match=r"vocabulary\.toml"):
        build_planner(GatewaySettings(understand_vocabulary=vocabulary), analyse)


def suggested(text: str) -> tuple[SuggestedFilter, ...]:
    fields = {"doc_type": FilterField(values={"runbook": ("runbooks",)})}
    return SuggestFilters(Vocabulary(tenants={"*": TenantVocabulary(fields=fields)})).suggest(text, "any")


def test_a_plan_holds_two_filters_together() -> None:
    both = tuple(replace(each, applied=True) for each in suggested("Only runbooks since 2026"))

    hints = Plan("", "", filters=both).hints()

    dated = {"updated_at": {"$gte": "2026-01-01T00:00:00Z"}}
    assert hints.filter == {"$and": [{"doc_type": {"$eq": "runbook"}}, dated]}
