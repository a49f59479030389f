"""Fits passages into the token budget: all passages first, then their sections; without what has nothing to do with
the question, where that is wanted and the budget asks for it.

Only sentences and lists are pruned, each list, table and piece of code as a whole, and never what stands beside
something that shares a term with the question: it may go on about the same in other words. Pruning marks spans of a
block, so citations are checked against the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from gateway.domain import Passage, Place, Span
from gateway.generators.extractive.units import UnitKind, split_units
from gateway.ports import ContextBlock, TermAnalyser, TokenCounter


@dataclass(frozen=True, slots=True)
class _Piece:
    span: Span
    kind: UnitKind


class Pruning:
    """Fits passages of one question into a budget of tokens.

    Args:
        question: As it is asked of the generator.
        analyse: Finds the terms of question and text; None leaves passages and sections whole.
    """

    def __init__(self, question: str, counter: TokenCounter, analyse: TermAnalyser | None) -> None:
        self._counter = counter
        self._analyse = analyse
        self._asked = frozenset(analyse(question)) if analyse is not None else frozenset()

    def fit(self, passages: Sequence[Passage], tokens: int, blocks: int, *, sections: bool) -> tuple[ContextBlock, ...]:
        """Blocks numbered from 1, by rank, of ``tokens`` at most, unless the first passage is a single piece that is
        larger.

        1. Every passage is taken with what touches the question, by rank, while there is room: the last are dropped.
        2. By rank, what was left out of a passage comes back where there is room; 3. then its section, whole or with
        what touches the question.
        """
        chosen: list[ContextBlock] = []
        left = tokens
        for passage in passages:
            if len(chosen) >= blocks:
                break
            if any(holds(block, passage) for block in chosen):
                continue
            block = self.pruned(passage, passage.text, passage.place)
            if block.tokens <= left:
                chosen.append(block)
                left -= block.tokens
        if not chosen and passages:
            return (replace(self.pruned(passages[0], passages[0].text, passages[0].place), number=1),)
        for rank in range(len(chosen)):
            whole = self._whole(chosen[rank].passage, chosen[rank].text, chosen[rank].place)
            if whole.tokens - chosen[rank].tokens <= left:
                left -= whole.tokens - chosen[rank].tokens
                chosen[rank] = whole
        fitted = self._with_sections(chosen, left) if sections else chosen
        return tuple(replace(block, number=number) for number, block in enumerate(fitted, start=1))

    def pruned(self, passage: Passage, text: str, place: Place) -> ContextBlock:
        """The text with what touches the question; all of it where nothing does, for then its meaning was found."""
        pieces = _pieces(text)
        near = [self._touches(text[piece.span.start : piece.span.end]) for piece in pieces]
        kept = [any(near[max(0, index - 1) : index + 2]) for index in range(len(pieces))]
        if not any(kept) or all(kept):
            return self._whole(passage, text, place)
        gone = [piece.span for piece, stays in zip(pieces, kept, strict=True) if not stays]
        block = ContextBlock(0, passage, text, place, 0, pruned=joined(text, gone))
        return sized(block, self._counter)

    def _whole(self, passage: Passage, text: str, place: Place) -> ContextBlock:
        return ContextBlock(0, passage, text, place, self._counter.count(text))

    def _touches(self, text: str) -> bool:
        # Any term will do. Asking for a share of the question's weight lost answers on the golden set.
        return self._analyse is None or not self._asked.isdisjoint(self._analyse(text))

    def _with_sections(self, chosen: list[ContextBlock], left: int) -> list[ContextBlock]:
        rank = 0
        while rank < len(chosen):
            block = chosen[rank]
            section = block.passage.section
            if section is not None and section.text:
                for wider in (
                    self._whole(block.passage, section.text, section.place),
                    self.pruned(block.passage, section.text, section.place),
                ):
                    inside = [other for other in chosen if holds(wider, other.passage)]
                    cost = wider.tokens - sum(other.tokens for other in inside)
                    if inside and inside[0] is block and cost <= left:
                        chosen[rank:] = [wider, *(other for other in chosen[rank + 1 :] if other not in inside)]
                        left -= cost
                        break
            rank += 1
        return chosen


def holds(block: ContextBlock, passage: Passage) -> bool:
    """Whether the passage stands in the block's text."""
    if (block.passage.document_id, block.passage.chunks_version) != (passage.document_id, passage.chunks_version):
        return False
    outer, inner = block.place.span, passage.place.span
    return outer.start <= inner.start and inner.end <= outer.end


def joined(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """The spans in order, those in one that have nothing but blanks between them, so that one mark stands for all."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda each: each.start):
        if found and (span.start <= found[-1].end or not text[found[-1].end : span.start].strip()):
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return tuple(found)


def sized(block: ContextBlock, counter: TokenCounter) -> ContextBlock:
    """The block with the size of what is read of it."""
    return replace(block, tokens=counter.count(block.readable))


def _pieces(text: str) -> list[_Piece]:
    """Sentences, and lists, tables and code as wholes."""
    units = split_units(text)
    pieces = [_Piece(Span(unit.start, unit.end), unit.kind) for unit in units[:1]]
    for before, unit in pairwise(units):
        last = pieces[-1]
        between = text[last.span.end : unit.start]
        same = unit.kind is last.kind and (unit.block == before.block or not between.strip())
        if same and unit.kind is not UnitKind.SENTENCE:
            pieces[-1] = _Piece(Span(last.span.start, unit.end), last.kind)
        else:
            pieces.append(_Piece(Span(unit.start, unit.end), unit.kind))
    return pieces
