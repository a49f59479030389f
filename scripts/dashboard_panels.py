"""What Grafana's dashboards show; ``make_dashboards`` puts it into Grafana's words.

``job`` is the service (the ServiceMonitors set it), ``$S`` stands for the selection at the top of each dashboard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Panel:
    """One panel: queries as (PromQL, legend); ``unit`` in Grafana's words."""

    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False


def quantiles(metric: str, by: str = "", matchers: str = "", levels: tuple[float, ...] = (0.5, 0.99)) -> Any:
    """Queries for quantiles of a histogram over the panel's rate window."""
    labels = f"{by}, le" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return tuple(
        (
            f"histogram_quantile({level}, sum by ({labels}) (rate({metric}_bucket{{$S{matchers}}}[$__rate_interval])))",
            f"{legend}p{level * 100:.0f}",
        )
        for level in levels
    )


def rate(metric: str, by: str = "", matchers: str = "") -> tuple[tuple[str, str], ...]:
    """One query: a counter's rate, summed by labels."""
    grouping = f" by ({by})" if by else ""
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",")) if by else "all"
    return ((f"sum{grouping} (rate({metric}{{$S{matchers}}}[$__rate_interval]))", legend),)


def level(metric: str, by: str, how: str = "max") -> tuple[tuple[str, str], ...]:
    """One query: a gauge by a label."""
    return ((f"{how} by ({by}) ({metric}{{$S}})", f"{{{{{by}}}}}"),)


def share(part: str, whole: str, legend: str) -> tuple[tuple[str, str], ...]:
    """One query: of one rate in another; no point where nothing happens."""
    return ((f"sum(rate({part}[$__rate_interval])) / (sum(rate({whole}[$__rate_interval])) > 0)", legend),)


def shares(metric: str, by: str, matchers: str) -> tuple[tuple[str, str], ...]:
    """One query: of what matches in all of a counter, by a label."""
    rates = (f"sum by ({by}) (rate({metric}{{$S{chosen}}}[$__rate_interval]))" for chosen in (matchers, ""))
    return ((" / ".join(rates), f"{{{{{by}}}}}"),)


def stages(metric: str, quantile: float, description: str, width: int = 12) -> Panel:
    """How long each stage of a service's work takes."""
    return Panel(
        f"Stages, p{quantile * 100:.0f}", description, quantiles(metric, "stage", levels=(quantile,)), "s", width=width
    )


REQUESTS: Final = "headwater_rpc_server_requests_total"
OURS: Final = ',job=~"gateway|retriever|reranker|embedder|ingest.*"'
SEARCH: Final = ',method="headwater.retrieval.v1.RetrievalService/Search"'
ERRORS: Final = ',code=~"UNAVAILABLE|INTERNAL|UNKNOWN|DEADLINE_EXCEEDED|DATA_LOSS"'

OVERVIEW: Final = (
    Panel(
        "Services up",
        "Replicas that answer Prometheus.",
        ((f"sum by (job) (up{{$S{OURS}}})", "{{job}}"),),
        kind="stat",
    ),
    Panel(
        "Failed calls",
        "Share of RPCs that ended in an error of ours, by service.",
        shares(REQUESTS, "job", ERRORS),
        "percentunit",
    ),
    Panel(
        "Changes not yet applied",
        "Lag of the ingest workers.",
        level("headwater_ingest_lag", "lane"),
    ),
    Panel("Calls", "RPCs answered, by service.", rate(REQUESTS, "job"), "reqps"),
    Panel(
        "Time to answer, p99",
        "From admission to answer; a stream counts until its last message.",
        quantiles("headwater_rpc_server_duration_seconds", "job", levels=(0.99,)),
        "s",
    ),
    Panel(
        "Refused",
        "Calls refused because no permit was free: the service is at its capacity.",
        rate("headwater_rpc_server_rejected_total", "job"),
        "reqps",
    ),
    Panel("Calls in work", "Permits taken.", level("headwater_rpc_server_in_flight", "job", how="sum")),
    Panel(
        "Memory",
        "Resident memory by pod.",
        (("headwater_process_memory_bytes{$S}", "{{job}} {{instance}}"),),
        "bytes",
    ),
    Panel(
        "Processor",
        "Cores used by service.",
        (("sum by (job) (rate(headwater_process_cpu_seconds{$S}[$__rate_interval]))", "{{job}}"),),
    ),
    Panel(
        "Event loop lag, p99",
        "How late timers run: everything in that process waits for it.",
        quantiles("headwater_process_event_loop_lag_seconds", "job", levels=(0.99,)),
        "s",
        width=12,
    ),
    Panel(
        "Calls between services, p99",
        "As the caller sees them, by method.",
        quantiles("headwater_rpc_client_duration_seconds", "method", levels=(0.99,)),
        "s",
        width=12,
    ),
)

