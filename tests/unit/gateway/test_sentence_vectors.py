# ruff: noqa: N802 - gRPC names its methods
"""Sentence vectors from the embedder, over a real channel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.gateway.edges import PeerSettings
from tests.unit.gateway.fakes import ALICE

from chassis.errors import DependencyUnavailable
from chassis.lifecycle import Lifecycle
from chassis.rpc.client import open_channel
from chassis.rpc.server import GrpcServer
from chassis.tokens import InternalTokenVerifier, create_keys, jwks_file
from gateway.adapters.embedder import GrpcSentenceEmbedder
from gateway.settings import GatewaySettings
from headwater.embedding.v1 import embedding_pb2, embedding_pb2_grpc

MEMORY = 1024 * 1024


class LengthEmbedder(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Its vectors tell the length of a text and the model that made them. ``passages`` are the texts it was sent."""

    def __init__(self) -> None:
        self.model = 1.0
        self.passages: list[str] = []
        self.dimensions = 2

    async def Embed(self, request: embedding_pb2.EmbedRequest, context: Any) -> embedding_pb2.EmbedResponse:
        if request.kind == embedding_pb2.TEXT_KIND_PASSAGE:
            self.passages.extend(request.texts)
        rows = np.array([[len(text), self.model] for text in request.texts], "<f4")
        return embedding_pb2.EmbedResponse(
            vectors=rows.tobytes(), dimensions=self.dimensions, model_revision=str(self.model)
        )

    async def GetModelInfo(
        self, request: embedding_pb2.GetModelInfoRequest, context: Any
    ) -> embedding_pb2.GetModelInfoResponse:
        return embedding_pb2.GetModelInfoResponse(model_revision=str(self.model))


@asynccontextmanager
async def embedder(folder: Path, cache_bytes: int) -> AsyncIterator[tuple[LengthEmbedder, GrpcSentenceEmbedder]]:
    create_keys(folder / "keys", ["gateway"])
    settings = PeerSettings(data_dir=folder / "peer", trace_files=False)
    verifier = InternalTokenVerifier(jwks_file(folder / "keys"), {"gateway"})
    async with GrpcServer(settings, Lifecycle(settings), verifier) as server:
        peer = LengthEmbedder()
        embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(peer, server.grpc)
        await server.start()
        own = GatewaySettings(data_dir=folder, trace_files=False)
        async with open_channel(f"127.0.0.1:{server.port}", settings=own) as channel:
            yield peer, GrpcSentenceEmbedder(channel, timeout_seconds=5.0, cache_bytes=cache_bytes)


async def test_vectors_come_in_the_order_of_the_sentences(tmp_path: Path) -> None:
    async with embedder(tmp_path, MEMORY) as (_, sentences):
        question, rows = await sentences.embed("why?", ["aaa", "b", "aaa"], ALICE)
        words = await sentences.embed_words(["xy"], ALICE)

    assert question.tolist() == [4, 1]
    assert rows[:, 0].tolist() == [3, 1, 3]
    assert words.tolist() == [[2, 1]]


async def test_a_sentence_is_embedded_once(tmp_path: Path) -> None:
    async with embedder(tmp_path, MEMORY) as (peer, sentences):
        await sentences.embed("why?", ["a", "bb"], ALICE)
        _, rows = await sentences.embed("why not?", ["bb", "ccc", "a"], ALICE)

    assert peer.passages == ["a", "bb", "ccc"]
    assert rows[:, 0].tolist() == [2, 3, 1]


async def test_tenants_share_no_memory(tmp_path: Path) -> None:
    async with embedder(tmp_path, MEMORY) as (peer, sentences):
        await sentences.embed("why?", ["a"], ALICE)
        await sentences.embed("why?", ["a"], replace(ALICE, tenant_id="other"))

    assert peer.passages == ["a", "a"]


async def test_another_model_forgets_what_the_old_one_made(tmp_path: Path) -> None:
    async with embedder(tmp_path, MEMORY) as (peer, sentences):
        await sentences.embed("why?", ["a", "bb"], ALICE)
        peer.model = 2.0
        _, rows = await sentences.embed("why?", ["a", "bb", "ccc"], ALICE)
        _, again = await sentences.embed("why?", ["a"], ALICE)

    assert rows[:, 1].tolist() == [2, 2, 2]
    assert again[:, 1].tolist() == [2]


async def test_without_memory_nothing_is_remembered(tmp_path: Path) -> None:
    async with embedder(tmp_path, 0) as (peer, sentences):
        for _ in range(2):
            await sentences.embed("why?", ["a"], ALICE)

    assert peer.passages == ["a", "a"]


async def test_a_reply_of_the_wrong_size_is_an_outage(tmp_path: Path) -> None:
    async with embedder(tmp_path, MEMORY) as (peer, sentences):
        peer.dimensions = 3
        with pytest.raises(DependencyUnavailable):
            await sentences.embed("why?", ["a"], ALICE)
