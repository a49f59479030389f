"""Every metric the services emit. Dashboards and alerts are checked against this module.

Waiting is split from working throughout: ``…wait`` is time in a queue, ``…duration`` includes it only where the
description says so.
"""

from typing import Final

from chassis.telemetry.instruments import SIZES, Counter, Gauge, Histogram, ObservedGauge, UpDownCounter

# ── RPC, every service ──────────────────────────────────────────────────────────────────────────────────────────────
RPC_SERVER_REQUESTS: Final = Counter(
    "headwater.rpc.server.requests",
    unit="{request}",
    description="RPCs answered, by method and canonical status code.",
    labels=("method", "code"),
)
RPC_SERVER_DURATION: Final = Histogram(
    "headwater.rpc.server.duration",
    unit="s",
    description="Time from admission to answer, without the wait for a permit; a stream counts until its last message.",
    labels=("method",),
)
RPC_SERVER_IN_FLIGHT: Final = ObservedGauge(
    "headwater.rpc.server.in_flight", unit="{request}", description="RPCs that hold a permit now."
)
RPC_SERVER_ADMISSION_WAIT: Final = Histogram(
    "headwater.rpc.server.admission.wait", unit="s", description="Wait for a permit of the RPCs that had to wait."
)
RPC_SERVER_REJECTED: Final = Counter(
    "headwater.rpc.server.rejected", unit="{request}", description="RPCs refused because no permit was free."
)
RPC_CLIENT_DURATION: Final = Histogram(
    "headwater.rpc.client.duration",
    unit="s",
    description="Time a call to another service took here, by method and canonical status code.",
    labels=("method", "code"),
)

# ── Process ─────────────────────────────────────────────────────────────────────────────────────────────────────────
PROCESS_MEMORY: Final = ObservedGauge("headwater.process.memory", unit="By", description="Resident memory.")
PROCESS_CPU: Final = ObservedGauge(
    "headwater.process.cpu", unit="s", description="CPU time since start, user and system."
)
EVENT_LOOP_LAG: Final = Histogram(
    "headwater.process.event_loop.lag",
    unit="s",
    description="How late the event loop runs a timer: what keeps it busy keeps every RPC waiting.",
)

# ── Dependencies ────────────────────────────────────────────────────────────────────────────────────────────────────
BREAKER_OPEN: Final = Gauge(
    "headwater.breaker.open", unit="1", description="1 while the breaker refuses calls.", labels=("dependency",)
)
CACHE_REQUESTS: Final = Counter(
    "headwater.cache.requests",
    unit="{request}",
    description="Cache lookups and failed writes by cache and outcome: hit, miss, error, skipped after errors.",
    labels=("cache", "outcome"),
)

