"""Chooses what a generator reads: the best passages or their sections, no text twice, within the token budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.domain import Passage, Place
from gateway.ports import ContextBlock, TermAnalyser, TokenCounter
from gateway.stages.prune import Pruning, holds
from gateway.stages.repeats import without_repeats


@dataclass(frozen=True, slots=True)
class ContextLimits:
    """Bounds of the context.

    Attributes:
        tokens: Size of all blocks together. The first block is given even if it alone is larger.
        blocks: Most blocks.
        sections: Whether a passage is replaced by its section where that fits.
        prunes_with: Finds the terms by which passages are pruned where not all of them fit; None leaves them whole.
        repeats: Whether a sentence is given again that an earlier block says.
    """

    tokens: int
    blocks: int
    sections: bool
    prunes_with: TermAnalyser | None = None
    repeats: bool = True


def select_context(
    passages: Sequence[Passage], limits: ContextLimits, counter: TokenCounter, question: str = ""
) -> tuple[ContextBlock, ...]:
    """Blocks numbered from 1, in the order of the passages, pruned for ``question`` where that is wanted. CPU-bound.

    A passage that lies inside a block already chosen adds nothing and is left out. A passage that is too large gives
    way to the next one. Where not all sections fit, passages come first, and then sections with what is left.
    """
    blocks, all_fit = _whole(passages, limits, counter)
    if (limits.sections or limits.prunes_with is not None) and not all_fit:
        pruning = Pruning(question, counter, limits.prunes_with)
        blocks = pruning.fit(passages, limits.tokens, limits.blocks, sections=limits.sections)
    return blocks if limits.repeats else without_repeats(blocks, counter)


def _whole(
    passages: Sequence[Passage], limits: ContextLimits, counter: TokenCounter
) -> tuple[tuple[ContextBlock, ...], bool]:
    """Whole passages or sections, and whether all that was wanted had room."""
    chosen: list[ContextBlock] = []
    left, all_fit = limits.tokens, True
    for passage in passages:
        if len(chosen) >= limits.blocks:
            break
        if any(holds(block, passage) for block in chosen):
            continue
        for text, place in _forms(passage, limits.sections):
            tokens = counter.count(text)
            if tokens <= left or (not chosen and (text, place) == (passage.text, passage.place)):
                chosen.append(ContextBlock(len(chosen) + 1, passage, text, place, tokens))
                all_fit = all_fit and tokens <= left
                left -= tokens
                break
            all_fit = False
    return tuple(chosen), all_fit


def _forms(passage: Passage, sections: bool) -> Sequence[tuple[str, Place]]:
    alone = (passage.text, passage.place)
    if sections and passage.section is not None and passage.section.text:
        return ((passage.section.text, passage.section.place), alone)
    return (alone,)
