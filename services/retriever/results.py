"""What a search ends with: its result, its error when no leg answered, and what its span says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from opentelemetry.trace import Span, SpanContext

from chassis.errors import DependencyUnavailable, FailedPrecondition, HeadwaterError
from chassis.telemetry import names
from chassis.telemetry.metrics import RETRIEVAL_DEGRADED, RETRIEVAL_HITS
from corpus.domain import Section
from retriever.domain import Hit, Leg, SearchResult, StageTiming
from retriever.stages.ranking import Ranking

_MAX_LINKS = 10
_TRACE_ID_DIGITS = 32
_RETRY_SECONDS = 1.0


def result_of(
    ranking: Ranking, generation: str, sections: Mapping[str, Section], timings: tuple[StageTiming, ...]
) -> SearchResult:
    """The chosen candidates as hits, with their sections by chunk id where the query wants them."""
    query = ranking.understood.query
    similarities = ranking.similarities()
    hits = tuple(
        Hit(
            stored=ranking.payloads[chunk_id],
            head=ranking.heads[ranking.document_of(chunk_id)],
            score=ranking.scores[chunk_id],
            similarity=similarities.get(chunk_id, 0.0),
            explanation=ranking.explain(chunk_id) if query.explain else None,
            section=sections.get(chunk_id) if query.expand_sections else None,
        )
        for chunk_id in ranking.chosen.chosen
    )
    incomplete = ranking.understood.incomplete
    failed = {str(leg) for leg in ranking.answer.failures} | incomplete
    if Leg.LEXICAL.value in failed:
        failed.discard(Leg.GRAPH.value)  # one store, one name
    degraded: tuple[str, ...] = tuple(leg.value for leg in Leg if leg.value in failed)
    degraded += ("heads",) if "heads" in incomplete else ()
    degraded += ("rerank",) if ranking.rerank_failed else ()
    for name in degraded:
        RETRIEVAL_DEGRADED.add(leg=name)
    RETRIEVAL_HITS.record(len(hits))
    return SearchResult(hits, degraded, timings, generation, len(ranking.dropped), ranking.was_reranked)


def every_leg_failed(failures: Mapping[Leg, HeadwaterError]) -> HeadwaterError:
    """The error of a query that no leg answered."""
    mismatches = [error for error in failures.values() if isinstance(error, FailedPrecondition)]
    if len(mismatches) == len(failures):
        return mismatches[0]
    # The first leg to come back makes an answer possible.
    delay = min(error.retry_after_seconds or _RETRY_SECONDS for error in failures.values())
    return DependencyUnavailable(
        "None of the legs that were asked for can answer now: retry later.",
        reason="ALL_LEGS_DOWN",
        metadata={leg.value: error.reason for leg, error in failures.items()},
        retry_after_seconds=delay,
    )


def describe(span: Span, results: Sequence[SearchResult]) -> None:
    """What was found, and links to the traces that made it searchable."""
    span.set_attribute(names.HITS, sum(len(result.hits) for result in results))
    degraded = sorted({name for result in results for name in result.degraded})
    if degraded:
        span.set_attribute(names.DEGRADED, degraded)
    if not span.is_recording():
        return
    traces = dict.fromkeys(
        hit.head.ingest_trace_id
        for result in results
        for hit in result.hits
        if len(hit.head.ingest_trace_id) == _TRACE_ID_DIGITS
    )
    for trace_id in islice(traces, _MAX_LINKS):
        # Heads keep the trace, not the span: the lower half stands in for its root. No document ids: they are often
        # file names, and who reads traces may not know of every document.
        number = int(trace_id, 16)
        span.add_link(SpanContext(number, number & (2**64 - 1), is_remote=True))
