"""Generations: a set of indexes is built beside the active one, compared, promoted, rolled back and dropped (admin
scope)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from headwater.ingest.v1 import generations_pb2, generations_pb2_grpc

COUNTING_SECONDS: Final = 120.0
"""What is missing is counted over all heads."""
CHANGING_SECONDS: Final = 3_600.0
"""Of a promotion, a roll back or a drop, which must not stop half-way through the count."""

_Call = Callable[[Any, Any, float], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """What a generation is made with. ``role``: active, shadow or previous."""

    name: str
    role: str
    model_id: str
    model_revision: str
    dimensions: int
    chunker: str
    analyser: str


@dataclass(frozen=True, slots=True)
class GenerationBuild:
    """How far a generation is built. ``complete_at``: when a whole pass last found nothing missing."""

    worker: str
    started_at: datetime
    updated_at: datetime
    documents: int
    done: int
    failed: int
    reason: str
    complete_at: datetime | None


@dataclass(frozen=True, slots=True)
class GenerationComparison:
    """The same queries on the active generation, and on the one ``beside``. ``golden_queries`` have known answers; of
    ``live_queries`` only the answers of both sides were compared."""

    against: str
    k: int
    golden_queries: int
    live_queries: int
    overlap: float
    hit: float
    hit_beside: float
    mrr: float
    mrr_beside: float
    p95_ms: float
    p95_beside_ms: float
    compared_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GenerationStatus:
    """Where generations stand. ``missing``: live documents that are not complete in the one beside the active one.
    ``objections``: what speaks against a promotion. ``leaving``: dropped ones whose rows are being removed. ``change``:
    the last promotion, rollback or drop."""

    active: GenerationSettings | None
    beside: GenerationSettings | None
    beside_since: datetime | None
    required: bool
    build: GenerationBuild | None
    missing: int
    comparison: GenerationComparison | None
    objections: Sequence[str]
    leaving: Sequence[str]
    changed_at: datetime | None
    change: str


class Generations:
    """Calls of an ``AsyncClient``."""

    def __init__(self, opened: grpc.aio.Channel, read: _Call, write: _Call) -> None:
        self._stub: generations_pb2_grpc.GenerationServiceAsyncStub = generations_pb2_grpc.GenerationServiceStub(opened)
        self._read = read
        self._write = write

    async def status(self) -> GenerationStatus:
        """Counts what is missing now, which takes a pass over all heads."""
        request = generations_pb2.GetGenerationStatusRequest()
        reply = await self._read(self._stub.GetGenerationStatus, request, COUNTING_SECONDS)
        return _status(reply.status)

    async def create(self, *, chunk_target_tokens: int = 0, second_embedder: bool = False) -> GenerationSettings:
        """Begins to build a shadow: with chunks of this size (0: as now), with the model of the second embedder.
        Raises PreconditionError with a reason that says why it can't."""
        request = generations_pb2.CreateGenerationRequest(
            chunk_target_tokens=chunk_target_tokens, second_embedder=second_embedder
        )
        reply = await self._write(self._stub.CreateGeneration, request, COUNTING_SECONDS)
        return _settings(reply.created)

    async def record_comparison(self, name: str, comparison: GenerationComparison) -> Sequence[str]:
        """Keeps the figures, and returns what speaks against a promotion."""
        message = generations_pb2.GenerationComparison(
            against=comparison.against,
            k=comparison.k,
            golden_queries=comparison.golden_queries,
            live_queries=comparison.live_queries,
            overlap=comparison.overlap,
            hit=comparison.hit,
            hit_beside=comparison.hit_beside,
            mrr=comparison.mrr,
            mrr_beside=comparison.mrr_beside,
            p95_ms=comparison.p95_ms,
            p95_beside_ms=comparison.p95_beside_ms,
        )
        request = generations_pb2.RecordComparisonRequest(name=name, comparison=message)
        reply = await self._write(self._stub.RecordComparison, request, COUNTING_SECONDS)
        return list(reply.objections)

    async def promote(self, name: str, *, force: bool = False, reason: str = "") -> GenerationSettings:
        """Makes the shadow what is searched. Raises PreconditionError VERDICT_FAILED (unless forced, with a reason),
        GENERATION_INCOMPLETE."""
        request = generations_pb2.PromoteGenerationRequest(name=name, force=force, reason=reason)
        reply = await self._write(self._stub.PromoteGeneration, request, CHANGING_SECONDS)
        return _settings(reply.active)

    async def roll_back(self, *, force: bool = False) -> GenerationSettings:
        """Makes the previous generation what is searched, at once. Raises PreconditionError NOT_BESIDE,
        GENERATION_INCOMPLETE (unless forced)."""
        request = generations_pb2.RollbackGenerationRequest(force=force)
        reply = await self._write(self._stub.RollbackGeneration, request, CHANGING_SECONDS)
        return _settings(reply.active)

    async def drop(self, name: str) -> None:
        """Keeps the generation beside the active one no longer. Raises PreconditionError."""
        request = generations_pb2.DropGenerationRequest(name=name)
        await self._write(self._stub.DropGeneration, request, CHANGING_SECONDS)


def _status(message: generations_pb2.GenerationStatus) -> GenerationStatus:
    return GenerationStatus(
        active=_settings(message.active) if message.HasField("active") else None,
        beside=_settings(message.beside) if message.HasField("beside") else None,
        beside_since=_time(message.beside_since) if message.HasField("beside_since") else None,
        required=message.required,
        build=_build(message.build) if message.HasField("build") else None,
        missing=message.missing,
        comparison=_comparison(message.comparison) if message.HasField("comparison") else None,
        objections=list(message.objections),
        leaving=list(message.leaving),
        changed_at=_time(message.changed_at) if message.HasField("changed_at") else None,
        change=message.change,
    )


def _settings(message: generations_pb2.GenerationSettings) -> GenerationSettings:
    role = generations_pb2.GenerationRole.Name(message.role).removeprefix("GENERATION_ROLE_").lower()
    return GenerationSettings(
        message.name,
        role,
        message.model_id,
        message.model_revision,
        message.dimensions,
        message.chunker,
        message.analyser,
    )


def _build(message: generations_pb2.GenerationBuild) -> GenerationBuild:
    return GenerationBuild(
        message.worker,
        _time(message.started_at),
        _time(message.updated_at),
        message.documents,
        message.done,
        message.failed,
        message.reason,
        _time(message.complete_at) if message.HasField("complete_at") else None,
    )


def _comparison(message: generations_pb2.GenerationComparison) -> GenerationComparison:
    return GenerationComparison(
        message.against,
        message.k,
        message.golden_queries,
        message.live_queries,
        message.overlap,
        message.hit,
        message.hit_beside,
        message.mrr,
        message.mrr_beside,
        message.p95_ms,
        message.p95_beside_ms,
        _time(message.compared_at),
    )


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
