"""Telephone numbers, by how they are written.

A table of national numbering plans helps little here: a national number can only be looked up in its own country's,
which a document hardly ever names. So a number counts when it is written as only telephone numbers are (with a country
code, an area code in brackets, a trunk zero, or in the groups of North America), or when the words around it say what
it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from corpus.privacy.numbers import digits_of

_EXTENSION: Final = r"(?:\s?(?:x|ext\.?|extension)\s?\d{1,6})?"
_INTERNATIONAL: Final = rf"(?:\+|(?<!\d)00)[1-9]\d{{0,2}}(?:[ .\-/]{{0,2}}\(?\d{{1,5}}\)?){{1,6}}{_EXTENSION}"
_NORTH_AMERICA: Final = rf"(?:1[ .\-])?(?:\(\d{{3}}\) ?|\d{{3}}[ .\-])\d{{3}}[ .\-]\d{{4}}{_EXTENSION}"
_TRUNK: Final = r"\(?0[1-9]\d{0,4}\)?(?:[ .\-/]\d{2,8}){1,5}"
_GROUPS: Final = rf"\(?\d{{1,6}}\)?(?:[ .\-/]\(?\d{{2,8}}\)?){{1,5}}{_EXTENSION}|\d{{7,12}}{_EXTENSION}"
_EDGE: Final = r"(?<![A-Za-z0-9_+%$€£#])(?<!\d[.,:/\-])(?<![A-Za-z0-9_][./])"
_NO_PARAMETER: Final = r"(?<![A-Za-z0-9_]=)"
_END: Final = r"(?![A-Za-z0-9%€°]|[.,:/\-]\d)"

_CERTAIN: Final = re.compile(f"{_EDGE}(?:{_INTERNATIONAL}|{_NORTH_AMERICA}){_END}", re.ASCII)
_LIKELY: Final = re.compile(f"{_EDGE}{_NO_PARAMETER}{_TRUNK}{_END}", re.ASCII)
_POSSIBLE: Final = re.compile(f"{_EDGE}(?:{_GROUPS}){_END}", re.ASCII)

_WORDS: Final = (
    r"phones?|telephone|tel|mobile|cell|fax|handy|call(?:ed|ing|s)?|dial(?:ling)?|ring|sms|text(?:ed|ing)?|messages?"
    r"|whats\s?app|answering|voice\s?mail|hot\s?line|contact(?:ed)?|reach(?:ed)?|switchboard|desk|office|telefon|rufnummer"
    r"|téléphone|portable|teléfono|móvil|cellulare|telefono|telefoon|电话|電話|手机|手機|전화"
)
_SAID: Final = rf"(?<![A-Za-z])(?:{_WORDS})(?:[_ ]?n(?:umber|um|o|r))?[_-]?\d?(?![A-Za-z0-9])"
_SAID_BEFORE: Final = re.compile(rf"{_SAID}[^\d\n]{{0,30}}(?:\n\s*)?$", re.IGNORECASE)
_SAID_AFTER: Final = re.compile(rf"^\s?[(,\-]?\s?{_SAID}", re.IGNORECASE)
_CONTEXT_CHARACTERS: Final = 48
_DATE: Final = re.compile(
    r"(?:19|20)\d{2}[.\-/ ](?:0?[1-9]|1[0-2])[.\-/ ](?:0?[1-9]|[12]\d|3[01])(?:$|[ T])"
    r"|(?:0?[1-9]|[12]\d|3[01])[.\-/ ](?:0?[1-9]|[12]\d|3[01])[.\-/ ](?:(?:19|20)\d{2}(?:$|[ T])|\d{2}$)"
    r"|(?:19|20)\d{2} ?- ?(?:19|20)\d{2}$"
    r"|(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])$"
)
_PADDED: Final = re.compile(r"0\d+(?:[ .\-/]0\d+)+")
"""Numbers of the same table, each with zeros before it."""
_EXIT_CODE: Final = re.compile(r"00\d{5,9}")
"""Padded more often than foreign: with its country's code a number seldom has fewer than ten digits."""
_THOUSANDS: Final = re.compile(r"[1-9]\d{0,2}(?:[ .]\d{3}){2,}")
_COUNTED: Final = re.compile(
    r"\s?(?:times|users|customers|clients|people|persons|readers|subscribers|visitors|households|records|rows|requests"
    r"|messages|calls|texts|items|units|pieces|copies|bytes|[kmg]i?b|ms|seconds|eur|euros?|usd|dollars?|gbp|pounds|kg|km)\b",
    re.IGNORECASE,
)
_DIGITS: Final = range(7, 16)
"""Subscriber numbers have seven digits or more; E.164 allows fifteen, country code included."""

_Span = tuple[int, int]


def find_phones(text: str) -> list[_Span]:
    """Spans of telephone numbers; of those that overlap only the longest is one."""
    found = [match.span() for match in _CERTAIN.finditer(text) if _is_certain(match.group())]
    found += [match.span() for match in _undated(_LIKELY, text) if _is_likely(match.group())]
    found += [match.span() for match in _undated(_POSSIBLE, text) if _is_possible(text, match)]
    return sorted(found, key=lambda span: span[0] - span[1])


def _undated(form: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Matches that do not begin with a date: what stands behind one is looked at without it."""
    place = 0
    while (match := form.search(text, place)) is not None:
        date = _DATE.match(match.group())
        if date is None:
            yield match
        place = match.end() if date is None else match.start() + date.end()


def _is_certain(number: str) -> bool:
    return _has_its_digits(number) and _EXIT_CODE.fullmatch(number) is None


def _is_likely(number: str) -> bool:
    return len(digits_of(number)) in range(9, 13) and _PADDED.fullmatch(number) is None


def _is_possible(text: str, match: re.Match[str]) -> bool:
    return _has_its_digits(match.group()) and _is_said(text, *match.span()) and not _is_quantity(text, match)


def _is_quantity(text: str, match: re.Match[str]) -> bool:
    """Whether so many of something are meant."""
    grouped = match.group().isdigit() or _THOUSANDS.fullmatch(match.group()) is not None
    return grouped and _COUNTED.match(text, match.end()) is not None


def _has_its_digits(number: str) -> bool:
    if number.count("(") != number.count(")"):
        return False
    without_extension = re.split(r"x|ext", number)[0]
    return len(digits_of(without_extension)) in _DIGITS


def _is_said(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - _CONTEXT_CHARACTERS) : start]
    return _SAID_BEFORE.search(before) is not None or _SAID_AFTER.match(text[end : end + 16]) is not None
