"""The embedder behind one of its edges, "plain" or "ray", in a process of its own.

Its engine is the real one, and does what a text that names a fault says.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from chassis.lifecycle import run
from chassis.settings import load_settings
from embedder.adapters.local_engine import open_local_engine
from embedder.main import serve
from embedder.settings import EmbedderSettings
from inference.domain import Embeddings, ModelInfo, Priority, TextKind
from inference.engine import EmbeddingEngine

SECRET = "minutes of the board"
FAIL = f"fail: {SECRET}"
WAIT = "wait"
DIE = "die of this one"


class FaultyEngine:
    """The engine, unless a text asks for something else."""

    def __init__(self, engine: EmbeddingEngine) -> None:
        self._engine = engine

    @property
    def info(self) -> ModelInfo:
        return self._engine.info

    @property
    def works(self) -> bool:
        return self._engine.works

    async def close(self) -> None:
        await self._engine.close()

    async def embed(self, texts: Sequence[str], kind: TextKind, priority: Priority) -> Embeddings:
        if FAIL in texts:
            try:
                raise ValueError(f"could not read {texts[0]!r}")
            except ValueError as error:
                raise RuntimeError(f"broke on {SECRET}") from error
        if DIE in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        if WAIT in texts:
            await asyncio.sleep(300)
        return await self._engine.embed(texts, kind, priority)


async def open_faulty_engine(settings: EmbedderSettings) -> FaultyEngine:
    return FaultyEngine(await open_local_engine(settings))


def main() -> int:
    edge = sys.argv.pop(1)
    settings = load_settings(EmbedderSettings)
    if edge == "plain":
        return run(lambda lifecycle: serve(lifecycle, settings, open_faulty_engine), settings)
    # This module by its name: in this process it is called __main__, which replicas can't import.
    from tests.contract import embedding_edge_process as importable

    from chassis.rpc import serve as ray_serve
    from embedder import serve_app

    application = serve_app.application(settings, importable.open_faulty_engine)
    ray_serve.run(application, settings, serve_app.ADD_TO_PROXY)
    return 0


if __name__ == "__main__":
    sys.exit(main())
