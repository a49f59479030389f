"""HTTP bodies to protobuf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError, EncodeError
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.errors import InvalidRequest
from gateway.domain import Question
from gateway.http.models import AskBody, DocumentBody, FieldBody, SearchBody
from gateway.plan import PlanOptions, Turn
from headwater.common.v1 import common_pb2
from headwater.ingest.v1 import ingest_pb2
from headwater.retrieval.v1 import retrieval_pb2

_RERANK = {
    "auto": retrieval_pb2.RERANK_MODE_AUTO,
    "on": retrieval_pb2.RERANK_MODE_ON,
    "off": retrieval_pb2.RERANK_MODE_OFF,
}
_FUSION = {"convex": retrieval_pb2.FUSION_METHOD_CONVEX, "rrf": retrieval_pb2.FUSION_METHOD_RRF}
_EXPAND = {"none": retrieval_pb2.EXPANSION_NONE, "section": retrieval_pb2.EXPANSION_SECTION}
_MAX_UINT32 = 2**32 - 1


def search_query(body: SearchBody) -> retrieval_pb2.SearchQuery:
    """A search as the retriever takes it."""
    query = retrieval_pb2.SearchQuery(
        text=body.query,
        k=_uint32("k", body.k),
        rerank=_RERANK[body.rerank],
        fusion=_FUSION[body.fusion],
        expansion=_EXPAND[body.expand],
        explain=body.explain,
        legs=body.legs,
        min_score=body.min_score,
        max_per_document=body.max_per_document,
        vector_weight=body.vector_weight,
    )
    if body.filter is not None:
        query.filter.CopyFrom(struct(body.filter))
    return query


def question(body: AskBody) -> Question:
    """A question as the use cases take it."""
    retrieval = retrieval_pb2.SearchQuery(rerank=_RERANK[body.rerank])
    if body.k is not None:
        if body.k == 0:
            raise InvalidRequest("k must be 1 to 200.", reason="INVALID_K", metadata={"maximum": "200"})
        retrieval.k = _uint32("k", body.k)
    if body.filter is not None:
        retrieval.filter.CopyFrom(struct(body.filter))
    history = tuple(Turn(turn.question, turn.answer) for turn in body.history)
    wanted = body.plan
    options = PlanOptions(frozenset(wanted.without), wanted.apply_suggested_filters, tuple(wanted.collections))
    return Question(body.question, body.context_tokens, retrieval, history, options, reveal=body.reveal)


def draft(body: DocumentBody) -> ingest_pb2.DocumentDraft:
    """The description of a document."""
    message = ingest_pb2.DocumentDraft(
        document_id=body.document_id,
        version=body.version,
        filename=body.filename,
        media_type=body.media_type,
        title=body.title,
        doc_type=body.doc_type,
        uri=body.uri,
        metadata=struct(body.metadata),
        access=common_pb2.Access(principals=body.access.principals, security_level=body.access.security_level),
        lane=ingest_pb2.LANE_BULK if body.bulk else ingest_pb2.LANE_UNSPECIFIED,
    )
    if body.expires_at is not None:
        expires_at = Timestamp()
        expires_at.FromDatetime(body.expires_at)
        message.expires_at.CopyFrom(expires_at)
    return message


def field(body: FieldBody) -> common_pb2.FieldDeclaration:
    """A declared field."""
    return common_pb2.FieldDeclaration(
        name=body.name, type=common_pb2.FieldType.Value(f"FIELD_TYPE_{body.type.upper()}")
    )


def struct(values: Mapping[str, Any]) -> Struct:
    """JSON as protobuf. Raises InvalidRequest for what has no place there."""
    message = Struct()
    try:
        message.update(values)
        # Protobuf writes what it then refuses to read: better refused here than by the service behind.
        envelope = retrieval_pb2.SearchRequest(query=retrieval_pb2.SearchQuery(filter=message))
        retrieval_pb2.SearchRequest.FromString(envelope.SerializeToString())
    except (ValueError, TypeError, RecursionError, EncodeError, DecodeError):
        raise InvalidRequest(
            "The JSON value is nested too deeply or holds odd values.", reason="INVALID_JSON"
        ) from None
    return message


def _uint32(name: str, value: int) -> int:
    if not 0 <= value <= _MAX_UINT32:
        raise InvalidRequest(f"{name} is out of range.", reason=f"INVALID_{name.upper()}")
    return value
