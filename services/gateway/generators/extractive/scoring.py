"""Scores every unit of the context for answering the question."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.domain import Passage
from gateway.generators.extractive.cues import AnswerKind, kind_of, offers
from gateway.generators.extractive.units import Unit, UnitKind, cells_of, readable_text, split_units
from gateway.ports import ContextBlock, TermAnalyser
from gateway.stages.guard.retrieved import steers

MAX_UNITS: Final = 60
"""Units that are embedded at most; beyond, those of the weakest passages are left out. Bounds the latency of one
question."""

_WEIGHTS: Final = {"similarity": 0.52, "coverage": 0.20, "passage": 0.25, "form": 0.03}
_WEIGHTS_WITHOUT_VECTORS: Final = {"similarity": 0.0, "coverage": 0.58, "passage": 0.30, "form": 0.12}
_HEADING_SHARE: Final = 0.6
"""A term that stands in the title or heading only counts for this much: it says what the sentence is about, not what
it says."""
_CODE_DISCOUNT: Final = 0.9
_KEY_BONUS: Final = 0.15
"""What a row gains that begins with the value asked about, such as the 5 of "exit code 5"."""
_RIVAL_LOSS: Final = 0.25
"""What a unit loses that has another value in its place, such as "exit code 7"."""
_LABELLED: Final = re.compile(r"\b(?P<label>[^\W\d_]{3,})\s+(?P<value>\d+(?:\.\d+)*)(?![\w.,]*\d)", re.IGNORECASE)
_WORDS_AND_NUMBERS: Final = re.compile(r"\d+(?:\.\d+)*|\w+")


@dataclass(frozen=True, slots=True)
class CandidateUnit:
    """A unit with where it comes from. ``text`` is the document's text to the letter, ``shown`` how it reads in an
    answer."""

    block: ContextBlock
    unit: Unit
    order: int
    text: str
    shown: str

    @property
    def passage(self) -> Passage:
        return self.block.passage

    @property
    def embedded_text(self) -> str:
        """What its vector is made of: alone, "It lives for 90 days" could be about anything."""
        topic = topic_of(self.passage)
        columns = self.unit.columns or (cells_of(topic) if "|" in topic else ())
        if self.unit.kind is UnitKind.ROW and columns:
            pairs = zip(columns, cells_of(self.text), strict=False)
            return f"{self.passage.title}: " + "; ".join(f"{column}: {cell}" for column, cell in pairs)
        return f"{topic}: {self.shown}" if topic else self.shown


@dataclass(frozen=True, slots=True)
class ScoredUnit:
    """A candidate with its score and the parts of it, each 0 to 1."""

    candidate: CandidateUnit
    score: float
    similarity: float
    coverage: float
    form: float
    terms: frozenset[str]
    context_terms: frozenset[str]


@dataclass(frozen=True, slots=True)
class QuestionTerms:
    """Terms of the question with their weights, greater for rarer ones; the weights sum to 1."""

    weights: dict[str, float]

    def covered(self, terms: frozenset[str], by_context: frozenset[str] = frozenset()) -> float:
        """Share of the question's weight that the terms hold; those of the context count partly."""
        return sum(
            weight if term in terms else _HEADING_SHARE * weight if term in by_context else 0.0
            for term, weight in self.weights.items()
        )

    def missing(self, terms: frozenset[str]) -> float:
        """Share of the question's weight that the terms don't hold."""
        return sum(weight for term, weight in self.weights.items() if term not in terms)


def topic_of(passage: Passage) -> str:
    """The innermost heading, or the title where there is none."""
    return passage.place.heading_path[-1] if passage.place.heading_path else passage.title


def candidates_of(blocks: Sequence[ContextBlock]) -> list[CandidateUnit]:
    """Units of all blocks, best block first, the same text once, at most ``MAX_UNITS``, without what tries to steer."""
    seen: set[str] = set()
    found: list[CandidateUnit] = []
    for block in blocks:
        for order, unit in enumerate(split_units(block.text)):
            text = block.text[unit.start : unit.end]
            shown = readable_text(text, unit.kind)
            if shown.casefold() in seen or len(found) >= MAX_UNITS or _is_steering(block, unit, text):
                continue
            seen.add(shown.casefold())
            found.append(CandidateUnit(block, unit, order, text, shown))
    return found


