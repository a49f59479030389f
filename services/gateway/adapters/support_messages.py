"""Support of sentences and conflicts of sources, domain to protobuf."""

from __future__ import annotations

from gateway.conflicts import Conflict
from gateway.support import SentenceSupport, Verdict
from headwater.common.v1 import common_pb2
from headwater.gateway.v1 import gateway_pb2

_VERDICTS = {
    Verdict.SUPPORTED: gateway_pb2.SUPPORT_VERDICT_SUPPORTED,
    Verdict.WEAK: gateway_pb2.SUPPORT_VERDICT_WEAK,
    Verdict.UNSUPPORTED: gateway_pb2.SUPPORT_VERDICT_UNSUPPORTED,
}


def support_message(support: SentenceSupport) -> gateway_pb2.SentenceSupport:
    """Support of one sentence."""
    return gateway_pb2.SentenceSupport(
        span=common_pb2.TextSpan(start=support.start, end=support.end),
        citations=support.citations,
        verdict=_VERDICTS[support.verdict],
        score=support.score,
        reason=support.reason,
    )


def conflict_message(conflict: Conflict) -> gateway_pb2.SourceConflict:
    """Two citations that disagree."""
    citation, other = conflict.citations
    return gateway_pb2.SourceConflict(citation=citation, other_citation=other, kind=conflict.kind)
