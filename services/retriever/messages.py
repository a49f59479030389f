"""Protobuf messages to the domain and back. Only what is shown is built: k hits, and explanations where asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value

from chassis.errors import InvalidRequest
from headwater.common.v1 import common_pb2
from headwater.retrieval.v1 import retrieval_pb2
from retriever.domain import (
    CitationKey,
    Explanation,
    FusionMethod,
    Hit,
    Query,
    RerankMode,
    ResolvedCitation,
    SearchResult,
)

_RERANK = {
    retrieval_pb2.RERANK_MODE_UNSPECIFIED: RerankMode.AUTO,
    retrieval_pb2.RERANK_MODE_AUTO: RerankMode.AUTO,
    retrieval_pb2.RERANK_MODE_ON: RerankMode.ON,
    retrieval_pb2.RERANK_MODE_OFF: RerankMode.OFF,
}
_FUSION = {
    retrieval_pb2.FUSION_METHOD_UNSPECIFIED: FusionMethod.CONVEX,
    retrieval_pb2.FUSION_METHOD_CONVEX: FusionMethod.CONVEX,
    retrieval_pb2.FUSION_METHOD_RRF: FusionMethod.RRF,
}


def query_of(message: retrieval_pb2.SearchQuery) -> Query:
    """The query as it came. Raises InvalidRequest UNKNOWN_ENUM_VALUE for a mode this service does not know."""
    if message.rerank not in _RERANK or message.fusion not in _FUSION:
        raise InvalidRequest("The query has a mode that this service does not know.", reason="UNKNOWN_ENUM_VALUE")
    return Query(
        text=message.text,
        k=message.k,
        filter=_plain_struct(message.filter) if message.HasField("filter") else None,
        rerank=_RERANK[message.rerank],
        fusion=_FUSION[message.fusion],
        expand_sections=message.expansion == retrieval_pb2.EXPANSION_SECTION,
        explain=message.explain,
        legs=tuple(message.legs),
        min_score=message.min_score,
        max_per_document=message.max_per_document,
        vector_weight=message.vector_weight if message.HasField("vector_weight") else None,
        generation=message.generation,
        freshness_weight=message.freshness_weight,
    )


def result_message(result: SearchResult, *, show_dropped: bool) -> retrieval_pb2.SearchResult:
    """The result for the wire.

    How many candidates the head check dropped is for callers who may know of every document: index rows outlive a
    deletion and a revocation for a while, and the count would tell a reader whether they hold the words he tries.
    """
    return retrieval_pb2.SearchResult(
        hits=[_hit_message(hit) for hit in result.hits],
        degraded=result.degraded,
        timings=[
            common_pb2.StageTiming(stage=timing.stage, milliseconds=timing.milliseconds) for timing in result.timings
        ],
        generation=result.generation,
        dropped_by_head_check=result.dropped_by_head_check if show_dropped else 0,
        reranked=result.reranked,
    )


def citation_key_of(message: retrieval_pb2.CitationKey) -> CitationKey:
    """The citation's key."""
    return CitationKey(message.document_id, message.chunks_version, message.chunk_id)


def citation_message(citation: ResolvedCitation) -> retrieval_pb2.ResolvedCitation:
    """The citation for the wire: without its passage, nothing but the key it was asked by."""
    key = retrieval_pb2.CitationKey(
        document_id=citation.key.document_id,
        chunks_version=citation.key.chunks_version,
        chunk_id=citation.key.chunk_id,
    )
    stored = citation.stored
    if stored is None:
        return retrieval_pb2.ResolvedCitation(key=key)
    chunk = stored.chunk
    return retrieval_pb2.ResolvedCitation(
        key=key,
        readable=True,
        text=chunk.text,
        title=stored.title,
        location=_location(chunk.heading_path, chunk.page, chunk.start, chunk.end),
    )


def _hit_message(hit: Hit) -> retrieval_pb2.Hit:
    stored, chunk, head = hit.stored, hit.stored.chunk, hit.head
    message = retrieval_pb2.Hit(
        chunk_id=chunk.chunk_id,
        document_id=chunk.key.document_id,
        chunks_version=chunk.chunks_version,
        score=hit.score,
        text=chunk.text,
        title=stored.title,
        doc_type=stored.doc_type,
        uri=stored.uri,
        location=_location(chunk.heading_path, chunk.page, chunk.start, chunk.end),
        ingest_trace_id=head.ingest_trace_id,
        document_version=head.version,
        similarity=hit.similarity,
    )
    message.updated_at.FromDatetime(stored.updated_at)
    if stored.metadata:
        _fill_struct(message.metadata, stored.metadata)
    section = hit.section
    if section is not None:
        message.section.text = section.text
        message.section.location.CopyFrom(_location(section.heading_path, section.page, section.start, section.end))
    if hit.explanation is not None:
        message.explanation.CopyFrom(_explanation_message(hit.explanation))
    return message


def _explanation_message(explanation: Explanation) -> retrieval_pb2.Explanation:
    return retrieval_pb2.Explanation(
        legs=[
            retrieval_pb2.LegScore(
                leg=leg.leg.value, rank=leg.rank, raw=leg.raw, normalised=leg.normalised, weight=leg.weight
            )
            for leg in explanation.legs
        ],
        fused=explanation.fused,
        freshness=explanation.freshness,
        structure=explanation.structure,
        adjusted=explanation.adjusted,
        rerank=explanation.rerank,
        final=explanation.final,
        match=explanation.match,
        feedback=explanation.feedback,
    )


def _location(heading_path: tuple[str, ...], page: int, start: int, end: int) -> common_pb2.Location:
    return common_pb2.Location(heading_path=heading_path, page=page, span=common_pb2.TextSpan(start=start, end=end))


def _fill_struct(struct: Struct, values: Mapping[str, object]) -> None:
    # Struct.update goes through several layers per value; metadata is flat, and this runs for every hit.
    for name, value in values.items():
        _set_value(struct.fields[name], value)


def _set_value(target: Value, value: object) -> None:
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, datetime):
        target.string_value = value.isoformat()
    elif isinstance(value, list | tuple):
        target.list_value.SetInParent()
        for element in value:
            _set_value(target.list_value.values.add(), element)
    else:
        target.null_value = NULL_VALUE


def _plain_struct(struct: Struct) -> dict[str, object]:
    return {name: _plain_value(value) for name, value in struct.fields.items()}


def _plain_value(value: Value) -> object:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _plain_struct(value.struct_value)
    if kind == "list_value":
        return [_plain_value(element) for element in value.list_value.values]
    if kind is None or kind == "null_value":
        return None
    plain: object = getattr(value, kind)
    return plain