INGESTION: Final = (
    Panel("Accepted", "Changes accepted, by kind.", rate("headwater_ingest_accepted_total", "kind"), "ops"),
    Panel(
        "Finished",
        "Changes that reached their terminal state.",
        rate("headwater_ingest_changes_total", "state"),
        "ops",
        stacked=True,
    ),
    Panel("Lag", "Changes not yet handled, all partitions.", level("headwater_ingest_lag", "lane")),
    Panel(
        "Accepted → searchable",
        "Waits included.",
        quantiles("headwater_ingest_latency_seconds", levels=(0.5, 0.9, 0.99)),
        "s",
        width=12,
    ),
    stages("headwater_ingest_stage_duration_seconds", 0.5, "One stage of one document, its waits included."),
    Panel("Chunks", "Chunks written.", rate("headwater_ingest_chunks_total"), "ops"),
    Panel(
        "Dead letters",
        "Changes given up, by reason; each is in the dead-letter topic.",
        rate("headwater_ingest_dead_letters_total", "reason"),
        "ops",
    ),
    stages("headwater_ingest_stage_duration_seconds", 0.99, "The slowest documents.", width=8),
    Panel(
        "Oldest change at work",
        "Since it was accepted; it grows while a dependency is down.",
        level("headwater_ingest_oldest_age_seconds", "lane"),
        "s",
        width=12,
    ),
    Panel(
        "Partitions given up",
        "Workers that come and go.",
        rate("headwater_ingest_rebalances_total", "lane"),
        "ops",
        width=12,
    ),
    Panel(
        "Differences between stores",
        "Left by the last audit in the background; docs/audit.md.",
        (("sum by (kind, store) (headwater_audit_open{$S})", "{{kind}} in {{store}}"),),
        width=24,
    ),
)

RETRIEVAL: Final = (
    Panel(
        "Searches",
        "Answered, by status.",
        rate(REQUESTS, "code", SEARCH),
        "reqps",
    ),
    Panel(
        "Time to answer",
        "Of a search, in the retriever.",
        quantiles(
            "headwater_rpc_server_duration_seconds",
            matchers=SEARCH,
            levels=(0.5, 0.9, 0.99),
        ),
        "s",
    ),
    Panel(
        "Degraded",
        "Share of searches answered without a leg or the reranker.",
        (
            (
                "sum by (leg) (rate(headwater_retrieval_degraded_total{$S}[$__rate_interval])) / ignoring(leg) "
                "group_left sum(rate(headwater_retrieval_hits_count{$S}[$__rate_interval]))",
                "{{leg}}",
            ),
        ),
        "percentunit",
    ),
    stages("headwater_retrieval_stage_duration_seconds", 0.5, "Where the time of a search goes."),
    stages("headwater_retrieval_stage_duration_seconds", 0.99, "The slowest searches."),
    Panel(
        "Failures of a leg",
        "Calls that failed, by reason.",
        rate("headwater_retrieval_leg_failures_total", "leg, reason"),
        "ops",
    ),
    Panel(
        "Dropped by the head check",
        "Candidates that are deleted, superseded, expired, denied or unknown. A few are normal; many mean that an "
        "index lags behind the heads.",
        rate("headwater_retrieval_head_rejected_total", "cause"),
        "ops",
    ),
    Panel("Hits", "Per search.", quantiles("headwater_retrieval_hits", levels=(0.1, 0.5))),
    Panel(
        "Candidates",
        "What each leg returned.",
        quantiles("headwater_retrieval_candidates", "leg", levels=(0.5,)),
        width=12,
    ),
    Panel(
        "Searches without a hit",
        "Share of searches that found nothing.",
        share('headwater_retrieval_hits_bucket{$S,le="0.0"}', "headwater_retrieval_hits_count{$S}", "nothing found"),
        "percentunit",
        width=12,
    ),
)

