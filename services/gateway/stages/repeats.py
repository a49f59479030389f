"""Leaves out of the prompt sentences that an earlier block says already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.domain import Span
from gateway.generators.extractive.units import UnitKind, readable_text, split_units
from gateway.ports import ContextBlock, TokenCounter
from gateway.stages.prune import joined, sized

LEAST_CHARACTERS: Final = 40
"""A shorter sentence costs no more than its gap, and may mean something else elsewhere ("See below.")."""


def without_repeats(blocks: Sequence[ContextBlock], counter: TokenCounter) -> tuple[ContextBlock, ...]:
    """The blocks, in their order, with every sentence or item once: where it stands first. Case and blanks aside, it
    must be the same to the letter. Rows and code stay: they mean what their neighbours make of them. A block is never
    emptied, since that a second source says the same is worth its name."""
    seen: set[str] = set()
    told = []
    for block in blocks:
        own: set[str] = set()
        units = 0
        gone: list[Span] = []
        for unit in split_units(block.text):
            shown = readable_text(block.text[unit.start : unit.end], unit.kind).casefold()
            if any(span.start < unit.end and unit.start < span.end for span in (*block.pruned, *block.steering)):
                continue
            units += 1
            if shown in seen and len(shown) >= LEAST_CHARACTERS and unit.kind in (UnitKind.SENTENCE, UnitKind.ITEM):
                gone.append(Span(unit.start, unit.end))
            else:
                own.add(shown)
        if gone and len(gone) < units:
            block = sized(replace(block, pruned=joined(block.text, [*block.pruned, *gone])), counter)
        seen |= own
        told.append(block)
    return tuple(told)
