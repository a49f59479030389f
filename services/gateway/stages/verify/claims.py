"""Cuts an answer into the sentences that are checked, each with the citations it claims to stand on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain import marks_in

_MARK: Final = re.compile(r"\s?\[\d{1,3}\]")
_END: Final = re.compile(
    r"[.!?。！？]+[\"'”’)\]*_]*(?:\s?\[\d{1,3}\])*(?=\s|$)|(?:\s?\[\d{1,3}\])+(?:[.!?;])?(?=\s|$)|\n+"
)
_ABBREVIATION: Final = re.compile(
    r"(?:^|[\s(])(?:e\.g|i\.e|vs|cf|ca|approx|nr|no|fig|vol|mr|mrs|ms|dr|prof|st|inc|ltd)\.$|(?:^|\n)\s*\d{1,2}\.$",
    re.IGNORECASE,
)
_INDEX: Final = re.compile(r"(?<=\w)\[\d{1,3}\]")
"""Directly behind a word it may be a mark, or an index in a line of code."""
_WORD: Final = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Claim:
    """The sentence ``text[start:end]`` of an answer.

    Attributes:
        plain: Its words without marks.
        citations: Numbers it names, or those that the next sentence of its paragraph names.
        marked: Whether it, or a sentence behind it in its paragraph, names any.
    """

    start: int
    end: int
    plain: str
    citations: tuple[int, ...]
    marked: bool


def claims_of(text: str) -> tuple[Claim, ...]:
    """The sentences in order. A sentence without a mark stands on the marks of the next one that has any, within its
    paragraph, or beyond it where it ends in a colon: one mark often closes several sentences."""
    claims = [_claim(text, start, end) for start, end in _pieces(text)]
    found: list[Claim] = []
    carried: tuple[int, ...] = ()
    following = len(text)
    for claim in reversed(claims):
        if "\n\n" in text[claim.end : following] and not claim.plain.rstrip("*_ ").endswith(":"):
            carried = ()
        following = claim.start
        carried = claim.citations or carried
        named = tuple(dict.fromkeys((*carried, *marks_in(text[claim.start : claim.end]))))
        found.append(replace(claim, citations=named, marked=bool(named)))
    return tuple(reversed(found))


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _END.finditer(text):
        if _ABBREVIATION.search(text[max(start, match.end() - 12) : match.end()]) and "\n" not in match.group():
            continue
        yield from _trimmed(text, start, match.end())
        start = match.end()
    yield from _trimmed(text, start, len(text))


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Nothing for a piece without a word, such as a rule between paragraphs."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if _WORD.search(text, start, end):
        yield start, end


def _claim(text: str, start: int, end: int) -> Claim:
    piece = text[start:end]
    numbers = tuple(dict.fromkeys(marks_in(_INDEX.sub(" ", piece))))
    return Claim(start, end, _MARK.sub("", piece).strip(), numbers, bool(numbers))
