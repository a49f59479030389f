"""What the lexical engines share to follow links, so that a query leads to the same rows on all of them.

A link goes from a row to every row of another document that bears a name which the first one mentions. What many
documents are named says little: a link counts by one over their number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from corpus.domain import Candidate

SEEDS: Final = 10
"""Rows whose mentions are followed. More of them brought nothing (docs/graph.md)."""
MOST_LINKED: Final = 64
"""Rows that are read to be scored."""


@dataclass(frozen=True, slots=True)
class Seed:
    """A row that may mention others. ``score``: BM25."""

    document_id: str
    score: float
    names: Sequence[str]
    mentions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Named:
    """A row that bears names."""

    chunk_id: str
    document_id: str
    chunks_version: int
    names: Sequence[str]


def mentioned(seeds: Sequence[Seed]) -> dict[str, list[tuple[str, float]]]:
    """By name the documents that mention it, each with the weight of its row; seeds come best first."""
    by_name: dict[str, list[tuple[str, float]]] = defaultdict(list)
    if not seeds or seeds[0].score <= 0.0:
        return by_name
    best = seeds[0].score
    for seed in seeds:
        for name in set(seed.mentions).difference(seed.names):
            by_name[name].append((seed.document_id, seed.score / best))
    return by_name


def linked_rows(by_name: dict[str, list[tuple[str, float]]], rows: Iterable[Named], k: int) -> list[Candidate]:
    """The k rows of the best links, ties by chunk id."""
    found = list(rows)
    bearers: dict[str, set[str]] = defaultdict(set)
    for row in found:
        for name in row.names:
            bearers[name].add(row.document_id)
    candidates = []
    for row in found:
        weights = (
            weight / len(bearers[name])
            for name in row.names
            for document_id, weight in by_name.get(name, ())
            if document_id != row.document_id
        )
        score = max(weights, default=0.0)
        if score > 0.0:
            candidates.append(Candidate(row.chunk_id, row.document_id, row.chunks_version, score))
    return sorted(candidates, key=lambda each: (-each.score, each.chunk_id))[:k]