def _is_steering(block: ContextBlock, unit: Unit, text: str) -> bool:
    return steers(text) or any(span.start < unit.end and unit.start < span.end for span in block.steering)


def score_units(
    question: str,
    candidates: Sequence[CandidateUnit],
    analyse: TermAnalyser,
    vectors: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
) -> tuple[list[ScoredUnit], QuestionTerms]:
    """Scores of the candidates in their order. CPU-bound; ``vectors`` are the question's (d,) and the candidates' (n,
    d), or None."""
    terms = [frozenset(analyse(candidate.text)) for candidate in candidates]
    contexts = [frozenset(analyse(_context_text(candidate))) for candidate in candidates]
    asked = _question_terms(analyse(question), terms, contexts)
    similarities = np.clip(vectors[1] @ vectors[0], 0.0, 1.0) if vectors is not None else np.zeros(len(candidates))
    weights = _WEIGHTS if vectors is not None else _WEIGHTS_WITHOUT_VECTORS
    best = max((candidate.passage.score for candidate in candidates), default=0.0) or 1.0
    kind = kind_of(question)
    scored = [
        _score(candidate, float(similarity), own, context, asked, best, kind, question, weights)
        for candidate, similarity, own, context in zip(candidates, similarities, terms, contexts, strict=True)
    ]
    return _with_asked_value(question, scored), asked


def _with_asked_value(question: str, scored: list[ScoredUnit]) -> list[ScoredUnit]:
    """The same with other scores where the question is about one numbered thing, and a unit about another one."""
    asked = list(_LABELLED.finditer(question))
    if len(asked) != 1:
        # None, or a comparison of several.
        return scored
    label, value = asked[0]["label"].casefold(), asked[0]["value"]
    return [replace(unit, score=max(0.0, unit.score + _shift(unit.candidate, label, value))) for unit in scored]


def _shift(candidate: CandidateUnit, label: str, value: str) -> float:
    text = candidate.shown
    if candidate.unit.kind is UnitKind.ROW and text.split(maxsplit=1)[:1] == [value]:
        return _KEY_BONUS
    others = [match for match in _LABELLED.finditer(text) if match["label"].casefold() == label]
    return -_RIVAL_LOSS if others and value not in _WORDS_AND_NUMBERS.findall(text) else 0.0


def _score(
    candidate: CandidateUnit,
    similarity: float,
    terms: frozenset[str],
    context: frozenset[str],
    asked: QuestionTerms,
    best_passage: float,
    kind: AnswerKind,
    question: str,
    weights: dict[str, float],
) -> ScoredUnit:
    coverage = asked.covered(terms, context)
    form = offers(kind, candidate.shown, candidate.unit.kind, question)
    score = (
        weights["similarity"] * similarity
        + weights["coverage"] * coverage
        + weights["passage"] * candidate.passage.score / best_passage
        + weights["form"] * form
    )
    if candidate.unit.kind is UnitKind.CODE and kind is not AnswerKind.STEPS:
        score *= _CODE_DISCOUNT
    return ScoredUnit(candidate, score, similarity, coverage, form, terms, context)


def _context_text(candidate: CandidateUnit) -> str:
    passage = candidate.passage
    return " ".join((passage.title, *passage.place.heading_path, *candidate.unit.columns))


def _question_terms(
    asked: Sequence[str], terms: Sequence[frozenset[str]], contexts: Sequence[frozenset[str]]
) -> QuestionTerms:
    """Weights like the probabilistic idf over the candidates: a term that many of them hold tells them apart the
    least."""
    holders = Counter(term for own, context in zip(terms, contexts, strict=True) for term in own | context)
    raw = {term: math.log(1 + (len(terms) + 1) / (0.5 + holders[term])) for term in asked}
    total = sum(raw.values()) or 1.0
    return QuestionTerms({term: weight / total for term, weight in raw.items()})
