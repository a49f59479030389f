"""Passages to scores, by the reranker service."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chassis.clock import Clock
from chassis.errors import DependencyUnavailable, HeadwaterError
from chassis.rpc.client import call
from chassis.telemetry import logger
from headwater.rerank.v1 import rerank_pb2, rerank_pb2_grpc
from retriever.ports import Passage

_INFO_SECONDS = 30.0
"""How long a recommendation is remembered: it changes only when the reranker restarts with another model."""

_INFO_RETRY_SECONDS = 5.0
_INFO_TIMEOUT_SECONDS = 0.2
"""Short: a search waits for this, once in a while."""

_log = logger("retriever.reranker")


class GrpcReranker:
    """Implements ``Reranker`` over gRPC."""

    def __init__(self, stub: rerank_pb2_grpc.RerankServiceAsyncStub, timeout_seconds: float, clock: Clock) -> None:
        self._stub = stub
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._recommended = False
        self._ask_again_at = -math.inf

    async def score(self, text: str, passages: Sequence[Passage]) -> Sequence[float]:
        """See ``Reranker``."""
        response = await call(
            self._stub.Rerank,
            rerank_pb2.RerankRequest(
                query=text,
                passages=[rerank_pb2.Passage(chunk_id=each.chunk_id, text=each.text) for each in passages],
            ),
            timeout_seconds=self._timeout_seconds,
        )
        scores = list(response.scores)
        if len(scores) != len(passages) or not all(map(math.isfinite, scores)):
            raise DependencyUnavailable(
                "The reranker answered with unusable scores.", reason="BAD_SCORES", retry_after_seconds=1.0
            )
        return scores

    async def recommended(self) -> bool:
        """See ``Reranker``. One search in a while asks; the others meanwhile take what was last known."""
        now = self._clock.monotonic()
        if now < self._ask_again_at:
            return self._recommended
        self._ask_again_at = now + _INFO_RETRY_SECONDS
        try:
            info = await call(
                self._stub.GetRerankerInfo,
                rerank_pb2.GetRerankerInfoRequest(),
                timeout_seconds=min(_INFO_TIMEOUT_SECONDS, self._timeout_seconds),
            )
        except HeadwaterError as error:
            _log.warning("the reranker's recommendation can't be read", reason=error.reason)
            return self._recommended
        self._recommended = info.recommended
        self._ask_again_at = now + _INFO_SECONDS
        return self._recommended
