"""What Ray Serve costs: batch calls of the embedder through Serve's proxy against its plain gRPC server, in turns.

    uv run --group ray python -m bench.ray_serve [--texts N] [--callers N] [--seconds S] [--rounds N] [--threads N]

Both edges run side by side with one engine of the same size, and only one is asked at a time. Prints one JSON object:
tokens per second of each side and round, and the median over rounds of their ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import grpc
from tests.servers.encoders import CALLER, Edge, running

from bench import machine
from bench.embed import read_texts
from chassis.rpc.client import call
from headwater.embedding.v1 import embedding_pb2, embedding_pb2_grpc

KINDS = ("plain", "ray")
CALL_SECONDS = 120.0


async def ask_for_the_model(channel: grpc.aio.Channel) -> object:
    """The call that says that an edge is up."""
    stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
    request = embedding_pb2.GetModelInfoRequest()
    return await call(stub.GetModelInfo, request, timeout_seconds=10, as_caller=CALLER)


async def tokens_per_second(edge: Edge, texts: list[str], callers: int, seconds: float) -> float:
    """Throughput of ``callers`` that each send ``texts`` again and again for ``seconds``."""
    request = embedding_pb2.EmbedRequest(
        texts=texts, kind=embedding_pb2.TEXT_KIND_PASSAGE, priority=embedding_pb2.PRIORITY_BULK
    )
    async with edge.channel() as channel:
        stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        await call(stub.Embed, request, timeout_seconds=CALL_SECONDS, as_caller=CALLER)
        started = time.perf_counter()

        async def keep_asking() -> int:
            tokens = 0
            while time.perf_counter() - started < seconds:
                response = await call(stub.Embed, request, timeout_seconds=CALL_SECONDS, as_caller=CALLER)
                tokens += sum(report.tokens for report in response.reports)
            return tokens

        tokens = sum(await asyncio.gather(*(keep_asking() for _ in range(callers))))
        return tokens / (time.perf_counter() - started)


def main() -> None:
    """Starts both edges, measures in turns, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=64, help="texts per call")
    parser.add_argument("--callers", type=int, default=4, help="calls under way at once")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of each engine; 0 for all cores")
    arguments = parser.parse_args()
    texts = read_texts(None, arguments.texts)
    settings = {"HEADWATER_EMBEDDER_THREADS": str(arguments.threads)}
    commands = {"plain": ["-m", "embedder"], "ray": ["-m", "embedder.serve_app"]}
    with ExitStack() as stack:
        edges = {}
        for kind in KINDS:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headwater-bench-")))
            own = settings | {"HEADWATER_MODEL_CACHE": str(directory / "models")}
            edges[kind] = stack.enter_context(running(kind, directory, commands[kind], own, ask_for_the_model))
        rounds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(arguments.rounds):
            for kind in KINDS:
                speed = asyncio.run(tokens_per_second(edges[kind], texts, arguments.callers, arguments.seconds))
                rounds[kind].append(round(speed, 1))
    ratios = [ray / plain for plain, ray in zip(rounds["plain"], rounds["ray"], strict=True)]
    print(
        json.dumps(
            {
                "plain_tokens_per_second": rounds["plain"],
                "ray_tokens_per_second": rounds["ray"],
                "ray_to_plain": round(median(ratios), 3),
                "texts_per_call": arguments.texts,
                "callers": arguments.callers,
                "machine": machine.describe(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
