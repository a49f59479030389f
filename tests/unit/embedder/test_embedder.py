"""The embedder through its gRPC edge, over a tiny real model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from tests.unit.inference.tiny_models import make_tiny_model

from chassis.errors import InvalidRequest, Overloaded
from chassis.rpc.status import to_wire
from embedder.adapters.local_engine import open_local_engine
from embedder.domain import ModelMismatch
from embedder.service import EmbedTexts
from embedder.servicer import EmbeddingServicer
from embedder.settings import EmbedderSettings
from headwater.embedding.v1 import embedding_pb2
from inference.domain import TextKind
from inference.encoder import TextEncoder
from inference.engine import EmbeddingEngine

QUERY, PASSAGE = embedding_pb2.TEXT_KIND_QUERY, embedding_pb2.TEXT_KIND_PASSAGE
LONG = "the cat sat on the mat " * 4


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbedderSettings:
    monkeypatch.setenv("HEADWATER_MODEL_CACHE", str(tmp_path / "cache"))
    model = make_tiny_model(tmp_path / "tiny", prompts={"query": "query: "})
    return EmbedderSettings(
        data_dir=tmp_path / "data", model=str(model.path), runtime="onnxruntime-fp32", threads=1, max_texts=5
    )


@pytest.fixture
async def engine(settings: EmbedderSettings) -> AsyncIterator[EmbeddingEngine]:
    opened = await open_local_engine(settings)
    yield opened
    await opened.close()


@pytest.fixture
def servicer(engine: EmbeddingEngine, settings: EmbedderSettings) -> EmbeddingServicer:
    return EmbeddingServicer(EmbedTexts(engine, max_texts=settings.max_texts))


async def embed(servicer: EmbeddingServicer, **fields: object) -> embedding_pb2.EmbedResponse:
    return await servicer.Embed(embedding_pb2.EmbedRequest(**fields), None)  # type: ignore[arg-type]


def rows(response: embedding_pb2.EmbedResponse) -> np.ndarray:
    return np.frombuffer(response.vectors, "<f4").reshape(-1, response.dimensions)


async def test_vectors_come_in_order_normalised_and_with_a_report_each(servicer: EmbeddingServicer) -> None:
    response = await embed(servicer, texts=["the cat", "", LONG], kind=PASSAGE)

    vectors = rows(response)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1], atol=1e-6)
    reports = [(report.tokens, report.truncated, report.empty) for report in response.reports]
    assert reports == [(4, False, False), (0, False, True), (16, True, False)]
    assert response.model_id == "tiny"


async def test_queries_and_passages_get_their_own_prompts(servicer: EmbeddingServicer) -> None:
    query = await embed(servicer, texts=["the cat"], kind=QUERY)
    passage = await embed(servicer, texts=["query: the cat"], kind=PASSAGE)
    np.testing.assert_allclose(rows(query), rows(passage), atol=1e-6)


async def test_the_model_describes_itself(servicer: EmbeddingServicer) -> None:
    info = await servicer.GetModelInfo(embedding_pb2.GetModelInfoRequest(), None)  # type: ignore[arg-type]
    assert (info.model_id, info.dimensions, info.max_tokens, info.max_texts_per_request) == ("tiny", 32, 16, 5)
    assert (info.runtime, info.pooling) == ("onnxruntime-fp32", "mean")
    assert len(info.model_revision) == 12


async def test_a_caller_whose_index_has_another_model_is_refused(servicer: EmbeddingServicer) -> None:
    with pytest.raises(ModelMismatch) as raised:
        await embed(servicer, texts=["the cat"], kind=QUERY, expected_model_revision="000000000000")
    assert raised.value.reason == "MODEL_MISMATCH"
    assert to_wire(raised.value).code.name == "FAILED_PRECONDITION"
    info = await servicer.GetModelInfo(embedding_pb2.GetModelInfoRequest(), None)  # type: ignore[arg-type]
    await embed(servicer, texts=["the cat"], kind=QUERY, expected_model_revision=info.model_revision)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"texts": [], "kind": QUERY}, "NO_TEXTS"),
        ({"texts": ["a"] * 6, "kind": QUERY}, "TOO_MANY_TEXTS"),
        ({"texts": ["a"]}, "KIND_MISSING"),
        ({"texts": ["a"], "kind": QUERY, "priority": 99}, "KIND_MISSING"),
    ],
)
async def test_requests_that_cannot_be_right_say_why(
    servicer: EmbeddingServicer, fields: dict[str, object], reason: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await embed(servicer, **fields)
    assert raised.value.reason == reason


class HeldEncoder(TextEncoder):
    """The tiny encoder, whose passes wait at a gate."""

    def hold(self) -> None:
        self.gate, self.begun = threading.Event(), threading.Event()

    def embed_pass(self, encodings: object) -> list[np.ndarray]:
        self.begun.set()
        assert self.gate.wait(10)
        return super().embed_pass(encodings)  # type: ignore[arg-type]


async def test_overload_is_refused_with_a_delay_and_those_admitted_are_served(settings: EmbedderSettings) -> None:
    encoder = HeldEncoder.load(settings.model, runtime=settings.runtime, threads=1)
    assert isinstance(encoder, HeldEncoder)
    encoder.hold()
    engine = EmbeddingEngine(encoder, max_queued_tokens=dict.fromkeys(range(2), 20))  # type: ignore[arg-type]
    servicer = EmbeddingServicer(EmbedTexts(engine, max_texts=5))
    try:
        first = asyncio.create_task(embed(servicer, texts=["the cat"], kind=PASSAGE))
        assert await asyncio.to_thread(encoder.begun.wait, 10)
        # There is room for one of these two behind the pass that is under way; the other one is refused at once.
        more = [asyncio.create_task(embed(servicer, texts=[LONG], kind=PASSAGE)) for _ in range(2)]
        done, waiting = await asyncio.wait(more, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        (refused,), (admitted,) = done, waiting
        with pytest.raises(Overloaded) as raised:
            await refused
        assert raised.value.retry_after_seconds is not None
        encoder.gate.set()
        assert len((await first).reports) == len((await admitted).reports) == 1
    finally:
        encoder.gate.set()
        await engine.close()


async def test_vectors_through_the_service_are_those_of_the_encoder(
    servicer: EmbeddingServicer, settings: EmbedderSettings
) -> None:
    texts = ["the cat", "the river runs", "a dog sat on the mat"]
    response = await embed(servicer, texts=texts, kind=PASSAGE, priority=embedding_pb2.PRIORITY_BULK)
    encoder = TextEncoder.load(settings.model, runtime=settings.runtime, threads=1)
    np.testing.assert_array_equal(rows(response), encoder.encode(texts, TextKind.PASSAGE).vectors)
