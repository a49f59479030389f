"""Which answers are kept, and what an entry may be taken for."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from tests.unit.gateway.cached import POLICY, CachedGateway
from tests.unit.gateway.fakes import ALICE, BOB, NOW, PASSAGES, retrieved

from chassis.identity import Scope
from gateway.domain import Outcome, Question, Usage
from gateway.plan import (
    Condition,
    Plan,
    QuestionClass,
    Route,
    SearchHints,
    SuggestedFilter,
    Turn,
)
from gateway.settings import GatewaySettings
from gateway.stages.cache.context import context_of
from gateway.stages.cache.entries import Entry, entry_bytes, entry_of
from gateway.support import SentenceSupport, SupportReason, Verdict

SENSORS = "How many sensors does a gateway with firmware 3.1 accept?"
ALIKE = "How many sensors can a gateway with firmware 3.1 accept?"


@pytest.fixture
def gateway() -> CachedGateway:
    return CachedGateway()


async def test_an_entry_that_was_moved_to_another_reader_is_not_served(gateway: CachedGateway) -> None:
    await gateway.answer(SENSORS)
    (mine,) = gateway.cache.answers
    stolen = gateway.cache.values[mine]
    await gateway.answer(SENSORS, BOB)
    (bobs,) = set(gateway.cache.answers) - {mine}
    gateway.cache.values[bobs] = stolen

    await gateway.answer(SENSORS, BOB)
    assert gateway.searched == 3

    # Even one that claims to be his rests on somebody else's access.
    forged = json.loads(stolen) | {"key": bobs, "context": json.loads(gateway.cache.values[bobs])["context"]}
    gateway.cache.values[bobs] = json.dumps(forged).encode()
    await gateway.answer(SENSORS, BOB)
    assert gateway.searched == 4


async def test_a_poisoned_answer_stays_with_the_reader_who_made_it(gateway: CachedGateway) -> None:
    mallory = replace(BOB, subject="mallory", groups=ALICE.groups, scopes=ALICE.scopes)
    await gateway.answer(SENSORS, mallory)
    key = gateway.cache.answers[0]
    entry = json.loads(gateway.cache.values[key]) | {"text": "Send your password to mallory. [1]"}
    gateway.cache.values[key] = json.dumps(entry).encode()

    assert "mallory" in (await gateway.answer(SENSORS, mallory)).text
    assert "mallory" not in (await gateway.answer(SENSORS)).text


async def test_another_model_of_vectors_knows_no_paraphrases(gateway: CachedGateway) -> None:
    await gateway.answer(SENSORS)
    gateway.vectors.model = "words@2"
    await gateway.answer(ALIKE)
    assert gateway.searched == 2


async def test_without_the_embedder_the_same_words_are_served_and_others_are_not(gateway: CachedGateway) -> None:
    await gateway.answer(SENSORS)
    gateway.vectors.down = True
    await gateway.answer(SENSORS)
    assert gateway.searched == 1
    await gateway.answer(ALIKE)
    assert gateway.searched == 2


async def test_a_lookup_that_takes_too_long_is_a_miss(gateway: CachedGateway) -> None:
    await gateway.answer(SENSORS)
    gateway.use(replace(POLICY, patience_seconds=0.01))

    async def hang(key: str) -> bytes | None:
        await asyncio.Event().wait()
        return None

    gateway.cache.get = hang  # type: ignore[method-assign]
    assert (await gateway.answer(SENSORS)).outcome is Outcome.ANSWERED
    assert gateway.searched == 2


async def test_a_conversation_neither_reads_nor_fills_the_cache(gateway: CachedGateway) -> None:
    turns = (Turn("Tell me about the gateway.", "It has a light."),)
    await gateway.answer(Question(SENSORS, history=turns))
    assert gateway.cache.values == {}
    await gateway.answer(SENSORS)
    await gateway.answer(Question(SENSORS, history=turns))
    assert gateway.searched == 3


@pytest.mark.parametrize(
    "question",
    ["Does the gateway measure nitrate?", "What is the current firmware of the gateway?", "Hello!"],
    ids=["abstention", "time-sensitive", "small talk"],
)
async def test_what_is_not_kept(gateway: CachedGateway, question: str) -> None:
    await gateway.answer(question)
    assert gateway.cache.values == {}


async def test_an_answer_that_was_made_without_something_is_not_kept(gateway: CachedGateway) -> None:
    gateway.retrieval.result = replace(retrieved(*PASSAGES, degraded=("lexical",)), generation="g1")
    await gateway.answer(SENSORS)
    gateway.retrieval.result = replace(retrieved(*PASSAGES), generation="g1")
    gateway.embedder.down = True
    await gateway.answer(SENSORS)
    assert gateway.cache.values == {}


async def test_an_answer_from_another_generation_than_the_active_one_is_not_kept(gateway: CachedGateway) -> None:
    gateway.sources.generation = "g2"
    await gateway.answer(SENSORS)
    assert gateway.cache.values == {}


async def test_a_source_that_is_revoked_while_the_answer_is_written_keeps_it_out(gateway: CachedGateway) -> None:
    gateway.sources.superseded.add("gateway")
    await gateway.answer(SENSORS)
    assert gateway.cache.values == {}


async def test_a_batch_searches_only_for_what_is_not_known(gateway: CachedGateway) -> None:
    await gateway.answer(SENSORS)
    other = "How often is the probe to be cleaned in summer?"
    first, second, third = await gateway.questions.ask_batch(
        [Question(SENSORS), Question(other), Question(ALIKE)], ALICE
    )
    assert [question.text for question in gateway.retrieval.questions[1:]] == [other]
    assert "120" in first.text
    assert first.text == third.text
    assert "ten days" in second.text


async def test_nothing_that_is_kept_holds_the_words_of_a_question(gateway: CachedGateway) -> None:
    await gateway.answer("How many sensors does Mrs Featherstonehaugh's gateway with firmware 3.1 accept?")
    assert gateway.cache.values
    everything = b"".join([key.encode() + value for key, value in gateway.cache.values.items()])
    assert b"Featherstonehaugh" not in everything


async def test_a_question_with_half_a_character_is_answered(gateway: CachedGateway) -> None:
    assert (await gateway.answer(f"{SENSORS} \ud800")).outcome is not None


async def test_an_entry_that_another_question_of_the_reader_points_at_is_not_served(gateway: CachedGateway) -> None:
    await gateway.answer(SENSORS)
    (bucket,) = [key for key in gateway.cache.values if key.startswith("similar/")]
    filtered = Question(ALIKE, hints=SearchHints(filter={"year": 2025}))
    await gateway.answer(filtered)
    for key in gateway.cache.values:
        if key.startswith("similar/"):
            gateway.cache.values[key] = gateway.cache.values[bucket]
    await gateway.answer(replace(filtered, text=SENSORS))
    assert gateway.searched == 3


async def test_as_many_scopes_are_not_the_same_scopes(gateway: CachedGateway) -> None:
    await gateway.answer(SENSORS, replace(ALICE, scopes=frozenset({Scope.READ, Scope.REVEAL})))
    await gateway.answer(SENSORS, replace(ALICE, scopes=frozenset({Scope.READ, Scope.WRITE})))
    assert gateway.searched == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"question_class": QuestionClass.HOW_TO},
        {"k": 3},
        {"searches": ("firmware 3.1",)},
        {"expand": True},
        {"freshness_weight": 0.2},
        {"filters": (SuggestedFilter((Condition("year", "$gte", "2025"),), "since 2025", certain=True, applied=True),)},
        {"route": Route(("manuals",), ("manual",), 0.9, applied=True)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_plan_is_part_of_what_must_be_the_same(changes: dict[str, object]) -> None:
    question, plan = Question(SENSORS), Plan(SENSORS, SENSORS)
    digests = {
        context_of(question, each, ALICE, NOW, "r1", lambda _: b"")
        for each in (plan, replace(plan, **changes))  # type: ignore[arg-type]
    }
    assert len(digests) == 2


def test_a_filter_that_is_only_suggested_changes_nothing() -> None:
    question, plan = Question(SENSORS), Plan(SENSORS, SENSORS)
    suggested = SuggestedFilter((Condition("year", "$gte", "2025"),), "since 2025", certain=False)
    others = replace(plan, filters=(suggested,))
    first, second = (context_of(question, each, ALICE, NOW, "r1", lambda _: b"") for each in (plan, others))
    assert first == second


def test_an_entry_is_read_back_as_it_was_written() -> None:
    support = SentenceSupport(0, 12, (1,), Verdict.WEAK, 0.5, SupportReason.VALUE)
    usage = Usage(context_tokens=3)
    entry = Entry("key", "context", "access", "g1", 5.0, "It is six. [1]", 0.9, (), usage, "extractive", (support,))

    assert entry_of(entry_bytes(entry)) == entry


def test_what_checks_answers_is_a_part_of_the_recipe() -> None:
    flagged = GatewaySettings(verify="flag").shaping_answers()

    assert flagged != GatewaySettings(verify="drop").shaping_answers()
