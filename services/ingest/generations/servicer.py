"""gRPC edge of generations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc

from chassis.errors import InvalidRequest
from chassis.identity import current_caller
from corpus.domain import Generation
from corpus.generation_plan import BesideRole
from headwater.ingest.v1 import generations_pb2, generations_pb2_grpc
from ingest.codec import to_timestamp
from ingest.generations.figures import BuildProgress, Comparison, is_sound
from ingest.generations.manage import GenerationStatus, ManageGenerations

Context = grpc.aio.ServicerContext[Any, Any]

MAX_NAME = 200
MAX_REASON = 500
"""Characters. The plan holds it, and every retriever reads the plan twice a second."""

_ROLES = {
    BesideRole.SHADOW: generations_pb2.GENERATION_ROLE_SHADOW,
    BesideRole.PREVIOUS: generations_pb2.GENERATION_ROLE_PREVIOUS,
}
_UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class GenerationServicer(generations_pb2_grpc.GenerationServiceServicer):
    """Translates requests and replies; decides nothing."""

    def __init__(self, operate: ManageGenerations) -> None:
        self._operate = operate

    async def GetGenerationStatus(
        self, request: generations_pb2.GetGenerationStatusRequest, context: Context
    ) -> generations_pb2.GetGenerationStatusResponse:
        """See the proto."""
        status = await self._operate.status(current_caller())
        return generations_pb2.GetGenerationStatusResponse(status=_status(status))

    async def CreateGeneration(
        self, request: generations_pb2.CreateGenerationRequest, context: Context
    ) -> generations_pb2.CreateGenerationResponse:
        """See the proto."""
        plan = await self._operate.create(
            current_caller(),
            chunk_target_tokens=request.chunk_target_tokens,
            second_embedder=request.second_embedder,
        )
        assert plan.beside is not None
        created = _settings(plan.beside.generation, generations_pb2.GENERATION_ROLE_SHADOW)
        return generations_pb2.CreateGenerationResponse(created=created)

    async def RecordComparison(
        self, request: generations_pb2.RecordComparisonRequest, context: Context
    ) -> generations_pb2.RecordComparisonResponse:
        """See the proto."""
        comparison = _comparison_of(request.comparison)
        if not is_sound(comparison) or len(comparison.against) > MAX_NAME:
            raise InvalidRequest(
                "Shares are between 0 and 1, times finite numbers of milliseconds, and k is at least 1.",
                reason="BAD_FIGURES",
            )
        found = await self._operate.record_comparison(current_caller(), request.name, comparison)
        return generations_pb2.RecordComparisonResponse(objections=found)

    async def PromoteGeneration(
        self, request: generations_pb2.PromoteGenerationRequest, context: Context
    ) -> generations_pb2.PromoteGenerationResponse:
        """See the proto."""
        if len(request.reason) > MAX_REASON:
            raise InvalidRequest(f"Say why in at most {MAX_REASON} characters.", reason="REASON_TOO_LONG")
        plan = await self._operate.promote(current_caller(), request.name, force=request.force, reason=request.reason)
        return generations_pb2.PromoteGenerationResponse(active=_active(plan.active))

    async def RollbackGeneration(
        self, request: generations_pb2.RollbackGenerationRequest, context: Context
    ) -> generations_pb2.RollbackGenerationResponse:
        """See the proto."""
        plan = await self._operate.roll_back(current_caller(), force=request.force)
        return generations_pb2.RollbackGenerationResponse(active=_active(plan.active))

    async def DropGeneration(
        self, request: generations_pb2.DropGenerationRequest, context: Context
    ) -> generations_pb2.DropGenerationResponse:
        """See the proto."""
        await self._operate.drop(current_caller(), request.name)
        return generations_pb2.DropGenerationResponse()


def _status(status: GenerationStatus) -> generations_pb2.GenerationStatus:
    message = generations_pb2.GenerationStatus(missing=status.missing, objections=status.objections)
    plan = status.plan
    if plan is None:
        return message
    message.active.CopyFrom(_active(plan.active))
    message.leaving.extend(plan.leaving)
    message.change = plan.reason
    if plan.changed_at is not None:
        message.changed_at.CopyFrom(to_timestamp(plan.changed_at))
    if plan.beside is not None:
        message.beside.CopyFrom(_settings(plan.beside.generation, _ROLES[plan.beside.role]))
        message.beside_since.CopyFrom(to_timestamp(plan.beside.since))
        message.required = plan.beside.required
    if status.progress is not None:
        message.build.CopyFrom(_build(status.progress))
    if status.comparison is not None:
        message.comparison.CopyFrom(_comparison(status.comparison))
    return message


def _active(generation: Generation) -> generations_pb2.GenerationSettings:
    return _settings(generation, generations_pb2.GENERATION_ROLE_ACTIVE)


def _settings(
    generation: Generation, role: generations_pb2.GenerationRole.ValueType
) -> generations_pb2.GenerationSettings:
    return generations_pb2.GenerationSettings(
        name=generation.name,
        role=role,
        model_id=generation.model_id,
        model_revision=generation.model_revision,
        dimensions=generation.dimensions,
        chunker=generation.chunker,
        analyser=generation.analyser,
    )


def _build(progress: BuildProgress) -> generations_pb2.GenerationBuild:
    message = generations_pb2.GenerationBuild(
        worker=progress.worker,
        started_at=to_timestamp(progress.started_at),
        updated_at=to_timestamp(progress.updated_at),
        documents=progress.documents,
        done=progress.done,
        failed=progress.failed,
        reason=progress.reason,
    )
    if progress.complete_at is not None:
        message.complete_at.CopyFrom(to_timestamp(progress.complete_at))
    return message


def _comparison(comparison: Comparison) -> generations_pb2.GenerationComparison:
    return generations_pb2.GenerationComparison(
        against=comparison.against,
        compared_at=to_timestamp(comparison.at),
        k=comparison.k,
        golden_queries=comparison.golden,
        live_queries=comparison.live,
        overlap=comparison.overlap,
        hit=comparison.hit,
        hit_beside=comparison.hit_beside,
        mrr=comparison.mrr,
        mrr_beside=comparison.mrr_beside,
        p95_ms=comparison.p95_ms,
        p95_beside_ms=comparison.p95_beside_ms,
    )


def _comparison_of(message: generations_pb2.GenerationComparison) -> Comparison:
    return Comparison(
        message.against,
        _UNKNOWN_TIME,
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
    )
