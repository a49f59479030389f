"""Picks the units an answer is made of, and puts them in reading order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.generators.extractive.cues import AnswerKind
from gateway.generators.extractive.scoring import QuestionTerms, ScoredUnit
from gateway.generators.extractive.units import UnitKind

MAX_SENTENCES: Final = 4
MAX_STEPS: Final = 8
"""Steps of one procedure that are shown together: cutting a procedure short would mislead."""
_STEPS_FIT_FROM: Final = 0.75
"""Share of the best step's score from which another one counts as part of the same answer."""
_KEEP_FROM: Final = 0.78
"""A further sentence needs this share of the best one's score: an answer is short rather than complete."""
_REDUNDANCY: Final = 0.35
"""Weight of what was said already, in the manner of maximal marginal relevance (Carbonell and Goldstein, SIGIR
1998)."""


def select(scored: Sequence[ScoredUnit], asked: QuestionTerms, kind: AnswerKind) -> list[ScoredUnit]:
    """The units to answer with, the strongest passage first and each passage in reading order; empty for no
    candidates."""
    if not scored:
        return []
    best = max(scored, key=lambda unit: unit.score)
    if kind is AnswerKind.STEPS and best.candidate.unit.kind is UnitKind.ITEM:
        steps = _list_around(best, scored)
        # One item that matches by chance does not make its whole list the answer.
        fitting = sum(step.score >= _STEPS_FIT_FROM * best.score for step in steps)
        if len(steps) > 1 and 2 * fitting > len(steps):
            return steps
    return _in_reading_order(_with_what_they_announce(_diverse(best, scored, asked), scored))


def _with_what_they_announce(chosen: Sequence[ScoredUnit], scored: Sequence[ScoredUnit]) -> list[ScoredUnit]:
    """The same units, each that ends in a colon followed by the list or table that it announces."""
    extended: list[ScoredUnit] = []
    for unit in chosen:
        extended.append(unit)
        if unit.candidate.shown.endswith(":"):
            extended.extend(_next_block(unit, scored))
    return list({id(unit): unit for unit in extended}.values())


def _next_block(unit: ScoredUnit, scored: Sequence[ScoredUnit]) -> list[ScoredUnit]:
    where = unit.candidate
    announced = [
        other
        for other in scored
        if other.candidate.block.number == where.block.number
        and other.candidate.unit.block == where.unit.block + 1
        and other.candidate.unit.kind is not UnitKind.SENTENCE
    ]
    announced.sort(key=lambda other: other.candidate.order)
    return announced[:MAX_STEPS]


def _list_around(best: ScoredUnit, scored: Sequence[ScoredUnit]) -> list[ScoredUnit]:
    where = best.candidate
    items = [
        unit
        for unit in scored
        if unit.candidate.block.number == where.block.number and unit.candidate.unit.block == where.unit.block
    ]
    items.sort(key=lambda unit: unit.candidate.order)
    if len(items) <= MAX_STEPS:
        return items
    first = max(0, min(items.index(best) - MAX_STEPS // 2, len(items) - MAX_STEPS))
    return items[first : first + MAX_STEPS]


def _diverse(best: ScoredUnit, scored: Sequence[ScoredUnit], asked: QuestionTerms) -> list[ScoredUnit]:
    chosen = [best]
    rest = [unit for unit in scored if unit is not best and unit.score >= _KEEP_FROM * best.score]
    while rest and len(chosen) < MAX_SENTENCES:
        gains = {id(unit): _gain(unit, chosen, asked) for unit in rest}
        unit = max(rest, key=lambda candidate: gains[id(candidate)])
        if gains[id(unit)] < _KEEP_FROM * best.score - _REDUNDANCY / 2:
            break
        rest.remove(unit)
        if max(_overlap(unit, other) for other in chosen) < 0.7:
            chosen.append(unit)
    return chosen


def _gain(unit: ScoredUnit, chosen: Sequence[ScoredUnit], asked: QuestionTerms) -> float:
    said = frozenset().union(*(other.terms for other in chosen))
    news = asked.covered(unit.terms - said)
    same_place = any(_neighbours(unit, other) for other in chosen)
    return (
        unit.score
        + 0.2 * news
        + (0.03 if same_place else 0.0)
        - _REDUNDANCY * max(_overlap(unit, other) for other in chosen)
    )


def _overlap(one: ScoredUnit, other: ScoredUnit) -> float:
    """Jaccard similarity of the two units' terms."""
    both = len(one.terms & other.terms)
    return both / (len(one.terms | other.terms) or 1)


def _neighbours(one: ScoredUnit, other: ScoredUnit) -> bool:
    a, b = one.candidate, other.candidate
    return a.block.number == b.block.number and abs(a.order - b.order) == 1


def _in_reading_order(chosen: Sequence[ScoredUnit]) -> list[ScoredUnit]:
    first: dict[str, float] = {}
    for unit in chosen:
        document = unit.candidate.passage.document_id
        first[document] = max(first.get(document, 0.0), unit.score)
    return sorted(
        chosen,
        key=lambda unit: (
            -first[unit.candidate.passage.document_id],
            unit.candidate.passage.document_id,
            unit.candidate.block.place.span.start + unit.candidate.unit.start,
        ),
    )
