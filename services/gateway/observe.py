"""What answering a question leaves in traces and metrics. Text only where ``trace_content`` allows it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext, TraceFlags

from chassis.telemetry import metrics, names, set_content, tracer, tracing
from gateway.domain import Answer, Draft, Outcome, Question, Refusal, Retrieved, Timing
from gateway.plan import Plan
from gateway.support import Verdict

T = TypeVar("T")

_tracer = tracer("gateway")
_KINDS: Final = {"retrieve": "RETRIEVER", "generate": "LLM"}
"""OpenInference span kinds; every other stage is a CHAIN."""
_FEATURE_PREFIX: Final = "headwater.confidence."


@contextmanager
def stage_span(stage: str) -> Iterator[Span]:
    """A span for a stage that yields nothing while it runs."""
    span = start_stage(stage)
    try:
        with tracing.current(span):
            yield span
    finally:
        span.end()


def start_stage(stage: str) -> Span:
    """As ``stage_span`` for a stage that yields: end it yourself, and iterate the stage through ``within``."""
    kind = _KINDS.get(stage, "CHAIN")
    return _tracer.start_span(f"gateway.{stage}", attributes={names.STAGE: stage, names.OPENINFERENCE_SPAN_KIND: kind})


async def within(span: Span, items: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """The items, each made with ``span`` as the current one: a span must not stay current across a yield."""
    while True:
        try:
            with tracing.current(span):
                item = await anext(items)
        except StopAsyncIteration:
            return
        yield item


def stage_finished(timing: Timing) -> None:
    """Counts a stage's time."""
    metrics.GATEWAY_STAGE_DURATION.record(timing.milliseconds / 1000, stage=timing.stage)


def note_retrieval(span: Span, retrieved: Retrieved) -> None:
    """Notes what retrieval found."""
    span.set_attribute(names.HITS, len(retrieved.passages))
    if retrieved.degraded:
        span.set_attribute(names.DEGRADED, retrieved.degraded)


def note_plan(span: Span, plan: Plan) -> None:
    """Notes how a question was understood: its class and counts, no words of it."""
    span.set_attribute(names.QUESTION_CLASS, plan.question_class.value)
    span.set_attribute(names.SEARCHES, 1 + len(plan.searches))
    if plan.route is not None:
        span.set_attribute(names.ROUTE_CONFIDENCE, plan.route.confidence)
    if plan.degraded:
        span.set_attribute(names.DEGRADED, plan.degraded)


def note_refusal(span: Span, refusal: Refusal | None) -> None:
    """Notes whether a question was refused, and why."""
    if refusal is not None:
        span.set_attribute("headwater.guard.reason", refusal.reason)
        span.set_attribute("headwater.guard.score", refusal.score)


def note_steering(span: Span, sentences: int) -> None:
    """Notes how many sentences of the sources steered."""
    span.set_attribute("headwater.guard.steering_sentences", sentences)


def note_support(span: Span, draft: Draft) -> None:
    """Notes how many sentences are carried by their citations, and how far the weakest is; no words of them."""
    verdicts = [each.verdict for each in draft.support]
    for verdict in Verdict:
        span.set_attribute(f"headwater.support.{verdict.value}", verdicts.count(verdict))
    if draft.support:
        span.set_attribute("headwater.support.lowest", min(each.score for each in draft.support))


def note_generator(span: Span, name: str, draft: Draft | None) -> None:
    """Notes who wrote and what it took."""
    span.set_attribute(names.GEN_AI_OPERATION_NAME, "chat")
    span.set_attribute(names.GEN_AI_PROVIDER_NAME, (draft.generator if draft is not None else "") or name)
    if draft is not None:
        span.set_attribute(names.GEN_AI_USAGE_INPUT_TOKENS, draft.usage.prompt_tokens or draft.usage.context_tokens)
        span.set_attribute(names.GEN_AI_USAGE_OUTPUT_TOKENS, draft.usage.completion_tokens)
        span.set_attribute(names.CONFIDENCE, draft.confidence)
        for feature, value in draft.features:
            span.set_attribute(_FEATURE_PREFIX + feature, round(value, 4))


def answered(question: Question, answer: Answer, retrieved: Retrieved) -> None:
    """Describes the answer on the span of its request, and links that to the traces that made its sources
    searchable."""
    span = trace.get_current_span()
    span.set_attribute(names.ANSWER_ID, answer.answer_id)
    span.set_attribute(names.OUTCOME, answer.outcome.value)
    span.set_attribute(names.CONFIDENCE, answer.confidence)
    span.set_attribute(names.ABSTAINED, answer.outcome is Outcome.ABSTAINED)
    span.set_attribute(names.CITATIONS, len(answer.citations))
    span.set_attribute(names.GENERATION, answer.generation)
    if answer.degraded:
        span.set_attribute(names.DEGRADED, answer.degraded)
    set_content(span, names.INPUT_VALUE, question.text)
    set_content(span, names.OUTPUT_VALUE, answer.text)
    for trace_id in dict.fromkeys(passage.ingest_trace_id for passage in retrieved.passages):
        link_to_trace(span, trace_id)
    metrics.GATEWAY_ANSWERS.add(1, outcome=answer.outcome.value)
    metrics.GATEWAY_TOKENS.add(answer.usage.prompt_tokens or answer.usage.context_tokens, direction="input")
    metrics.GATEWAY_TOKENS.add(answer.usage.completion_tokens, direction="output")


def link_to_trace(span: Span, trace_id: str) -> None:
    """Links ``span`` to a trace of which only the id is known; anything that is no id is ignored."""
    try:
        number = int(trace_id, 16)
    except ValueError:
        return
    # A link names a span as well. Hits know only their trace, so the lower half stands in for its root; viewers look
    # traces up by id.
    context = SpanContext(number, number & (2**64 - 1), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    if context.is_valid:
        span.add_link(context)


def failed() -> None:
    """Counts a question that ended in an error."""
    metrics.GATEWAY_ANSWERS.add(1, outcome="failed")


def streams(change: int) -> None:
    """Counts an answer that begins or ends to be told."""
    metrics.GATEWAY_STREAMS.add(change)


def first_token(seconds: float) -> None:
    """Counts the time to an answer's first token."""
    metrics.GATEWAY_FIRST_TOKEN.record(seconds)
