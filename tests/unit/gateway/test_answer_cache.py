"""Answers that were given before: what is served again, to whom, and when no more."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.gateway.cached import POLICY, CachedGateway, Counted, as_member
from tests.unit.gateway.fakes import ALICE, BOB, PASSAGES, Gateway, retrieved

from chassis.errors import DependencyUnavailable
from chassis.identity import Caller, Scope
from chassis.telemetry import metrics
from gateway.costs.domain import Account
from gateway.domain import (
    AnswerReady,
    CitationSettled,
    Draft,
    Outcome,
    Question,
    StageFinished,
    TextPiece,
    Usage,
    UsageKnown,
)
from gateway.plan import (
    PlanOptions,
    SearchHints,
)
from gateway.ports import GenerationRequest

SENSORS = "How many sensors does a gateway with firmware 3.1 accept?"
ALIKE = "How many sensors can a gateway with firmware 3.1 accept?"


@pytest.fixture
def gateway() -> CachedGateway:
    return CachedGateway()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counted]:
    meters = {"lookups": Counted(), "saved": Counted()}
    monkeypatch.setattr(metrics, "GATEWAY_CACHE", meters["lookups"])
    monkeypatch.setattr(metrics, "GATEWAY_CACHE_SAVED", meters["saved"])
    return meters


async def test_the_same_words_are_answered_without_a_search(
    gateway: CachedGateway, counted: dict[str, Counted]
) -> None:
    first = await gateway.answer(SENSORS)
    second = await gateway.answer(SENSORS)

    assert gateway.searched == 1
    assert (second.text, second.citations, second.generation) == (first.text, first.citations, "g1")
    assert second.answer_id != first.answer_id
    assert set(gateway.log.entries) == {first.answer_id, second.answer_id}
    assert counted["lookups"].total["exact", "hit"] == 1
    assert counted["saved"].total["input",] == first.usage.context_tokens > 0


@pytest.mark.parametrize(("generator", "saves"), [("openai-compatible", True), ("extractive", False)])
async def test_what_the_language_model_took_for_an_answer_is_saved_by_the_next(
    gateway: CachedGateway, generator: str, saves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Written:
        name = generator

        async def generate(
            self, request: GenerationRequest
        ) -> AsyncGenerator[TextPiece | CitationSettled | Draft, None]:
            async for piece in Gateway().generator.generate(request):
                yield replace(piece, usage=Usage(9, 40, 3), generator=generator) if isinstance(piece, Draft) else piece

    gateway.generator = Written()
    gateway.use(replace(POLICY, models={"openai-compatible": "m"}))
    saved: list[tuple[str, int, int]] = []
    monkeypatch.setattr(Account, "served", lambda _, *use: saved.append(use))
    await gateway.answer(SENSORS)
    assert saved == []
    await gateway.answer(SENSORS)
    assert gateway.searched == 1
    assert saved == ([("m", 40, 3)] if saves else [])


async def test_an_answer_from_the_cache_costs_no_tokens_and_is_told_like_any_other(gateway: CachedGateway) -> None:
    await gateway.answer(SENSORS)
    events = await gateway.tell(SENSORS)

    stages = [event.timing.stage for event in events if isinstance(event, StageFinished)]
    assert stages == ["understand", "cache", "check_citations"]
    last = events[-1]
    assert isinstance(last, AnswerReady)
    assert "".join(event.text for event in events if isinstance(event, TextPiece)) == last.answer.text
    assert tuple(event.citation for event in events if isinstance(event, CitationSettled)) == last.answer.citations
    assert [event.usage for event in events if isinstance(event, UsageKnown)] == [Usage()]


async def test_words_that_mean_the_same_are_answered_without_a_search(
    gateway: CachedGateway, counted: dict[str, Counted]
) -> None:
    first = await gateway.answer(SENSORS)
    second = await gateway.answer(ALIKE)

    assert (gateway.searched, second.text) == (1, first.text)
    assert second.plan is not None
    assert second.plan.asked == ALIKE
    assert counted["lookups"].total["similar", "hit"] == 1


async def test_a_question_is_embedded_once_on_its_way_into_the_cache(gateway: CachedGateway) -> None:
    await gateway.answer(SENSORS)
    assert gateway.vectors.calls == 1


async def test_each_cache_has_its_own_switch() -> None:
    exact = CachedGateway(replace(POLICY, similar=False))
    similar = CachedGateway(replace(POLICY, exact=False))
    for gateway in (exact, similar):
        await gateway.answer(SENSORS)
        await gateway.answer(ALIKE)
    assert (exact.searched, similar.searched) == (2, 1)
    assert exact.vectors.calls == 0


@pytest.mark.parametrize("asked", [SENSORS, ALIKE], ids=["exact", "similar"])
class TestWhatTheAnswerRestsOn:
    """Every change between fill and hit makes it a miss, and the entry goes."""

    async def test_a_revoked_source(self, gateway: CachedGateway, asked: str, counted: dict[str, Counted]) -> None:
        await gateway.answer(SENSORS)
        gateway.revoke("gateway")

        answer = await gateway.answer(asked)

        assert gateway.searched == 2
        assert "120" not in answer.text
        assert all(citation.key.document_id != "gateway" for citation in answer.citations)
        assert sum(count for (_, outcome), count in counted["lookups"].total.items() if outcome == "rejected") == 1

    async def test_a_source_that_is_readable_again_was_dropped_all_the_same(
        self, gateway: CachedGateway, asked: str
    ) -> None:
        await gateway.answer(SENSORS)
        gateway.sources.superseded.add("gateway")
        gateway.retrieval.result = retrieved()
        await gateway.answer(asked)
        gateway.sources.superseded.clear()
        await gateway.answer(asked)
        assert gateway.searched == 3

    async def test_one_source_of_several(self, asked: str) -> None:
        gateway = CachedGateway()
        answer = await gateway.answer(SENSORS)
        second = replace(answer.citations[0], number=2, key=PASSAGES[1].key)
        key = gateway.cache.answers[0]
        entry = json.loads(gateway.cache.values[key])
        entry["citations"].append(json.loads(json.dumps(entry["citations"][0])))
        entry["citations"][1]["key"]["document_id"] = second.key.document_id
        gateway.cache.values[key] = json.dumps(entry).encode()
        await gateway.answer(asked)
        assert gateway.searched == 1
        gateway.sources.superseded.add("probe")
        await gateway.answer(asked)
        assert gateway.searched == 2

    async def test_another_generation(self, gateway: CachedGateway, asked: str) -> None:
        await gateway.answer(SENSORS)
        gateway.sources.generation = "g2"
        await gateway.answer(asked)
        assert gateway.searched == 2

    async def test_a_later_tenant_of_the_same_name(self, gateway: CachedGateway, asked: str) -> None:
        await gateway.answer(SENSORS)
        gateway.sources.incarnations["acme"] = "acme_1"
        await gateway.answer(asked)
        assert gateway.searched == 2

    async def test_a_tenant_that_is_gone(self, gateway: CachedGateway, asked: str) -> None:
        await gateway.answer(SENSORS)
        del gateway.sources.incarnations["acme"]
        await gateway.answer(asked)
        assert gateway.searched == 2

    async def test_time(self, gateway: CachedGateway, asked: str) -> None:
        await gateway.answer(SENSORS)
        gateway.clock.advance(299)
        await gateway.answer(asked)
        assert gateway.searched == 1
        gateway.clock.advance(2)
        await gateway.answer(asked)
        assert gateway.searched == 2
        assert set(gateway.cache.seconds.values()) == {300.0}

    async def test_another_day(self, gateway: CachedGateway, asked: str) -> None:
        gateway.use(replace(POLICY, keep_seconds=7 * 86_400.0))
        await gateway.answer(SENSORS)
        gateway.clock.advance(timedelta(days=1).total_seconds())
        await gateway.answer(asked)
        assert gateway.searched == 2

    async def test_another_generator_prompt_or_setting(self, gateway: CachedGateway, asked: str) -> None:
        await gateway.answer(SENSORS)
        gateway.use(replace(POLICY, recipe="r2"))
        await gateway.answer(asked)
        assert gateway.searched == 2

    @pytest.mark.parametrize(
        "other",
        [
            BOB,
            as_member(ALICE),
            as_member(ALICE, "support", "sales"),
            replace(ALICE, clearance=1),
            replace(ALICE, tenant_id="other"),
            replace(ALICE, scopes=frozenset({Scope.READ})),
        ],
        ids=["another subject", "a group less", "a group more", "clearance", "tenant", "scopes"],
    )
    async def test_another_reader(self, gateway: CachedGateway, asked: str, other: Caller) -> None:
        await gateway.answer(SENSORS)
        await gateway.answer(asked, other)
        assert gateway.searched == 2

    @pytest.mark.parametrize(
        "changes",
        [
            {"retrieval": "filter: year"},
            {"context_tokens": 500},
            {"options": PlanOptions(without=frozenset({"classify"}))},
            {"options": PlanOptions(apply_filters=True)},
            {"hints": SearchHints(filter={"year": 2025})},
            {"hints": SearchHints(k=3)},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    async def test_another_filter_or_plan(self, gateway: CachedGateway, asked: str, changes: dict[str, object]) -> None:
        await gateway.answer(SENSORS)
        await gateway.answer(replace(Question(asked), **changes))  # type: ignore[arg-type]
        assert gateway.searched == 2

    async def test_sources_that_cannot_be_asked(self, gateway: CachedGateway, asked: str) -> None:
        await gateway.answer(SENSORS)
        gateway.sources.down = True
        await gateway.answer(asked)
        assert gateway.searched == 2
        gateway.sources.down = False
        await gateway.answer(asked)
        assert gateway.searched == 2, "what could not be known is no reason to drop it"

    async def test_when_nothing_can_be_read_there_is_an_error_and_no_answer_from_the_cache(
        self, gateway: CachedGateway, asked: str
    ) -> None:
        await gateway.answer(SENSORS)
        gateway.sources.down = gateway.retrieval.down = True
        with pytest.raises(DependencyUnavailable):
            await gateway.answer(asked)

    @pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"{}", b"[]", b'{"key": 3}', b"null", b"[[]]"])
    async def test_bytes_that_are_no_entry(self, gateway: CachedGateway, asked: str, garbage: bytes) -> None:
        await gateway.answer(SENSORS)
        for key in gateway.cache.values:
            gateway.cache.values[key] = garbage
        answer = await gateway.answer(asked)
        assert (gateway.searched, answer.outcome) == (2, Outcome.ANSWERED)

    async def test_a_cache_that_is_down(self, gateway: CachedGateway, asked: str) -> None:
        await gateway.answer(SENSORS)
        gateway.cache.down = True
        answer = await gateway.answer(asked)
        assert (gateway.searched, answer.outcome, answer.degraded) == (2, Outcome.ANSWERED, ())
