"""Settings of the embedder."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chassis.rpc.serve_settings import ReplicatedSettings


class EmbedderSettings(ReplicatedSettings):
    """What the embedder can be told, besides what every service can.

    Attributes:
        model: ``all-MiniLM-L6-v2``, a model directory, or ``org/name@<commit>`` of the Hugging Face hub.
        runtime: Engine and precision; ``auto`` chooses by the processor.
        threads: Cores used for forward passes; 0 for all that the process may use.
        max_texts: Most texts of one request.
        max_queued_interactive_tokens: Tokens of queries that may wait before more are refused.
        max_queued_bulk_tokens: The same for bulk work.
    """

    service_name: ClassVar[str] = "embedder"

    model: str = "all-MiniLM-L6-v2"
    runtime: Literal["auto", "onnxruntime-fp32", "onnxruntime-int8", "openvino-fp32", "openvino-bf16", "torch"] = "auto"
    threads: int = Field(default=0, ge=0)
    max_texts: int = Field(default=1024, gt=0, le=4096)
    # About three and fifty seconds of work on two cores: what waits longer has been given up by its caller.
    max_queued_interactive_tokens: int = Field(default=30_000, gt=0)
    max_queued_bulk_tokens: int = Field(default=500_000, gt=0)
