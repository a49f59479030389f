"""Loads the configured model into this process."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from chassis.telemetry import metrics
from inference.batching import PassRecord
from inference.cross_encoder import CrossEncoder
from inference.domain import Priority
from inference.encoder import TextEncoder
from inference.engine import CrossEncoderEngine, Observer, TokenVectorEngine
from inference.late_interaction import TokenVectorCache
from reranker.adapters.cross_encoder import CrossEncoderScorer
from reranker.adapters.late_interaction import LateInteractionScorer
from reranker.domain import Method
from reranker.ports import PassageScorer
from reranker.settings import RerankerSettings


async def open_scorer(settings: RerankerSettings, stack: AsyncExitStack) -> PassageScorer:
    """Loads the model off the event loop; ``stack`` closes it.

    Raises:
        ModelNotFound, UnsupportedModel, WeightsMismatch: The model can't be served; see `TextEncoder.load`.
    """
    threads = settings.threads or None
    limits = dict.fromkeys(Priority, settings.max_queued_tokens)
    if settings.method is Method.CROSS_ENCODER:
        cross = await asyncio.to_thread(CrossEncoder.load, settings.model, runtime=settings.runtime, threads=threads)
        pairs = CrossEncoderEngine(cross, max_queued_tokens=limits, observer=_recording(cross.model_id))
        stack.push_async_callback(pairs.close)
        return CrossEncoderScorer(pairs, settings.recommended)
    encoder = await asyncio.to_thread(TextEncoder.load, settings.model, runtime=settings.runtime, threads=threads)
    engine = TokenVectorEngine(encoder, max_queued_tokens=limits, observer=_recording(encoder.info.model_id))
    stack.push_async_callback(engine.close)
    return LateInteractionScorer(engine, TokenVectorCache(settings.cache_bytes), settings.recommended)


def _recording(model_id: str) -> Observer:
    def observe(record: PassRecord) -> None:
        metrics.INFERENCE_TOKENS.add(record.tokens, model=model_id)
        metrics.INFERENCE_BATCH_TOKENS.record(record.padded_tokens, model=model_id)
        metrics.INFERENCE_DURATION.record(record.work_seconds, model=model_id)
        for seconds in record.waited_seconds:
            metrics.INFERENCE_QUEUE_WAIT.record(seconds, model=model_id)

    return observe
