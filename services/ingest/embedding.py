"""Passage vectors for the worker: from the cache where they are known, else in batches that span documents."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from chassis.errors import Defect, DependencyUnavailable
from corpus.domain import Generation
from corpus.ports import EmbeddingCache
from ingest.ports import Embedder

MAX_TEXTS_PER_CALL = 128
"""About 25,000 tokens of full chunks: two seconds of a laptop's embedder, well inside one call's deadline."""
CALLS_IN_FLIGHT = 2
"""One batch is computed while the next one is on its way."""


@dataclass(slots=True)
class _Wanted:
    text: str
    generation: Generation
    done: asyncio.Future[NDArray[np.float32]]
    context: Context
    """The trace it belongs to. A batch's call is a span of its first text's trace; a lone document sees its own."""


@dataclass(slots=True)
class EmbedPassages:
    """Batches passages of all documents in work into few calls. A lone document goes at once: nobody waits for a
    batch to fill."""

    embedder: Embedder
    cache: EmbeddingCache
    generation: Generation | None = None
    """The generation whose model finds topic shifts; set once it is known."""
    _queue: asyncio.Queue[_Wanted] = field(default_factory=asyncio.Queue)
    _senders: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> EmbedPassages:
        self._senders = [asyncio.create_task(self._send(), name=f"embed-{n}") for n in range(CALLS_IN_FLIGHT)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)

    async def embed(self, texts: Sequence[str], generation: Generation) -> list[NDArray[np.float32]]:
        """(d,) float32 vectors in the order of the texts. Raises what the embedder raises."""
        model = f"{generation.model_id}@{generation.model_revision}"
        hashes = [hashlib.sha256(text.encode()).digest() for text in texts]
        known = await self.cache.get_many(model, hashes)
        missing = {digest: text for digest, text in zip(hashes, texts, strict=True) if digest not in known}
        if not missing:
            return [known[digest] for digest in hashes]
        loop = asyncio.get_running_loop()
        wanted = [_Wanted(text, generation, loop.create_future(), copy_context()) for text in missing.values()]
        for item in wanted:
            self._queue.put_nowait(item)
        try:
            vectors = await asyncio.gather(*(item.done for item in wanted))
        finally:
            for item in wanted:
                item.done.cancel()
        fresh = dict(zip(missing, vectors, strict=True))
        await self.cache.put_many(model, fresh)
        return [known[digest] if digest in known else fresh[digest] for digest in hashes]

    async def topic_vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) float32 vectors for the chunker, which looks for topic shifts in long text."""
        if self.generation is None:
            raise DependencyUnavailable("The embedder has not told its model yet.", retry_after_seconds=1.0)
        return np.stack(await self.embed(texts, self.generation))

    async def _send(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MAX_TEXTS_PER_CALL and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            batch = [item for item in batch if not item.done.done()]
            if batch:
                # A task of its own is what runs in another context. How it ended is told to those who wait.
                call = asyncio.create_task(self._embed_batch(batch), context=batch[0].context)
                try:
                    await asyncio.wait({call})
                finally:
                    call.cancel()
                    await asyncio.gather(call, return_exceptions=True)

    async def _embed_batch(self, batch: Sequence[_Wanted]) -> None:
        texts = [item.text for item in batch]
        try:
            vectors = await self.embedder.embed_passages(texts, batch[0].generation.model_revision)
            if len(vectors) != len(texts):
                raise Defect("The embedder answered with another number of vectors than it was given texts.")
        except Exception as error:
            for item in batch:
                if not item.done.done():
                    item.done.set_exception(error)
        except asyncio.CancelledError:
            for item in batch:
                if not item.done.done():
                    item.done.set_exception(DependencyUnavailable("The call of the embedder was given up."))
            raise
        else:
            for item, vector in zip(batch, vectors, strict=True):
                if not item.done.done():
                    item.done.set_result(vector)
