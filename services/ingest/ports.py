"""What ingestion needs from outside, besides the ports of the corpus and the chassis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from chassis.eventlog.port import Record
from corpus.domain import Announcement, CalledOff, DocumentKey, Generation, Head, Hold
from ingest.domain import DocumentChange, Lane
from ingest.parsing.model import ParsedDocument


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The embedder's model, as far as ingestion cares."""

    model_id: str
    revision: str
    dimensions: int
    max_tokens: int


class Embedder(Protocol):
    """Text to vectors."""

    async def model_info(self) -> ModelInfo:
        """The loaded model. Raises DependencyUnavailable."""
        ...

    async def embed_passages(self, texts: Sequence[str], expected_revision: str) -> NDArray[np.float32]:
        """(n, d) float32, L2-normalised, in the order of the texts. Has no effect, so it may be repeated. Raises
        DependencyUnavailable, Overloaded, DeadlineExceeded, FailedPrecondition MODEL_MISMATCH."""
        ...


class Parser(Protocol):
    """Bytes to text and sections, in a sandbox."""

    async def parse(self, data: bytes, filename: str, media_type: str) -> ParsedDocument:
        """Has no effect, so it may be repeated. Raises DocumentRejected when the document itself is bad, within a
        bounded time whatever the bytes are."""
        ...


class ChangeLog(Protocol):
    """Where accepted changes wait for the workers."""

    async def append(self, change: DocumentChange, lane: Lane = Lane.LIVE) -> None:
        """Returns once the change is durable. May leave it twice after an unknown outcome. Changes of one document
        keep their order within a lane, not between lanes. Raises DependencyUnavailable, Overloaded."""
        ...

    async def forward(self, record: Record, lane: Lane) -> None:
        """Appends a record of a lane to another one: key, value and headers byte for byte, whatever they hold. Durable,
        repeated and raised as ``append``."""
        ...

    async def lag(self) -> Mapping[Lane, int]:
        """Changes of all tenants that no worker has finished, by lane."""
        ...


class HeadFeed(Protocol):
    """Tells readers' replicas of heads that change. Every method is idempotent and returns once replicas are sure to be
    told; each raises DependencyUnavailable, Overloaded, DeadlineExceeded. All but ``announce`` come after the write
    that they tell of."""

    async def announce(self, announcement: Announcement) -> None:
        """The document's head is about to be replaced: before the write."""
        ...

    async def call_off(self, announcement: CalledOff) -> None:
        """Nothing that was announced so will be written any more."""
        ...

    async def publish(self, head: Head) -> None:
        """The document has this head."""
        ...

    async def announce_hold(self, hold: Hold, before: Hold | None) -> None:
        """The document's hold is about to be replaced; ``before``: what it was. Before the write."""
        ...

    async def keep_hold(self, hold: Hold) -> None:
        """The document has this hold: ends what was announced of it, and is kept for a rebuild."""
        ...

    async def forget_hold(self, key: DocumentKey) -> None:
        """The document's hold is no longer kept."""
        ...

    async def forget(self, key: DocumentKey) -> None:
        """The document's head is no longer kept."""
        ...

    async def forget_tenant(self, tenant_id: str) -> None:
        """None of the tenant's heads is kept any longer."""
        ...


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """An event that can't be applied, with its coordinates in the log."""

    topic: str
    partition: int
    offset: int
    value: bytes
    reason: str
    attempts: int
    change: DocumentChange | None
    trace_id: str
    message: str = ""
    key: bytes = b""
    headers: Mapping[str, bytes] = field(default_factory=dict)
    has_value: bool = True
    """False for a record without a value, whose ``value`` is empty."""
    first_reason: str = ""
    """Of the first attempt that failed; empty when that is ``reason``."""
    first_failed_at: datetime | None = None
    content_key: str = ""
    """What its content is registered under as known bad."""
    registered: bool = False
    """It was refused because of that, and not parsed."""


class DeadLetters(Protocol):
    """Keeps events that can't be applied, for people to look at and replay."""

    async def record(self, event: FailedEvent) -> None:
        """Durable on return. Idempotent per record of the log, except that the topic may hold a second copy of a letter
        after a crash. Raises DependencyUnavailable."""
        ...


class GenerationSource(Protocol):
    """The generation that is written to."""

    def current(self) -> Generation:
        """Raises DependencyUnavailable until the embedder's model is known."""
        ...