# ── Ingest ──────────────────────────────────────────────────────────────────────────────────────────────────────────
INGEST_ACCEPTED: Final = Counter(
    "headwater.ingest.accepted", unit="{change}", description="Changes accepted by the API.", labels=("kind",)
)
INGEST_CHANGES: Final = Counter(
    "headwater.ingest.changes",
    unit="{change}",
    description="Changes that reached their terminal state: applied, superseded, duplicate, dead_lettered, discarded.",
    labels=("kind", "state"),
)
INGEST_STAGE_DURATION: Final = Histogram(
    "headwater.ingest.stage.duration",
    unit="s",
    description="One stage of one document, its waits included: fetch, parse, chunk, embed, analyse, write_….",
    labels=("stage",),
)
INGEST_LATENCY: Final = Histogram(
    "headwater.ingest.latency", unit="s", description="From acceptance to head commit, waits included."
)
INGEST_LAG: Final = Gauge(
    "headwater.ingest.lag",
    unit="{event}",
    description="Events not yet handled, all partitions, by lane: live, bulk, sources.",
    labels=("lane",),
)
INGEST_OLDEST_AGE: Final = Gauge(
    "headwater.ingest.oldest.age",
    unit="s",
    description="Since the oldest event that this worker has taken and not handled was appended; 0 when there is none.",
    labels=("lane",),
)
INGEST_REBALANCES: Final = Counter(
    "headwater.ingest.rebalances",
    unit="{rebalance}",
    description="Times that this worker had to give up partitions, which it may have again soon after.",
    labels=("lane",),
)
INGEST_CHUNKS: Final = Counter(
    "headwater.ingest.chunks",
    unit="{chunk}",
    description="Chunks written.",
)
INGEST_SOURCE_CHANGES: Final = Counter(
    "headwater.ingest.source.changes",
    unit="{change}",
    description="Changes of sources by what became of their records: put, deleted, repeated.",
    labels=("source", "outcome"),
)
INGEST_DEAD_LETTERS: Final = Counter(
    "headwater.ingest.dead_letters", unit="{event}", description="Events given up, by reason.", labels=("reason",)
)
INGEST_DEAD_LETTERS_OPEN: Final = Gauge(
    "headwater.ingest.dead_letters.open", unit="{event}", description="Dead letters that nobody has decided on."
)
INGEST_REGISTERED: Final = Counter(
    "headwater.ingest.registered",
    unit="{event}",
    description="Documents refused without being parsed, because they were known to be bad, by reason.",
    labels=("reason",),
)
INGEST_HALTED: Final = Gauge(
    "headwater.ingest.halted",
    unit="1",
    description="1 while the worker takes no documents because it refuses those that it should be able to read (part "
    "changes), or no records of sources because it refuses so many (part sources).",
    labels=("part",),
)
AUDIT_DIFFERENCES: Final = Counter(
    "headwater.audit.differences",
    unit="{difference}",
    description="Confirmed differences: missing, stale, orphan, duplicate, access_mismatch, unreferenced.",
    labels=("kind", "store"),
)
AUDIT_OPEN: Final = Gauge(
    "headwater.audit.open",
    unit="{difference}",
    description="Differences that the reconciler's last pass left, by kind and store, all tenants.",
    labels=("kind", "store"),
)
AUDIT_UNSETTLED: Final = Gauge(
    "headwater.audit.unsettled",
    unit="{document}",
    description="Documents that kept changing during the reconciler's last pass, so that nothing is said of them.",
)
AUDIT_FINISHED: Final = Gauge(
    "headwater.audit.finished",
    unit="s",
    description="When the reconciler's last pass over all tenants ended, seconds since 1970.",
)
INGEST_EXPIRED: Final = Counter(
    "headwater.ingest.expired",
    unit="{document}",
    description="Documents deleted because their time was over, and tombstones forgotten because of their age.",
    labels=("outcome",),
)
INGEST_HOLDS: Final = Counter(
    "headwater.ingest.holds",
    unit="{document}",
    description="Documents that were held back from everything that is served, and released.",
    labels=("action", "by"),
)
INGEST_REVIEWS: Final = Counter(
    "headwater.ingest.reviews",
    unit="{item}",
    description="Documents that a rule put into the review queue.",
    labels=("reason", "action"),
)
INGEST_REVIEW_DECISIONS: Final = Counter(
    "headwater.ingest.review.decisions",
    unit="{item}",
    description="What reviewers decided.",
    labels=("reason", "decision"),
)
INGEST_GENERATION_GAPS: Final = Counter(
    "headwater.ingest.generation.gaps",
    unit="{change}",
    description="Changes that could not be written to the generation beside the active one. The next pass fills them.",
    labels=("reason",),
)
INGEST_GENERATION_MISSING: Final = Gauge(
    "headwater.ingest.generation.missing",
    unit="{document}",
    description="Documents that the generation beside the active one lacked after the last pass of this worker.",
)

# ── Embedder and reranker ───────────────────────────────────────────────────────────────────────────────────────────
INFERENCE_TOKENS: Final = Counter(
    "headwater.inference.tokens", unit="{token}", description="Tokens encoded, padding left out.", labels=("model",)
)
INFERENCE_BATCH_TOKENS: Final = Histogram(
    "headwater.inference.batch.tokens",
    unit="{token}",
    description="Tokens per forward pass, padding included.",
    labels=("model",),
    buckets=SIZES,
)
INFERENCE_QUEUE_WAIT: Final = Histogram(
    "headwater.inference.queue.wait", unit="s", description="Wait of a text for its batch.", labels=("model",)
)
INFERENCE_DURATION: Final = Histogram(
    "headwater.inference.duration", unit="s", description="One forward pass.", labels=("model",)
)

# ── Retriever ───────────────────────────────────────────────────────────────────────────────────────────────────────
RETRIEVAL_STAGE_DURATION: Final = Histogram(
    "headwater.retrieval.stage.duration",
    unit="s",
    description="One stage of a search: embed, vector, lexical, fuse, heads, rerank, select, expand.",
    labels=("stage",),
)
RETRIEVAL_DEGRADED: Final = Counter(
    "headwater.retrieval.degraded",
    unit="{search}",
    description="Searches answered without a leg or the reranker.",
    labels=("leg",),
)
RETRIEVAL_LEG_FAILURES: Final = Counter(
    "headwater.retrieval.leg.failures",
    unit="{call}",
    description="Calls to a leg that failed, the embedding of the question included, by reason.",
    labels=("leg", "reason"),
)
RETRIEVAL_CANDIDATES: Final = Histogram(
    "headwater.retrieval.candidates",
    unit="{candidate}",
    description="Candidates a leg returned for one query.",
    labels=("leg",),
    buckets=(0, 1, 5, 10, 20, 50, 100, 200, 500, 1000),
)
RETRIEVAL_HEAD_REJECTED: Final = Counter(
    "headwater.retrieval.head.rejected",
    unit="{candidate}",
    description="Candidates dropped by the head check: deleted, superseded, expired, denied, unknown.",
    labels=("cause",),
)
RETRIEVAL_OVERTAKEN: Final = Counter(
    "headwater.retrieval.overtaken",
    unit="{search}",
    description="Searches that an edit overtook, by outcome: found or missed the new version when made once more, "
    "out_of_time for that.",
    labels=("outcome",),
)
HEADS_REPLICA_READS: Final = Counter(
    "headwater.heads.replica.reads",
    unit="{head}",
    description="Heads read, by who answered: replica, authority (unknown to the replica, or about to be replaced),"
    " authority_stale (the feed was not confirmed in time).",
    labels=("source",),
)
HEADS_REPLICA_AGE: Final = ObservedGauge(
    "headwater.heads.replica.age", unit="s", description="Since the replica was last known to have the whole feed."
)
HEADS_REPLICA_SIZE: Final = ObservedGauge(
    "headwater.heads.replica.size", unit="{head}", description="Heads in the replica's memory."
)
RETRIEVAL_SHADOW_OVERLAP: Final = Histogram(
    "headwater.retrieval.shadow.overlap",
    unit="1",
    description="Share of a sampled search's documents that the shadow generation finds as well.",
    buckets=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
)
RETRIEVAL_SHADOW_DURATION: Final = Histogram(
    "headwater.retrieval.shadow.duration",
    unit="s",
    description="Sampled searches on the active generation, and once more on the shadow.",
    labels=("generation",),
)
RETRIEVAL_SHADOW_FAILURES: Final = Counter(
    "headwater.retrieval.shadow.failures",
    unit="{search}",
    description="Sampled searches that failed on the shadow.",
    labels=("reason",),
)
RETRIEVAL_HITS: Final = Histogram(
    "headwater.retrieval.hits", unit="{hit}", description="Hits per search.", buckets=(0, 1, 2, 5, 10, 20, 50, 100)
)

