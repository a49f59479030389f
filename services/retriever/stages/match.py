"""Matching: how much of the question a passage says, and whether it says it in the question's words and order.

BM25 adds terms up, so a passage that repeats one word may come before one that has all of them, and it does not know
which words stand together. Two shares tell, both between 0 and 1:

- coverage: the share of the question's terms that the passage has;
- phrases: the share of the question's neighbouring terms that stand in the passage in the same order, side by side or
  with one term between them.

Terms weigh by how few of the compared passages have them (the probabilistic idf of Robertson and Spärck Jones, over
these passages alone): what all of them say tells none of them apart. Terms that no passage has don't count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from corpus.analysis import SUPPORTED_LANGUAGES, analyse
from corpus.ports import StoredChunk

_NEAR = 2
"""How many places further the second term of a phrase may stand."""

Places = Mapping[str, Sequence[int]]
"""Where terms stand in a passage."""


def places_of(wanted: frozenset[str], stored: StoredChunk) -> Places:
    """Where these terms stand in a passage with its title and headings in front."""
    # Source code has a programming language here; its words are analysed as English when it is indexed as well.
    language = stored.language if stored.language in SUPPORTED_LANGUAGES else ""
    chunk = stored.chunk
    return places_in(wanted, analyse(" \n".join((stored.title, *chunk.heading_path, chunk.text)), language))


def places_in(wanted: frozenset[str], terms: Sequence[str]) -> Places:
    """Where these terms stand among those of a passage."""
    places: dict[str, list[int]] = {}
    for place, term in enumerate(terms):
        if term in wanted:
            places.setdefault(term, []).append(place)
    return places


def match(terms: Sequence[str], passages: Sequence[Places]) -> list[float]:
    """The mean of coverage and phrases for each passage, 0 to 1; of a question without phrases, coverage.

    Args:
        terms: Of the question, in order.
        passages: Those that are compared, by where the question's terms stand in them.
    """
    having = Counter(term for places in passages for term in places)
    weights = {term: _weight(count, len(passages)) for term, count in having.items()}
    # The question has some words twice, as they are and as stems; one of the two is in the index.
    asked = [term for term in terms if term in weights]
    phrases = {(one, other): weights[one] + weights[other] for one, other in pairwise(asked) if one != other}
    all_terms, all_phrases = sum(weights.values()), sum(phrases.values())
    if not all_terms:
        return [0.0] * len(passages)
    matches = []
    for places in passages:
        coverage = sum(weights[term] for term in places) / all_terms
        if phrases:
            found = sum(weight for phrase, weight in phrases.items() if _stands(phrase, places))
            coverage = (coverage + found / all_phrases) / 2
        matches.append(coverage)
    return matches


def _weight(having: int, passages: int) -> float:
    return math.log(1 + (passages - having + 0.5) / (having + 0.5))


def _stands(phrase: tuple[str, str], places: Places) -> bool:
    first, second = (places.get(term, ()) for term in phrase)
    return any(0 < later - earlier <= _NEAR for earlier in first for later in second)
