"""The engine in this process."""

from __future__ import annotations

import asyncio

from chassis.telemetry import metrics
from embedder.settings import EmbedderSettings
from inference.batching import PassRecord
from inference.domain import Priority
from inference.encoder import TextEncoder
from inference.engine import EmbeddingEngine, Observer


async def open_local_engine(settings: EmbedderSettings) -> EmbeddingEngine:
    """Loads the model off the event loop (1–3 s the first time, under 1 s afterwards). Close it when done.

    Raises:
        ModelNotFound, UnsupportedModel, WeightsMismatch: The model can't be served; see `TextEncoder.load`.
    """
    encoder = await asyncio.to_thread(
        TextEncoder.load, settings.model, runtime=settings.runtime, threads=settings.threads or None
    )
    limits = {
        Priority.INTERACTIVE: settings.max_queued_interactive_tokens,
        Priority.BULK: settings.max_queued_bulk_tokens,
    }
    return EmbeddingEngine(encoder, max_queued_tokens=limits, observer=recording(encoder.info.model_id))


def recording(model_id: str) -> Observer:
    """Turns passes into metrics."""

    def observe(record: PassRecord) -> None:
        metrics.INFERENCE_TOKENS.add(record.tokens, model=model_id)
        metrics.INFERENCE_BATCH_TOKENS.record(record.padded_tokens, model=model_id)
        metrics.INFERENCE_DURATION.record(record.work_seconds, model=model_id)
        for seconds in record.waited_seconds:
            metrics.INFERENCE_QUEUE_WAIT.record(seconds, model=model_id)

    return observe
