"""Settings of the reranker."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chassis.rpc.serve_settings import ReplicatedSettings
from reranker.domain import Method


class RerankerSettings(ReplicatedSettings):
    """What the reranker can be told, besides what every service can.

    Attributes:
        method: ``late-interaction`` with any text encoder, or ``cross-encoder``.
        model: ``all-MiniLM-L6-v2``, a model directory, or ``org/name@<commit>`` of the Hugging Face hub.
        runtime: Engine and precision; ``auto`` chooses by the processor.
        threads: Cores used for forward passes; 0 for all that the process may use.
        recommended: Whether ``rerank: auto`` turns reranking on; ``auto`` goes by what was measured for the model.
        max_passages: Most passages of one request.
        max_queued_tokens: Tokens that may wait before more requests are refused.
        cache_bytes: Memory for token vectors of passages (late interaction), about 60 KB each with MiniLM.
    """

    service_name: ClassVar[str] = "reranker"

    method: Method = Method.LATE_INTERACTION
    model: str = "all-MiniLM-L6-v2"
    runtime: Literal["auto", "onnxruntime-fp32", "onnxruntime-int8", "openvino-fp32", "openvino-bf16", "torch"] = "auto"
    threads: int = Field(default=0, ge=0)
    recommended: Literal["auto", "on", "off"] = "auto"
    max_passages: int = Field(default=200, gt=0, le=1000)
    # About six seconds of work on two cores: what waits longer has been given up by its caller.
    max_queued_tokens: int = Field(default=60_000, gt=0)
    cache_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
