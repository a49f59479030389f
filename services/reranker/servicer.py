"""gRPC edge of the reranker."""

from __future__ import annotations

from typing import Any

import grpc
from opentelemetry import trace

from chassis.identity import current_caller
from chassis.telemetry import names
from headwater.rerank.v1 import rerank_pb2, rerank_pb2_grpc
from reranker.domain import Passage
from reranker.service import RankPassages

Context = grpc.aio.ServicerContext[Any, Any]


class RerankServicer(rerank_pb2_grpc.RerankServiceServicer):
    """Translates requests and replies; decides nothing."""

    def __init__(self, ranking: RankPassages) -> None:
        self._ranking = ranking

    async def Rerank(self, request: rerank_pb2.RerankRequest, context: Context) -> rerank_pb2.RerankResponse:
        """See the proto."""
        passages = [Passage(passage.chunk_id, passage.text) for passage in request.passages]
        scores = await self._ranking.score(current_caller().tenant_id, request.query, passages)
        model_id = self._ranking.info.model_id
        trace.get_current_span().set_attributes({names.RERANKER_MODEL_NAME: model_id, names.BATCH_SIZE: len(passages)})
        return rerank_pb2.RerankResponse(scores=scores.values, model_id=model_id, cache_hits=scores.cache_hits)

    async def GetRerankerInfo(
        self, request: rerank_pb2.GetRerankerInfoRequest, context: Context
    ) -> rerank_pb2.GetRerankerInfoResponse:
        """See the proto."""
        info = self._ranking.info
        return rerank_pb2.GetRerankerInfoResponse(
            model_id=info.model_id,
            model_revision=info.model_revision,
            method=str(info.method),
            recommended=info.recommendation.recommended,
            reason=info.recommendation.reason,
        )
