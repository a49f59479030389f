"""Selection: threshold, near-duplicates, cap per document, k.

Near-duplicates are passages with the same normalised text, or whose sets of words have a Jaccard similarity of at least
``DUPLICATE_JACCARD`` and the same telling words, which are numbers and negations: "limit 200" and "limit 500" are two
facts,
"supported" and "not supported" too, however alike the rest.
Pairs are found by prefix filtering (Bayardo, Ma, Srikant: "Scaling Up All Pairs Similarity Search", WWW 2007): two
sets that similar share a word among their first few in any fixed order, so a passage is compared with almost no other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

DUPLICATE_JACCARD = 0.95
"""High on purpose: versions of one passage that differ in a sentence are both kept."""

_FEWEST_WORDS = 12
"""Shorter passages are duplicates only when their normalised texts are equal: one word of ten may turn the meaning."""

_NEGATIONS = frozenset({"no", "not", "never", "none", "nor", "cannot", "without"})


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen.

    Attributes:
        chosen: Chunk ids, best first.
        duplicates: How many were left out as near-duplicates of a better one.
        capped: How many were left out by the cap per document.
    """

    chosen: list[str]
    duplicates: int
    capped: int


def select(
    ordered: Iterable[str],
    k: int,
    *,
    document_of: Callable[[str], str],
    text_of: Callable[[str], str],
    max_per_document: int,
) -> Selection:
    """The first k of ``ordered`` that are no near-duplicates of a chosen one and keep to the cap. ``ordered`` is
    consumed lazily.
    """
    chosen: list[str] = []
    per_document: Counter[str] = Counter()
    seen = _SeenTexts()
    duplicates = capped = 0
    for chunk_id in ordered:
        document_id = document_of(chunk_id)
        if per_document[document_id] >= max_per_document:
            capped += 1
        elif not seen.add(text_of(chunk_id)):
            duplicates += 1
        else:
            chosen.append(chunk_id)
            per_document[document_id] += 1
            if len(chosen) == k:
                break
    return Selection(chosen, duplicates, capped)


@dataclass(slots=True)
class _SeenTexts:
    texts: set[str] = field(default_factory=set)
    words: list[frozenset[str]] = field(default_factory=list)
    by_prefix_word: dict[str, list[int]] = field(default_factory=dict)

    def add(self, text: str) -> bool:
        """Adds a text; False, and nothing is added, when it is a near-duplicate of an earlier one."""
        tokens = text.casefold().split()
        normalised = " ".join(tokens)
        if normalised in self.texts:
            return False
        words = frozenset(tokens)
        if len(words) >= _FEWEST_WORDS:
            # |A ∩ B| ≥ t·|A ∪ B| ≥ t·|A|: of any more words of A than this, one is in B. The same holds the other way
            # round, so the first common word in the order is among the first few of both.
            prefix = sorted(words)[: len(words) - math.ceil(DUPLICATE_JACCARD * len(words)) + 1]
            near = {place for word in prefix for place in self.by_prefix_word.get(word, ())}
            if any(_near_duplicates(words, self.words[place]) for place in near):
                return False
            for word in prefix:
                self.by_prefix_word.setdefault(word, []).append(len(self.words))
            self.words.append(words)
        self.texts.add(normalised)
        return True


def _near_duplicates(one: frozenset[str], other: frozenset[str]) -> bool:
    small, large = sorted((len(one), len(other)))
    if small < DUPLICATE_JACCARD * large:
        return False
    common = len(one & other)
    return common >= DUPLICATE_JACCARD * (small + large - common) and not any(map(_tells, one ^ other))


def _tells(word: str) -> bool:
    return word in _NEGATIONS or word.endswith(("n't", "n’t")) or any(map(str.isdigit, word))
