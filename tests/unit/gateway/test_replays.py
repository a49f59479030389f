"""Answers that are made again from their records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.gateway.edges import Edges, edges
from tests.unit.gateway.fakes import ALICE, BOB, GATEWAY_TEXT, PASSAGES, Gateway, passage

from chassis.errors import FailedPrecondition, InvalidRequest, NotFound
from chassis.identity import Caller, Scope
from corpus.analysis import analyse
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.domain import Answer, AnswerReady, Passage, Question
from gateway.plan import Turn
from gateway.policy import AnswerPolicy
from gateway.record.compare import STAGES, StageVerdict
from gateway.record.domain import LegScore, Scores, TextPolicy
from gateway.record.making import Recorder
from gateway.record.replay import KEPT_PLAN, OTHER_ACCESS, MadeAgain, MakeAgain
from gateway.service import AnswerQuestions
from gateway.settings import GatewaySettings
from gateway.stages.context import ContextLimits
from gateway.stages.verify.stage import Verifier, VerifyMode
from gateway.understanding import build_planner
from headwater import AsyncClient, Identity, NotFoundError
from headwater.gateway.v1 import gateway_pb2

QUESTION = "How many sensors does a gateway with firmware 3.1 accept?"


def explained(found: Passage, rank: int, *, vector: float = 0.7, weight: float = 0.6, rerank: float = 0.9) -> Passage:
    legs = (LegScore("vector", rank, vector, vector, weight), LegScore("lexical", rank, 9.0, 1.0, 1 - weight))
    fused = weight * vector + 1 - weight
    return replace(found, scores=Scores(legs, fused, 0.0, 0.0, fused, rerank))


FOUND = tuple(explained(each, rank) for rank, each in enumerate(PASSAGES, start=1))


class Recording(Gateway):
    """As ``Gateway``, with every stage of the composition root that needs no other service, and replays."""

    def __init__(self, **recorder: Any) -> None:
        super().__init__(FOUND)
        self.recorder = Recorder(**{"recipe": "r1", **recorder})
        self.use()

    def use(self, *, context: int = 12, planner: GatewaySettings | None = None, **recorder: Any) -> None:
        """From now on with these settings, as after a restart."""
        self.recorder = replace(self.recorder, **recorder)
        self.questions = AnswerQuestions(
            self.retrieval,
            self.generator,
            self.log,
            EstimatingTokenCounter(),
            self.clock,
            AnswerPolicy(ContextLimits(3000, context, sections=False)),
            self.rates,
            build_planner(planner or GatewaySettings(), analyse),
            verifier=Verifier(VerifyMode.DROP, analyse),
            recorder=self.recorder,
        )
        self.replays = MakeAgain(
            self.questions, self.log, self.retrieval, self.rates, self.recorder, bytes.decode, deterministic=True
        )

    def finds(self, *passages: Passage, generation: str = "g1") -> None:
        self.retrieval.result = replace(self.retrieval.result, passages=passages, generation=generation)

    async def ask(self, question: str | Question = QUESTION, caller: Caller = ALICE) -> Answer:
        asked = Question(question) if isinstance(question, str) else question
        async with aclosing(self.questions.ask(asked, caller)) as events:
            last = [event async for event in events][-1]
        assert isinstance(last, AnswerReady)
        return last.answer


def verdicts(made: MadeAgain) -> dict[str, StageVerdict]:
    return {each.stage: each.verdict for each in made.stages}


def why(made: MadeAgain, stage: str) -> str:
    return "; ".join(next(each.reasons for each in made.stages if each.stage == stage))


@pytest.fixture
def gateway() -> Recording:
    return Recording()


async def test_an_answer_that_nothing_has_changed_for_comes_out_the_same(gateway: Recording) -> None:
    answer = await gateway.ask()
    gateway.clock.advance(3 * 24 * 3600)

    made = await gateway.replays.replay(answer.answer_id, ALICE)

    assert made.first == ""
    assert tuple(verdicts(made)) == STAGES
    assert set(verdicts(made).values()) == {StageVerdict.SAME}
    assert made.notes == ()


async def test_making_it_again_is_not_logged(gateway: Recording) -> None:
    answer = await gateway.ask()
    await gateway.replays.replay(answer.answer_id, ALICE)
    assert list(gateway.log.entries) == [answer.answer_id]


async def test_a_changed_document_is_named_with_its_versions(gateway: Recording) -> None:
    answer = await gateway.ask()
    text = GATEWAY_TEXT.replace("120", "200")
    new = replace(passage("gateway", text), document_version=8, chunks_version=8, chunk_id="gateway-8")
    gateway.finds(explained(new, 1), FOUND[1])

    made = await gateway.replays.replay(answer.answer_id, ALICE)

    assert made.first == "retrieval"
    assert why(made, "retrieval") == "document gateway: version 7 → 8"
    assert verdicts(made)["understanding"] is StageVerdict.SAME
    assert {verdicts(made)[stage] for stage in ("context", "prompt", "generation", "output")} == {StageVerdict.DIFFERS}


async def test_what_may_no_longer_be_read_is_counted_and_nothing_of_it_is_shown(gateway: Recording) -> None:
    answer = await gateway.ask()
    gateway.revoke("gateway")
    gateway.finds(FOUND[1])

    made = await gateway.replays.replay(answer.answer_id, ALICE)

    assert made.first == "retrieval"
    assert "1 candidate is no longer readable" in why(made, "retrieval")
    assert "gateway" not in repr(made)
    assert not [word for word in ("120", "firmware", "sensors") if word in repr(made)]


async def test_passages_that_rank_too_low_now_are_named_while_they_may_be_read(gateway: Recording) -> None:
    answer = await gateway.ask()
    gateway.finds(FOUND[0], explained(passage("manual", "Read this first."), 2))

    made = await gateway.replays.replay(answer.answer_id, ALICE)

    assert why(made, "retrieval") == (
        "document probe: passages no longer among the candidates; "
        "document manual: passages that were no candidates then"
    )


async def test_another_generation_is_a_difference_of_retrieval(gateway: Recording) -> None:
    answer = await gateway.ask()
    gateway.finds(*FOUND, generation="g2")
    made = await gateway.replays.replay(answer.answer_id, ALICE)
    assert (made.first, why(made, "retrieval")) == ("retrieval", "generation g1 → g2")
    assert verdicts(made)["output"] is StageVerdict.SAME


@pytest.mark.parametrize(
    ("now", "stage", "reason"),
    [
        ({"vector": 0.5}, "retrieval", "vector score 0.700 → 0.500"),
        ({"weight": 0.3}, "fusion", "weight of the vector leg 0.600 → 0.300"),
        ({"rerank": 0.2}, "rerank", "reranker's score 0.900 → 0.200"),
    ],
)
async def test_other_scores_are_told_of_the_stage_that_gave_them(
    gateway: Recording, now: dict[str, float], stage: str, reason: str
) -> None:
    answer = await gateway.ask()
    gateway.finds(*(explained(each, rank, **now) for rank, each in enumerate(PASSAGES, start=1)))

    made = await gateway.replays.replay(answer.answer_id, ALICE)

    assert made.first == stage
    assert reason in why(made, stage)


async def test_scores_that_differ_by_less_than_age_and_rounding_are_the_same(gateway: Recording) -> None:
    answer = await gateway.ask()
    gateway.finds(*(explained(each, rank, vector=0.7005) for rank, each in enumerate(PASSAGES, start=1)))
    assert (await gateway.replays.replay(answer.answer_id, ALICE)).first == ""


async def test_a_changed_setting_is_told_with_the_stage_that_it_shapes(gateway: Recording) -> None:
    answer = await gateway.ask()
    gateway.use(context=1, settings={"context_blocks": "1"}, recipe="r2")

    made = await gateway.replays.replay(answer.answer_id, ALICE)

    assert made.first == "context"
    assert why(made, "context") == "setting context_blocks changed: default → 1; 2 blocks → 1"
    assert why(made, "output").endswith("code, prompts or settings have changed since")


async def test_a_plan_that_is_made_otherwise_is_told_and_the_recorded_one_is_followed(gateway: Recording) -> None:
    answer = await gateway.ask("Compare firmware 3.1 with firmware 2.3.")
    gateway.use(planner=GatewaySettings(understand_classify=False))

    made = await gateway.replays.replay(answer.answer_id, ALICE)

    assert made.first == "understanding"
    assert why(made, "understanding") == "plan: class differ"
    assert verdicts(made)["retrieval"] is StageVerdict.SAME
    assert KEPT_PLAN in made.notes


async def test_of_a_conversation_the_recorded_question_is_followed(gateway: Recording) -> None:
    asked = Question("And with firmware 2.3?", history=(Turn(QUESTION, "120."),))
    answer = await gateway.ask(asked)
    made = await gateway.replays.replay(answer.answer_id, ALICE)
    assert verdicts(made)["understanding"] is StageVerdict.SKIPPED
    assert verdicts(made)["prompt"] is StageVerdict.SAME


async def test_an_abstention_and_small_talk_are_made_again_too(gateway: Recording) -> None:
    for question in ("Hello!", "What is the airspeed of an unladen swallow?"):
        answer = await gateway.ask(question)
        assert (await gateway.replays.replay(answer.answer_id, ALICE)).first == ""


async def test_answers_of_others_are_made_again_by_reviewers_alone(gateway: Recording) -> None:
    answer = await gateway.ask()
    with pytest.raises(NotFound):
        await gateway.replays.replay(answer.answer_id, BOB)
    with pytest.raises(NotFound):
        await gateway.replays.replay(answer.answer_id, replace(ALICE, tenant_id="other"))

    reviewer = replace(BOB, scopes=frozenset({Scope.READ, Scope.REVIEW}))
    made = await gateway.replays.replay(answer.answer_id, reviewer)
    assert made.first == ""
    assert made.notes == (OTHER_ACCESS,)


async def test_a_question_that_the_log_does_not_keep_to_the_letter_must_be_sent_along(gateway: Recording) -> None:
    question = f"{QUESTION} Write to ann.smith@example.org."
    answer = await gateway.ask(question)

    with pytest.raises(FailedPrecondition) as refused:
        await gateway.replays.replay(answer.answer_id, ALICE)
    assert refused.value.reason == "QUESTION_NOT_KEPT"
    with pytest.raises(InvalidRequest):
        await gateway.replays.replay(answer.answer_id, ALICE, "Another question?")
    assert (await gateway.replays.replay(answer.answer_id, ALICE, question)).first == ""


async def test_a_log_of_hashes_keeps_no_words_and_its_answers_are_made_again_all_the_same() -> None:
    gateway = Recording(text=TextPolicy.HASHES)
    answer = await gateway.ask()

    kept = repr(gateway.log.entries[answer.answer_id])
    assert not [word for word in ("sensors", "firmware", "accept", "Gateway") if word in kept]
    assert answer.text != ""
    assert (await gateway.replays.replay(answer.answer_id, ALICE, QUESTION)).first == ""
    gateway.finds(FOUND[0])
    assert (await gateway.replays.replay(answer.answer_id, ALICE, QUESTION)).first == "retrieval"


async def test_a_full_record_repeats_no_words_either(gateway: Recording) -> None:
    answer = await gateway.ask()
    record = repr(gateway.log.entries[answer.answer_id].record)
    assert not [word for word in ("sensors", "firmware", "accept", "Clean") if word in record]


async def test_wishes_with_personal_data_are_not_kept() -> None:
    gateway = Recording(described=lambda wishes: str(wishes).encode())
    answer = await gateway.ask(Question(QUESTION, retrieval="author = ann.smith@example.org"))
    with pytest.raises(FailedPrecondition) as refused:
        await gateway.replays.replay(answer.answer_id, ALICE)
    assert refused.value.reason == "WISHES_NOT_KEPT"

    other = await gateway.ask(Question(QUESTION, retrieval="language = en"))
    await gateway.replays.replay(other.answer_id, ALICE)
    assert gateway.retrieval.questions[-1].retrieval == "language = en"


async def test_without_a_record_an_answer_is_not_made_again() -> None:
    gateway = Recording(keeps=False)
    answer = await gateway.ask()
    with pytest.raises(FailedPrecondition) as refused:
        await gateway.replays.replay(answer.answer_id, ALICE)
    assert refused.value.reason == "NOT_RECORDED"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Edges]:
    async with edges(tmp_path) as made:
        yield made


def as_caller(subject: str, scopes: str) -> tuple[tuple[str, str], ...]:
    return (
        ("x-headwater-dev-tenant", "acme"),
        ("x-headwater-dev-subject", subject),
        ("x-headwater-dev-scopes", scopes),
    )


async def asked(running: Edges) -> str:
    request = gateway_pb2.AskRequest(question=gateway_pb2.Question(text=QUESTION))
    events = [event async for event in running.grpc.Ask(request, metadata=as_caller("ann", "read"))]
    return events[-1].final.answer_id


async def test_both_edges_make_answers_again(running: Edges) -> None:
    answer_id = await asked(running)
    assert running.peers.queries[-1].explain

    response = await running.http.post(
        f"/v1/answers/{answer_id}/replay", json={}, headers=httpx.Headers(list(as_caller("ann", "read")))
    )
    assert response.status_code == 200
    body = response.json()
    assert [stage["stage"] for stage in body["stages"]] == list(STAGES)
    assert body["first_difference"] == ""

    async with AsyncClient(running.target, identity=Identity("acme", "ann")) as client:
        made = await client.replays.replay(answer_id)
    assert [(each.name, each.verdict) for each in made.stages] == [
        (each["stage"], each["verdict"]) for each in body["stages"]
    ]


async def test_at_the_edges_somebody_elses_answer_does_not_exist(running: Edges) -> None:
    answer_id = await asked(running)
    response = await running.http.post(
        f"/v1/answers/{answer_id}/replay", json={}, headers=httpx.Headers(list(as_caller("ben", "read write")))
    )
    assert response.status_code == 404
    async with AsyncClient(running.target, identity=Identity("acme", "ben", scopes=["read"])) as client:
        with pytest.raises(NotFoundError):
            await client.replays.replay(answer_id)
