"""Nouns of the record of an answer: what each stage was given and made, in ids, numbers and digests.

No text of a question or a document stands here. Digests are SHA-256 over the answer's id and the text, so that equal
texts of two answers can't be told from their records.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from gateway.plan import PlanOptions

FORMAT: Final = 1
"""Of records that are written now; raised when a field changes its meaning. A newer one is not read."""


class TextPolicy(StrEnum):
    """What the answer log keeps of a question and its answer besides the record."""

    FULL = "full"
    HASHES = "hashes"
    """Neither words of the question nor of the answer or its sources."""


@dataclass(frozen=True, slots=True)
class LegScore:
    """What one leg of retrieval said of a passage; ``rank`` is 0 where it did not find it."""

    leg: str
    rank: int
    raw: float
    normalised: float
    weight: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Every part of a passage's score, as retrieval explains it; ``rerank`` is None where it was not reranked."""

    legs: tuple[LegScore, ...]
    fused: float
    freshness: float
    structure: float
    adjusted: float
    rerank: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that retrieval returned.

    Attributes:
        document_version: Of the head that allowed it.
        text: Digest.
        scores: None where retrieval was not asked to explain.
    """

    document_id: str
    chunks_version: int
    chunk_id: str
    document_version: int
    score: float
    similarity: float
    text: str
    ingest_trace_id: str = ""
    scores: Scores | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """What the generator read under a number; ``text`` is the digest of it without what steers."""

    number: int
    document_id: str
    chunk_id: str
    start: int
    end: int
    tokens: int
    text: str


@dataclass(frozen=True, slots=True)
class Judged:
    """The support of one sentence."""

    verdict: str
    score: float


@dataclass(frozen=True, slots=True)
class Output:
    """An answer, or a draft of one: its outcome, the digest of its text, and what it cites, in order."""

    outcome: str
    text: str
    citations: tuple[str, ...] = ()
    confidence: float = 0.0
    support: tuple[Judged, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """What an answer was made of.

    Attributes:
        asked_at: What the stages took for now.
        text: What the log kept besides.
        recipe: Digest of code, prompts and settings that shape answers.
        settings: Those settings that are not their defaults, by name; texts as digests.
        question: Digest of the question as it was sent.
        turns: Earlier turns that were sent with it; they are not kept.
        wishes: How the caller wanted it searched for, in the form of the retrieval adapter, in Base64; empty for none,
            and where it must not be kept.
        wished: Digest of the same, empty for none.
        access: Digest of whose access it was answered with.
        plan: Digest of each part of the plan, by name; empty where it was not understood.
        degraded: What retrieval did without.
        cached: Whether it was served again, without a search.
        prompt: Digest of all that the generator was given; empty where none was asked.
        draft: What the generator made of it, before it was verified.
    """

    asked_at: datetime
    text: TextPolicy
    recipe: str
    settings: tuple[tuple[str, str], ...]
    question: str
    turns: int
    context_tokens: int
    options: PlanOptions
    wishes: str
    wished: str
    access: str
    refusal: str
    plan: tuple[tuple[str, str], ...]
    cached: bool
    generation: str
    degraded: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    blocks: tuple[Block, ...]
    prompt: str
    generator: str
    draft: Output | None
    output: Output
    format: int = FORMAT
