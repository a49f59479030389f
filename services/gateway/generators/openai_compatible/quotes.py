"""Finds the words of a block that support a claim."""

from __future__ import annotations

import re
from typing import Final

from gateway.domain import Citation
from gateway.generators.extractive.generator import citation_of
from gateway.generators.extractive.scoring import CandidateUnit, candidates_of
from gateway.ports import ContextBlock, TermAnalyser

_SENTENCE_START: Final = re.compile(r"[.!?]\s+|\n")
_MARKS: Final = re.compile(r"^\s*(?:\[\d{1,3}\]\s*)+")
_NUMBER: Final = re.compile(r"\d+")


def claim_before(text: str) -> str:
    """The sentence that ends where ``text`` ends."""
    trimmed = re.sub(r"[\s.!?]*(?:\[\d{1,3}\])*[\s.!?]*$", "", text)
    starts = [match.end() for match in _SENTENCE_START.finditer(trimmed)]
    return _MARKS.sub("", trimmed[starts[-1] :] if starts else trimmed)


def supporting_citation(block: ContextBlock, claim: str, analyse: TermAnalyser) -> Citation | None:
    """The block's sentence, item or row that shares most with the claim; None for a block without any."""
    candidates = candidates_of([block])
    if not candidates:
        return None
    wanted, numbers = frozenset(analyse(claim)), frozenset(_NUMBER.findall(claim))

    def shared(candidate: CandidateUnit) -> float:
        # A number that agrees says more than a word.
        same_numbers = len(numbers & frozenset(_NUMBER.findall(candidate.text)))
        return len(wanted & frozenset(analyse(candidate.text))) + 2 * same_numbers

    return citation_of(max(candidates, key=shared), block.number)
