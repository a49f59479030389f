"""Payment cards in text: groups of digits that stand in a row, of which some are a card's number.

What stands beside a number is often a number too: a date, a check code, a telephone number. So every row is tried from
each of its groups on, the longest number first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from corpus.privacy.numbers import digits_of, is_luhn, is_of_a_network, is_of_a_short_network

_ROW: Final = re.compile(r"\d+(?:[ .-]\d+)*", re.ASCII)
_GROUP: Final = re.compile(r"\d+", re.ASCII)
_SAID: Final = re.compile(
    r"\b(?:cards?|cc|credit|debit|visa|master\s?card|maestro|amex|karte|carte)\b", re.I | re.ASCII
)
_CONTEXT_CHARACTERS: Final = 48
_LENGTHS: Final = range(12, 20)
_FIRST_GROUP: Final = 4
"""Digits that the first group has at least, however a number is divided."""

_Group = tuple[int, int]


def find_cards(text: str) -> Iterator[tuple[int, int]]:
    """Spans of numbers with the check digit, of a network that is known or where a card is spoken of: there are more
    networks than any list."""
    for row in _ROW.finditer(text):
        if row.end() - row.start() < _LENGTHS.start:
            continue
        groups = [match.span() for match in _GROUP.finditer(text, *row.span())]
        first = 0
        while first < len(groups):
            behind = _end_of_card(text, groups, first)
            if behind is None:
                first += 1
            else:
                yield groups[first][0], groups[behind - 1][1]
                first = behind


def _end_of_card(text: str, groups: list[_Group], first: int) -> int | None:
    """The group behind the longest card that begins with the group ``first``."""
    if groups[first][1] - groups[first][0] < _FIRST_GROUP or not _may_begin(text, groups[first][0]):
        return None
    longest, digits = first, 0
    while longest < len(groups) and digits <= _LENGTHS.stop:
        digits += groups[longest][1] - groups[longest][0]
        longest += 1
    start = groups[first][0]
    for behind in range(longest, first, -1):
        sizes = tuple(stop - begin for begin, stop in groups[first:behind])
        end = groups[behind - 1][1]
        alone = len(sizes) == len(groups) and "." not in text[start:end]
        if (
            sum(sizes) in _LENGTHS
            and (alone or _is_usual(sizes))
            and _may_end(text, end)
            and _is_card(text, start, end)
        ):
            return behind
    return None


def _is_usual(sizes: tuple[int, ...]) -> bool:
    """Whether cards are divided so: not at all, in fours, or as American Express and Diners print theirs. Of a longer
    row anything else would be a number for every tenth piece of a table."""
    return len(sizes) == 1 or sizes in ((4, 6, 5), (4, 6, 4)) or (set(sizes[:-1]) == {4} and sizes[-1] <= 4)


def _may_begin(text: str, start: int) -> bool:
    """Whether no word or country code goes on here."""
    before = text[start - 1 : start]
    return not (before.isascii() and before.isalnum()) and before != "+"


def _may_end(text: str, end: int) -> bool:
    behind = text[end : end + 1]
    return not (behind.isascii() and behind.isalnum())


def _is_fraction(text: str, start: int) -> bool:
    """Whether digits and a point stand before."""
    return start > 1 and text[start - 1] == "." and text[start - 2].isdigit()


def _is_card(text: str, start: int, end: int) -> bool:
    number = text[start:end]
    if not is_luhn(number) or (number.isdigit() and _is_fraction(text, start)):
        return False
    # Fewer digits than usual without a break are most often an article's or an order's.
    short = number.isdigit() and len(digits_of(number)) < 16
    certain = is_of_a_short_network(number) if short else is_of_a_network(number)
    around = text[max(0, start - _CONTEXT_CHARACTERS) : end + _CONTEXT_CHARACTERS]
    return certain or _SAID.search(around) is not None
