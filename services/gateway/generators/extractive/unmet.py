"""Finds the words of a question that nothing found speaks of: the surest sign that it is about something else.

A sentence may look like the answer in everything but the one word that matters, such as the name of a product that no
document
knows. Words that questions are merely phrased with don't count, and a word counts less the closer it comes in meaning
to a word of the
answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.generators.extractive.scoring import ScoredUnit
from gateway.ports import TermAnalyser

MAX_UNMET: Final = 6
MAX_OFFERED: Final = 160
"""Words of the answer's passages that are looked at; bounds what one question costs."""
_TIME_UNITS: Final = "second seconds minute minutes hour hours day days week weeks month months year years"
_WORD: Final = re.compile(r"[^\W\d_][\w'’-]*\w")
_SAME_FROM, _SAME_TO = 0.50, 0.70
"""Cosine similarities between which two single words go from unrelated to meaning the same (MiniLM)."""


def unmet_words(question: str, known: frozenset[str], analyse: TermAnalyser) -> tuple[str, ...]:
    """Words of the question none of whose terms is in ``known``, in order, without those it is merely phrased with."""
    telling = frozenset(analyse(question)) - frozenset(analyse(_phrasing_words())) - known
    if not known.isdisjoint(analyse(_TIME_UNITS)):
        # A month is 31 days to whoever writes limits: one unit of time speaks for the others.
        telling -= frozenset(analyse(_TIME_UNITS))
    words = dict.fromkeys(_WORD.findall(question))
    return tuple(word for word in words if telling.issuperset(analyse(word)))[:MAX_UNMET]


def offered_words(chosen: Sequence[ScoredUnit]) -> tuple[str, ...]:
    """Words of the passages that the chosen units stand in, and of what stands over them."""
    passages = dict.fromkeys(unit.candidate.passage for unit in chosen)
    texts = (text for p in passages for text in (p.title, *p.place.heading_path, p.text))
    words = dict.fromkeys(word.casefold() for text in texts for word in _WORD.findall(text) if len(word) > 3)
    return tuple(words)[:MAX_OFFERED]


def unmet_weight(unmet: NDArray[np.float32], offered: NDArray[np.float32]) -> float:
    """0 to 1: how far the strangest of the unmet words is from everything offered. (n, d) and (m, d), L2-normalised."""
    if not len(unmet):
        return 0.0
    if not len(offered):
        return 1.0
    nearest = (unmet @ offered.T).max(axis=1)
    strangeness = 1.0 - np.clip((nearest - _SAME_FROM) / (_SAME_TO - _SAME_FROM), 0.0, 1.0)
    return float(strangeness.max())


@cache
def _phrasing_words() -> str:
    return resources.files(__package__).joinpath("phrasing_words.txt").read_text(encoding="utf-8")
