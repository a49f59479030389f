"""What is asked of the reranker, what it answers, and which models were measured to help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chassis.errors import InvalidRequest


class Method(StrEnum):
    """How a passage is scored."""

    LATE_INTERACTION = "late-interaction"
    """Token vectors of query and passage, made apart and compared: passages' vectors are kept between queries."""
    CROSS_ENCODER = "cross-encoder"
    """Query and passage read together: better, and paid for with every pair."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage to score. The same ``chunk_id`` always means the same text."""

    chunk_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores in the order of the passages.

    Attributes:
        values: Between 0 and 1, comparable within one answer only.
        cache_hits: Passages whose token vectors were already known.
    """

    values: tuple[float, ...]
    cache_hits: int = 0


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Whether ``rerank: auto`` turns reranking on, and why."""

    recommended: bool
    reason: str


@dataclass(frozen=True, slots=True)
class RerankerInfo:
    """What is loaded.

    Attributes:
        model_id: Name of the model.
        model_revision: First 12 hexadecimal digits of the sha256 of its weights.
        method: How it scores.
        recommendation: Whether it is worth its time.
    """

    model_id: str
    model_revision: str
    method: Method
    recommendation: Recommendation


_MEASURED: Final = {
    "all-minilm-l6-v2": Recommendation(False, "late interaction over MiniLM: +.002 nDCG@10, not significant"),
    "bge-small-en-v1.5": Recommendation(True, "late interaction over bge-small: +.009 nDCG@10"),
}
"""Late interaction after fusion on five sets (SciFact, Cranfield, code, HotpotQA, XQuAD), means over the sets,
by the last part of the model's id."""
_CROSS_ENCODER: Final = Recommendation(True, "cross-encoders are trained to rank and read query and passage together")
_UNKNOWN: Final = Recommendation(False, "late interaction was not measured over this model: set recommended")


def recommend(method: Method, model_id: str, setting: str) -> Recommendation:
    """What to answer callers who leave the choice to the reranker.

    Args:
        method: How the model scores.
        model_id: Its name.
        setting: ``on`` and ``off`` overrule what was measured, ``auto`` goes by it.
    """
    if setting != "auto":
        return Recommendation(setting == "on", "set by the operator")
    if method is Method.CROSS_ENCODER:
        return _CROSS_ENCODER
    return _MEASURED.get(model_id.rpartition("/")[2].lower(), _UNKNOWN)


def check(query: str, passages: Sequence[Passage], *, max_passages: int) -> None:
    """Refuses what can't be scored. Raises InvalidRequest."""
    if not query.strip():
        raise InvalidRequest("There is no query to rank by.", reason="EMPTY_QUERY")
    if len(passages) > max_passages:
        raise InvalidRequest(
            f"A request holds at most {max_passages} passages: send the best ones.",
            reason="TOO_MANY_PASSAGES",
            metadata={"limit": str(max_passages), "passages": str(len(passages))},
        )
    if any(not passage.chunk_id for passage in passages):
        raise InvalidRequest("Every passage needs its chunk id.", reason="CHUNK_ID_MISSING")
