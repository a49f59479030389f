"""Chooses what a generator reads: the best passages or their sections, no text twice, within the token budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.domain import Passage, Place
from gateway.ports import ContextBlock, TokenCounter


@dataclass(frozen=True, slots=True)
class ContextLimits:
    """Bounds of the context.

    Attributes:
        tokens: Size of all blocks together. The first block is given even if it alone is larger.
        blocks: Most blocks.
        sections: Whether a passage is replaced by its section where that fits.
    """

    tokens: int
    blocks: int
    sections: bool


def select_context(
    passages: Sequence[Passage], limits: ContextLimits, counter: TokenCounter
) -> tuple[ContextBlock, ...]:
    """Blocks numbered from 1, in the order of the passages.

    A passage that lies inside a block already chosen adds nothing and is left out. A section that is too large for
    what is left
    gives way to its passage, and a passage that is too large to the next one.
    """
    chosen: list[ContextBlock] = []
    left = limits.tokens
    for passage in passages:
        if len(chosen) >= limits.blocks:
            break
        if any(_holds(block, passage) for block in chosen):
            continue
        for text, place in _forms(passage, limits.sections):
            tokens = counter.count(text)
            if tokens <= left or (not chosen and (text, place) == (passage.text, passage.place)):
                chosen.append(ContextBlock(len(chosen) + 1, passage, text, place, tokens))
                left -= tokens
                break
    return tuple(chosen)


def _forms(passage: Passage, sections: bool) -> Sequence[tuple[str, Place]]:
    alone = (passage.text, passage.place)
    if sections and passage.section is not None and passage.section.text:
        return ((passage.section.text, passage.section.place), alone)
    return (alone,)


def _holds(block: ContextBlock, passage: Passage) -> bool:
    if (block.passage.document_id, block.passage.chunks_version) != (passage.document_id, passage.chunks_version):
        return False
    outer, inner = block.place.span, passage.place.span
    return outer.start <= inner.start and inner.end <= outer.end
