"""What the lexical engines share to follow links, so that a query leads to the same rows on all of them.

A link goes from a row to every row of another document that bears a name which the first one mentions. What many
documents are named says little: a link counts by one over their number, and above eight of them not at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from corpus.domain import Candidate
from corpus.index_ports import MayBeShown

SEEDS: Final = 10
"""Rows whose mentions are followed. More of them brought nothing (docs/graph.md)."""
SEED_ROWS: Final = 2 * SEEDS
"""Rows that are read for them: some are of versions that gave way to newer ones, and must not be followed."""
MOST_LINKED: Final = 64
"""Rows that are read to be scored."""
MOST_BEARERS: Final = 8
"""Documents that a name may have and still say something: above, it is a "Summary"."""

_ROUNDS: Final = 3
"""Times that rows are read, each without the common names that filled the one before."""


@dataclass(frozen=True, slots=True)
class Seed:
    """A row that may mention others. ``score``: BM25."""

    document_id: str
    chunks_version: int
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


Bearing = Callable[[Mapping[int, Collection[str]]], Awaitable[Mapping[int, Sequence[Named]]]]
"""By place of a query, the ``MOST_LINKED`` rows that have most to do with it among those that bear one of the names."""


async def follow(
    seeds: Sequence[Sequence[Seed]], bearing: Bearing, shown: MayBeShown, k: int
) -> list[Sequence[Candidate]]:
    """Per query the k rows that its seeds, best first, lead to. What may not be shown is left out before anything is
    weighed or counted, on both ends."""
    allowed = await shown({(seed.document_id, seed.chunks_version) for each in seeds for seed in each})
    by_name = [
        mentioned([seed for seed in each if (seed.document_id, seed.chunks_version) in allowed][:SEEDS])
        for each in seeds
    ]
    rows: list[Sequence[Named]] = [()] * len(seeds)
    asked: dict[int, Collection[str]] = {place: set(names) for place, names in enumerate(by_name) if names}
    for _ in range(_ROUNDS):
        if not asked:
            break
        found = await bearing(asked)
        allowed = await shown({(row.document_id, row.chunks_version) for each in found.values() for row in each})
        asked = {}
        for place, each in found.items():
            rows[place] = [row for row in each if (row.document_id, row.chunks_version) in allowed]
            common = _common(by_name[place], rows[place])
            for name in common:
                del by_name[place][name]
            if common and by_name[place] and len(each) >= MOST_LINKED:
                asked[place] = set(by_name[place])
    return [linked_rows(names, of, k) for names, of in zip(by_name, rows, strict=True)]


def _common(names: Collection[str], rows: Iterable[Named]) -> list[str]:
    bearers = _bearers(rows)
    return [name for name in names if len(bearers.get(name, ())) > MOST_BEARERS]


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
    bearers = _bearers(found)
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


def _bearers(rows: Iterable[Named]) -> dict[str, set[str]]:
    bearers: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for name in row.names:
            bearers[name].add(row.document_id)
    return bearers