# ── Gateway ─────────────────────────────────────────────────────────────────────────────────────────────────────────
GATEWAY_STAGE_DURATION: Final = Histogram(
    "headwater.gateway.stage.duration", unit="s", description="One stage of answering a question.", labels=("stage",)
)
GATEWAY_FIRST_TOKEN: Final = Histogram(
    "headwater.gateway.first_token", unit="s", description="From question to the first token of its answer."
)
GATEWAY_ANSWERS: Final = Counter(
    "headwater.gateway.answers",
    unit="{answer}",
    description="Answers by outcome: answered, abstained, fallback, failed.",
    labels=("outcome",),
)
GATEWAY_TOKENS: Final = Counter(
    "headwater.gateway.tokens", unit="{token}", description="Tokens of the generator.", labels=("direction",)
)
GATEWAY_COMPLETIONS: Final = Counter(
    "headwater.gateway.completions",
    unit="{completion}",
    description="Answers by endpoint (first, second) and outcome: begun, failed before a word, cut off after one.",
    labels=("endpoint", "outcome"),
)
GATEWAY_FEEDBACK: Final = Counter(
    "headwater.gateway.feedback",
    unit="{opinion}",
    description="Opinions of readers by rating (good, bad) and reason; a change of mind counts again.",
    labels=("rating", "reason"),
)
GATEWAY_CACHE: Final = Counter(
    "headwater.gateway.cache.answers",
    unit="{lookup}",
    description="Lookups of answers by cache (exact, similar) and outcome: hit, miss, error, skipped for what is "
    "never kept; and entries dropped as rejected (a source or right changed), expired or corrupt.",
    labels=("cache", "outcome"),
)
GATEWAY_CACHE_SAVED: Final = Counter(
    "headwater.gateway.cache.saved_tokens",
    unit="{token}",
    description="Tokens that answers from the cache took when they were written.",
    labels=("direction",),
)
GATEWAY_CACHE_SAVED_COST: Final = Counter(
    "headwater.gateway.cache.saved_cost",
    unit="{currency}",
    description="Price of the tokens that answers from the cache took when they were written.",
    labels=("tenant", "currency"),
)
GATEWAY_DRIFT: Final = Gauge(
    "headwater.gateway.drift.psi",
    unit="1",
    description="Population stability index of the last answers against the reference, by signal.",
    labels=("signal",),
)
GATEWAY_DRIFT_RATE: Final = Gauge(
    "headwater.gateway.drift.rate",
    unit="1",
    description="Share of the last answers that were abstained, cited, empty, cached or refused.",
    labels=("rate",),
)
GATEWAY_RATE_LIMITED: Final = Counter(
    "headwater.gateway.rate_limited",
    unit="{request}",
    description="Requests over a rate limit of their user, tenant or client address.",
    labels=("limit",),
)
GATEWAY_BUDGET_REFUSED: Final = Counter(
    "headwater.gateway.budget_refused",
    unit="{call}",
    description="Calls of a language model over their tenant's token budget, daily or in flight.",
    labels=("limit",),
)
GATEWAY_COST: Final = Counter(
    "headwater.gateway.cost",
    unit="{currency}",
    description="Cost of questions with a known price; tenants beyond the configured number are 'other'.",
    labels=("tenant", "stage", "currency"),
)
GATEWAY_COST_UNPRICED: Final = Counter(
    "headwater.gateway.cost_unpriced",
    unit="{question}",
    description="Questions with a stage whose price is not known.",
    labels=("stage",),
)
GATEWAY_STREAMS: Final = UpDownCounter(
    "headwater.gateway.streams", unit="{stream}", description="Answers being streamed now."
)
