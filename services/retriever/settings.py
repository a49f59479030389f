"""Settings of the retriever."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from corpus.replica import MAX_HEADS, STALENESS_SECONDS
from corpus.settings import StoreSettings


class RetrieverSettings(StoreSettings):
    """What the retriever can be told, besides what every service can.

    Attributes:
        embedder_target: Where questions are embedded, ``host:port``.
        shadow_embedder_target: Where questions are embedded for a generation that is made with another model; empty for
            none.
        reranker_target: Where passages are reranked, ``host:port``; empty for no reranker.
        shadow_share: Share of searches that are made once more on a shadow, if there is one, to compare them
            (docs/generations.md); one at a time.
        leg_candidates: How many candidates a leg returns at least. Min-max fusion gains from longer lists: 200
            instead of 100 adds .003 to .005 nDCG@10 on two sets of four and takes nothing from the others; 0.3 ms.
        deepest_candidates: How many it returns at most, when many of the first were dropped.
        embed_seconds, vector_seconds, lexical_seconds, graph_seconds, heads_seconds, chunks_seconds, rerank_seconds:
            Deadline of each stage: a hundred times what it takes on an idle machine, for one that is busy must not
            count as down.
        vector_weight: Share of the vector leg in the fused score.
        graph: Whether searches follow links, from what the best passages mention to documents of that name
            (docs/graph.md), where they do not say which legs they want.
        graph_weight: Weight of the graph leg, where the others have 1 together.
        vector_weight_by_type: The same by document type.
        freshness_weight, default_half_life_days, half_life_days_by_type, structure_weight: See ``stages.adjust``.
        rerank_depth: How many candidates are reranked.
        rerank_weight: Share of the reranker in the final score.
        max_per_document: Hits of one document at most, where the query does not say.
        heads_staleness_seconds: How old the cluster profile's replica of the heads may be; then the authority is asked.
        heads_in_memory: How many heads that replica keeps; about 400 bytes each.
        query_cache_bytes: Memory for vectors of recent questions; 0 turns the cache off.
        query_cache_seconds: How long such a vector is kept.
    """

    service_name: ClassVar[str] = "retriever"

    embedder_target: str = "127.0.0.1:50051"
    shadow_embedder_target: str = ""
    reranker_target: str = ""

    shadow_share: float = Field(default=0.02, ge=0, le=1)

    leg_candidates: int = Field(default=200, ge=50, le=1_000)
    deepest_candidates: int = Field(default=1_000, ge=200, le=10_000)
    embed_seconds: float = Field(default=2.0, gt=0)
    vector_seconds: float = Field(default=2.0, gt=0)
    lexical_seconds: float = Field(default=2.0, gt=0)
    graph_seconds: float = Field(default=2.0, gt=0)
    heads_seconds: float = Field(default=3.0, gt=0)
    chunks_seconds: float = Field(default=3.0, gt=0)
    rerank_seconds: float = Field(default=2.0, gt=0)

    vector_weight: float = Field(default=0.5, ge=0, le=1)
    graph: bool = True
    graph_weight: float = Field(default=0.2, ge=0, le=1)
    vector_weight_by_type: dict[str, float] = Field(default_factory=dict)
    freshness_weight: float = Field(default=0.0, ge=0, le=1)
    default_half_life_days: float = Field(default=365.0, gt=0)
    half_life_days_by_type: dict[str, float] = Field(default_factory=dict)
    structure_weight: float = Field(default=0.0, ge=0, le=1)

    rerank_depth: int = Field(default=30, ge=20, le=50)
    rerank_weight: float = Field(default=0.3, ge=0, le=1)
    max_per_document: int = Field(default=20, ge=1)

    heads_staleness_seconds: float = Field(default=STALENESS_SECONDS, gt=0, le=60)
    heads_in_memory: int = Field(default=MAX_HEADS, gt=0)
    query_cache_bytes: int = Field(default=16 * 1024 * 1024, ge=0)
    query_cache_seconds: float = Field(default=600.0, gt=0)
