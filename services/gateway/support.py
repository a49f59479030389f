"""What an answer's sentences stand on: the nouns of the stage that verifies citations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class Verdict(StrEnum):
    """How far a sentence is carried by what it cites."""

    SUPPORTED = "supported"
    WEAK = "weak"
    UNSUPPORTED = "unsupported"


class SupportReason(StrEnum):
    """What spoke most against a sentence."""

    NONE = ""
    UNCITED = "uncited"
    UNKNOWN_CITATION = "unknown_citation"
    QUOTATION = "quotation"
    VALUE = "value"
    NAME = "name"
    NEGATION = "negation"
    ORDER = "order"
    WORDS = "words"


class AbstentionReason(StrEnum):
    """Why an answer is an abstention."""

    NONE = ""
    NOTHING_FOUND = "nothing_found"
    NOT_IN_PASSAGES = "not_in_passages"
    UNSUPPORTED = "unsupported"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class SentenceSupport:
    """Support of the sentence ``text[start:end]`` of an answer, in code points; its marks belong to it.

    Attributes:
        citations: Numbers of the citations it was checked against.
        score: 0 to 1.
        reason: What lowered the score most; empty where nothing did.
    """

    start: int
    end: int
    citations: tuple[int, ...]
    verdict: Verdict
    score: float
    reason: SupportReason = SupportReason.NONE


def realigned(support: Sequence[SentenceSupport], before: str, after: str) -> tuple[SentenceSupport, ...]:
    """Support of ``before`` for ``after``, which is the same text with sentences cut out; entries whose sentence is
    not whole any more are left out."""
    kept: list[SentenceSupport] = []
    position = 0
    for each in support:
        sentence = before[each.start : each.end]
        start = after.find(sentence, position)
        if sentence and start >= 0:
            position = start + len(sentence)
            kept.append(replace(each, start=start, end=position))
    return tuple(kept)
