"""Topic shifts in long unstructured text, found by the embedder.

TextTiling (Hearst, "TextTiling: Segmenting text into multi-paragraph subtopic passages", Computational Linguistics
23(1), 1997) with sentence embeddings in place of word counts: similarity of what lies before and after each gap,
depth of every valley against the peaks on both sides, and a cut-off from mean and deviation of the depths.
"""

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.chunking.atoms import atoms_of
from ingest.parsing.model import ParsedDocument, Section, SectionKind

Embed = Callable[[Sequence[str]], Awaitable[NDArray[np.float32]]]

# One sentence alone embeds noisily; about two sentences per group and three groups per side of a gap follow
# Hearst's blocks, scaled from 20-word pseudo-sentences.
_GROUP_CHARS = 160
_BLOCK_GROUPS = 3
# Depth above mean + half a deviation. Hearst takes mean - half a deviation, because every cut there is final; here a
# shift only makes a boundary cheaper, so the clear ones are enough.
_CUTOFF_DEVIATIONS = 0.5
# More groups than this (about 300 pages without one heading) are not worth the embedder's time.
_MAX_GROUPS = 8_192


def groups_of(text: str, section: Section) -> list[tuple[int, int]]:
    """Return spans of one or more sentences that tile a section."""
    groups: list[tuple[int, int]] = []
    for atom in atoms_of(text, (section,)):
        if groups and groups[-1][1] - groups[-1][0] < _GROUP_CHARS:
            groups[-1] = (groups[-1][0], atom.end)
        else:
            groups.append((atom.start, atom.end))
    return groups


def long_text_sections(document: ParsedDocument, min_chars: int) -> list[Section]:
    """Return the text sections that are longer than `min_chars` code points."""
    return [
        section
        for section in document.sections
        if section.kind is SectionKind.TEXT and section.end - section.start > min_chars
    ]


async def topic_shifts(document: ParsedDocument, min_chars: int, embed: Embed) -> dict[int, float]:
    """Return the strength in (0, 1] of each topic shift, by the offset at which the new topic begins.

    Args:
        document: The parsed document.
        min_chars: Sections up to this length are left alone.
        embed: Texts to vectors, `(n, d) float32`; its errors pass through.
    """
    shifts: dict[int, float] = {}
    for section in long_text_sections(document, min_chars):
        groups = groups_of(document.text, section)
        if not 2 * _BLOCK_GROUPS <= len(groups) <= _MAX_GROUPS:
            continue
        vectors = await embed([document.text[start:end].strip() for start, end in groups])
        for gap, strength in shift_strengths(np.asarray(vectors, dtype=np.float32)):
            shifts[groups[gap][0]] = strength
    return shifts


def shift_strengths(vectors: NDArray[np.float32]) -> list[tuple[int, float]]:
    """Return (gap, strength) of the topic shifts between consecutive vectors; gap i lies before vector i.

    Args:
        vectors: `(n, d) float32`, in reading order; any length, normalised here.
    """
    count = len(vectors)
    if count < 2:
        return []
    norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-9))
    sums = np.concatenate([np.zeros((1, vectors.shape[1])), np.cumsum(vectors / norms, axis=0, dtype=np.float64)])
    gaps = np.arange(1, count)
    left = sums[gaps] - sums[np.maximum(0, gaps - _BLOCK_GROUPS)]
    right = sums[np.minimum(count, gaps + _BLOCK_GROUPS)] - sums[gaps]
    scale = np.maximum(np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1), 1e-12)
    depths = _depths(np.einsum("ij,ij->i", left, right) / scale)
    cutoff = depths.mean() + _CUTOFF_DEVIATIONS * depths.std()
    deepest = float(depths.max())
    if deepest <= 1e-6:
        return []
    return [
        (int(gap), round(float(depth) / deepest, 4)) for gap, depth in zip(gaps, depths, strict=True) if depth > cutoff
    ]


def _depths(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each valley, how far it lies below the nearest peak on either side; 0 for what is no valley."""
    depths = np.zeros_like(similarity)
    last = len(similarity) - 1
    for index, value in enumerate(similarity):
        if (index > 0 and similarity[index - 1] < value) or (index < last and similarity[index + 1] < value):
            continue
        left = index
        while left > 0 and similarity[left - 1] >= similarity[left]:
            left -= 1
        right = index
        while right < last and similarity[right + 1] >= similarity[right]:
            right += 1
        depths[index] = similarity[left] + similarity[right] - 2 * value
    return depths
