"""How sure an extracted answer is: a logistic model over a few numbers, whose coefficients are data."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

from gateway.domain import Passage
from gateway.generators.extractive.scoring import QuestionTerms, ScoredUnit
from gateway.ports import TermAnalyser

_IDENTIFIER: Final = re.compile(r"\b(?=[\w.-]*\d)[\w.-]*\w|\b[A-Z]{2,}\b|\b[a-z]+[A-Z]\w*|\b\w+_\w+")
"""Words that must be met to the letter: with a digit, all capitals, camelCase or snake_case."""


@dataclass(frozen=True, slots=True)
class ConfidenceModel:
    """Logistic regression: ``1 / (1 + exp(-(intercept + sum(weight * feature))))``.

    Attributes:
        threshold: Answers under it are abstentions.
        fitted_with: The command that made the numbers.
    """

    intercept: float
    weights: Mapping[str, float]
    threshold: float
    fitted_with: str

    @classmethod
    def shipped(cls, name: str) -> ConfidenceModel:
        """The model stored beside this module. ``name``: "with_vectors" or "lexical_only"."""
        file = resources.files(__package__).joinpath("confidence.json")
        model = json.loads(file.read_text(encoding="utf-8"))[name]
        return cls(model["intercept"], model["weights"], model["threshold"], model["fitted_with"])

    def confidence(self, features: Mapping[str, float]) -> float:
        """0 to 1. A feature without a weight does not count."""
        logit = self.intercept + sum(weight * features[name] for name, weight in self.weights.items())
        return 1.0 / (1.0 + math.exp(-max(-40.0, min(40.0, logit))))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Platt's map (Platt 1999) from how sure the model is to how often such answers are right. It keeps the order, so
    what is answered does not depend on it.

    Attributes:
        slope, intercept: Of the log-odds; the slope is positive.
        fitted_with: The command that made the numbers.
    """

    slope: float
    intercept: float
    fitted_with: str = ""

    @classmethod
    def shipped(cls) -> Calibration:
        """The map stored beside this module."""
        file = resources.files(__package__).joinpath("calibration.json")
        return cls(**json.loads(file.read_text(encoding="utf-8")))

    def apply(self, confidence: float) -> float:
        """Chance that an answer given with this confidence is right."""
        return _logistic(self.slope * _log_odds(confidence) + self.intercept)

    def undo(self, calibrated: float) -> float:
        """The confidence that is mapped to this."""
        return _logistic((_log_odds(calibrated) - self.intercept) / self.slope)


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-40.0, min(40.0, value))))


def _log_odds(chance: float) -> float:
    bounded = max(1e-9, min(1.0 - 1e-9, chance))
    return math.log(bounded / (1.0 - bounded))


def features_of(
    question: str,
    chosen: Sequence[ScoredUnit],
    scored: Sequence[ScoredUnit],
    asked: QuestionTerms,
    known: frozenset[str],
    analyse: TermAnalyser,
) -> dict[str, float]:
    """Numbers that tell an answer from a guess. ``chosen`` is not empty.

    ``similarity``: best sentence; ``coverage``: question's weight that the best sentence and its headings hold;
    ``missing``: weight of
    terms that nothing in the chosen passages holds; ``absent``: the same over all passages; ``identifiers``: share of
    numbers and names in the question that the chosen passages lack; ``passage``: cosine similarity of the best
    passage; ``margin``: lead of the best sentence over the typical one; ``form``: whether it has the form asked for.
    """
    best = max(chosen, key=lambda unit: unit.score)
    in_chosen = terms_of((unit.candidate.passage for unit in chosen), analyse)
    similarities = sorted(unit.similarity for unit in scored)
    typical = similarities[len(similarities) // 2]
    return {
        "similarity": max(unit.similarity for unit in chosen),
        "coverage": max(asked.covered(unit.terms, unit.context_terms) for unit in chosen),
        "missing": asked.missing(in_chosen),
        "absent": asked.missing(known),
        "identifiers": _missing_identifiers(question, [unit.candidate.passage for unit in chosen]),
        "passage": max(unit.candidate.passage.similarity for unit in scored),
        "margin": best.similarity - typical,
        "form": best.form,
    }


def terms_of(passages: Iterable[Passage], analyse: TermAnalyser) -> frozenset[str]:
    """Terms of the passages, their titles and headings."""
    return frozenset(
        term
        for passage in dict.fromkeys(passages)
        for term in analyse(" ".join((passage.title, *passage.place.heading_path, passage.text)))
    )


def _missing_identifiers(question: str, passages: Sequence[Passage]) -> float:
    wanted = {match.casefold() for match in _IDENTIFIER.findall(question)}
    if not wanted:
        return 0.0
    text = " ".join(f"{p.title} {' '.join(p.place.heading_path)} {p.text}" for p in passages).casefold()
    return sum(word not in text for word in wanted) / len(wanted)