ANSWERS: Final = (
    Panel("Answers", "By outcome.", rate("headwater_gateway_answers_total", "outcome"), "ops", stacked=True),
    Panel(
        "First token",
        "From question to the first token of its answer.",
        quantiles("headwater_gateway_first_token_seconds", levels=(0.5, 0.99)),
        "s",
    ),
    Panel(
        "Abstained",
        "Share of questions that the documents do not answer.",
        share(
            'headwater_gateway_answers_total{$S,outcome="abstained"}',
            "headwater_gateway_answers_total{$S}",
            "abstained",
        ),
        "percentunit",
    ),
    stages("headwater_gateway_stage_duration_seconds", 0.5, "Where the time of an answer goes."),
    stages("headwater_gateway_stage_duration_seconds", 0.99, "The slowest answers."),
    Panel("Tokens", "Read and written by the generator.", rate("headwater_gateway_tokens_total", "direction"), "ops"),
    Panel(
        "Drift",
        "Stability index of the last answers against the reference: 0.1 is moderate, 0.25 large.",
        level("headwater_gateway_drift_psi", "signal"),
    ),
    Panel(
        "Rates",
        "Of the last answers: abstained, cited, empty, cached, refused.",
        level("headwater_gateway_drift_rate", "rate"),
        "percentunit",
    ),
    Panel("Streams", "Answers being streamed now.", (("sum(headwater_gateway_streams{$S})", "streams"),)),
    Panel(
        "Over their rate",
        "Requests refused by a tenant's or caller's rate limit.",
        rate("headwater_gateway_rate_limited_total"),
        "reqps",
    ),
)

ENGINES: Final = (
    Panel(
        "Breakers open",
        "Dependencies that are not called at the moment because they failed.",
        (("max by (dependency, job) (headwater_breaker_open{$S})", "{{job}} → {{dependency}}"),),
        width=12,
    ),
    Panel(
        "Cache hits",
        "Share of look-ups, by cache.",
        shares("headwater_cache_requests_total", "cache", ',outcome="hit"'),
        "percentunit",
        width=12,
    ),
    Panel(
        "Heads, by who answered",
        "The retrievers' replica, or Elasticsearch for what it does not know or may know too late.",
        rate("headwater_heads_replica_reads_total", "source"),
        "ops",
    ),
    Panel(
        "Age of the heads' replica",
        "Since it was last known to have the whole feed.",
        level("headwater_heads_replica_age_seconds", "instance"),
        "s",
    ),
    Panel("Heads in memory", "By replica.", level("headwater_heads_replica_size", "instance")),
    Panel("Tokens encoded", "Padding left out.", rate("headwater_inference_tokens_total", "job, model"), "ops"),
    Panel(
        "Wait for a batch",
        "Of a text, before it is encoded: grows when the encoders are too few.",
        quantiles("headwater_inference_queue_wait_seconds", "job"),
        "s",
    ),
    Panel("Forward pass", "Duration.", quantiles("headwater_inference_duration_seconds", "job"), "s"),
    Panel(
        "Tokens per pass",
        "Padding included.",
        quantiles("headwater_inference_batch_tokens", "job", levels=(0.5, 0.9)),
        width=12,
    ),
    Panel(
        "Store writes, p99",
        "By stage of ingestion.",
        quantiles("headwater_ingest_stage_duration_seconds", "stage", ',stage=~"write_.*"', (0.99,)),
        "s",
        width=12,
    ),
)

DASHBOARDS: Final = {
    "overview": ("Headwater / Overview", OVERVIEW),
    "ingestion": ("Headwater / Ingestion", INGESTION),
    "retrieval": ("Headwater / Retrieval", RETRIEVAL),
    "answers": ("Headwater / Answers", ANSWERS),
    "engines": ("Headwater / Engines", ENGINES),
}
