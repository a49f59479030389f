"""The reranker through its gRPC edge, over tiny real models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.unit.inference.tiny_models import make_tiny_model

from chassis.errors import InvalidRequest
from chassis.identity import Caller, acting_as
from headwater.rerank.v1 import rerank_pb2
from reranker.adapters.loading import open_scorer
from reranker.domain import Method, recommend
from reranker.service import RankPassages
from reranker.servicer import RerankServicer
from reranker.settings import RerankerSettings

QUERY = "the cat sat"
TEXTS = ["the cat sat on the mat", "the river runs down to the sea", "a dog"]
Open = Callable[..., object]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADWATER_MODEL_CACHE", str(tmp_path / "cache"))
    make_tiny_model(tmp_path / "tiny", window=32)
    make_tiny_model(tmp_path / "cross", window=32, labels=1)
    return tmp_path


async def serving(models: Path, stack: AsyncExitStack, **options: object) -> RerankServicer:
    settings = RerankerSettings(
        data_dir=models / "data",
        model=str(models / ("cross" if options.get("method") is Method.CROSS_ENCODER else "tiny")),
        runtime="onnxruntime-fp32",
        threads=1,
        max_passages=4,
        **options,  # type: ignore[arg-type]
    )
    return RerankServicer(RankPassages(await open_scorer(settings, stack), max_passages=settings.max_passages))


async def rerank(
    servicer: RerankServicer, query: str, passages: dict[str, str], tenant: str = "acme"
) -> rerank_pb2.RerankResponse:
    request = rerank_pb2.RerankRequest(
        query=query, passages=[rerank_pb2.Passage(chunk_id=key, text=text) for key, text in passages.items()]
    )
    with acting_as(Caller(tenant, "retriever")):
        return await servicer.Rerank(request, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", list(Method))
async def test_scores_lie_between_0_and_1_in_the_order_of_the_passages(
    models: Path, stack: AsyncExitStack, method: Method
) -> None:
    servicer = await serving(models, stack, method=method)
    forwards = await rerank(servicer, QUERY, dict(zip("abc", TEXTS, strict=True)))
    backwards = await rerank(servicer, QUERY, dict(zip("cba", reversed(TEXTS), strict=True)))

    assert all(0 <= score <= 1 for score in forwards.scores)
    assert list(backwards.scores) == pytest.approx(list(reversed(forwards.scores)), abs=1e-6)
    assert len(set(forwards.scores)) == 3


async def test_late_interaction_prefers_the_passage_that_holds_the_words(models: Path, stack: AsyncExitStack) -> None:
    servicer = await serving(models, stack)
    response = await rerank(servicer, QUERY, dict(zip("abc", TEXTS, strict=True)))
    assert max(response.scores) == response.scores[0]
    assert response.model_id == "tiny"


async def test_known_passages_are_not_read_again_and_score_the_same(models: Path, stack: AsyncExitStack) -> None:
    servicer = await serving(models, stack)
    first = await rerank(servicer, QUERY, {"a": TEXTS[0], "b": TEXTS[1]})
    second = await rerank(servicer, QUERY, {"a": TEXTS[0], "b": TEXTS[1], "c": TEXTS[2]})
    assert (first.cache_hits, second.cache_hits) == (0, 2)
    assert list(second.scores[:2]) == pytest.approx(list(first.scores), abs=1e-6)


async def test_what_one_tenant_put_under_an_id_is_not_there_for_another(models: Path, stack: AsyncExitStack) -> None:
    servicer = await serving(models, stack)
    await rerank(servicer, QUERY, {"a": TEXTS[0]}, tenant="acme")
    other = await rerank(servicer, QUERY, {"a": TEXTS[1]}, tenant="globex")
    fresh = await rerank(servicer, QUERY, {"b": TEXTS[1]}, tenant="globex")
    assert other.cache_hits == 0
    assert list(other.scores) == list(fresh.scores)


async def test_empty_passages_score_lowest_and_no_passages_give_no_scores(models: Path, stack: AsyncExitStack) -> None:
    servicer = await serving(models, stack)
    response = await rerank(servicer, QUERY, {"a": "", "b": TEXTS[0]})
    assert response.scores[0] == 0
    assert not (await rerank(servicer, QUERY, {})).scores


@pytest.mark.parametrize(
    ("query", "passages", "reason"),
    [
        (" ", {"a": "text"}, "EMPTY_QUERY"),
        (QUERY, {str(i): "text" for i in range(5)}, "TOO_MANY_PASSAGES"),
        (QUERY, {"": "text"}, "CHUNK_ID_MISSING"),
    ],
)
async def test_requests_that_cannot_be_right_say_why(
    models: Path, stack: AsyncExitStack, query: str, passages: dict[str, str], reason: str
) -> None:
    servicer = await serving(models, stack)
    with pytest.raises(InvalidRequest) as raised:
        await rerank(servicer, query, passages)
    assert raised.value.reason == reason


async def test_the_reranker_says_what_it_is_and_whether_it_helps(models: Path, stack: AsyncExitStack) -> None:
    servicer = await serving(models, stack, method=Method.CROSS_ENCODER)
    info = await servicer.GetRerankerInfo(rerank_pb2.GetRerankerInfoRequest(), None)  # type: ignore[arg-type]
    assert (info.model_id, info.method, info.recommended) == ("cross", "cross-encoder", True)
    assert info.reason
    assert len(info.model_revision) == 12


@pytest.mark.parametrize(
    ("method", "model", "setting", "recommended"),
    [
        (Method.LATE_INTERACTION, "all-MiniLM-L6-v2", "auto", False),
        (Method.LATE_INTERACTION, "BAAI/bge-small-en-v1.5", "auto", True),
        (Method.LATE_INTERACTION, "something/else", "auto", False),
        (Method.LATE_INTERACTION, "something/else", "on", True),
        (Method.CROSS_ENCODER, "cross-encoder/ms-marco-MiniLM-L6-v2", "auto", True),
        (Method.CROSS_ENCODER, "cross-encoder/ms-marco-MiniLM-L6-v2", "off", False),
    ],
)
def test_auto_goes_by_what_was_measured_and_the_operator_overrules_it(
    method: Method, model: str, setting: str, recommended: bool
) -> None:
    assert recommend(method, model, setting).recommended is recommended
