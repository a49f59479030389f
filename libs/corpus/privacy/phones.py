"""Telephone numbers, by how they are written.

A table of national numbering plans helps little here: a national number can only be looked up in its own country's,
which a document hardly ever names. So a number counts when it is written as only telephone numbers are (with a country
code, an area code in brackets, a trunk zero, or in the groups of North America), or when the words around it say what
it is.
"""

from __future__ import annotations

import re
from typing import Final

from corpus.privacy.numbers import digits_of

_EXTENSION: Final = r"(?:\s?(?:x|ext\.?|extension)\s?\d{1,6})?"
_INTERNATIONAL: Final = rf"(?:\+|(?<!\d)00)[1-9]\d{{0,2}}(?:[ .\-/]{{0,2}}\(?\d{{1,5}}\)?){{1,6}}{_EXTENSION}"
_NORTH_AMERICA: Final = rf"(?:1[ .\-])?(?:\(\d{{3}}\) ?|\d{{3}}[ .\-])\d{{3}}[ .\-]\d{{4}}{_EXTENSION}"
_TRUNK: Final = r"\(?0[1-9]\d{0,4}\)?(?:[ .\-/]\d{2,8}){1,5}"
_GROUPS: Final = rf"\(?\d{{1,6}}\)?(?:[ .\-/]\(?\d{{2,8}}\)?){{1,5}}{_EXTENSION}|\d{{7,12}}{_EXTENSION}"
_EDGE: Final = r"(?<![\w+%$€£#])(?<!\d[.,:/\-])(?<!\w[./=])"
_END: Final = r"(?![\w%€°]|[.,:/\-]\d)"

_CERTAIN: Final = re.compile(f"{_EDGE}(?:{_INTERNATIONAL}|{_NORTH_AMERICA}){_END}")
_LIKELY: Final = re.compile(f"{_EDGE}{_TRUNK}{_END}")
_POSSIBLE: Final = re.compile(f"{_EDGE}(?:{_GROUPS}){_END}")

_WORDS: Final = (
    r"phones?|telephone|tel|mobile|cell|fax|handy|call(?:ed|ing|s)?|dial(?:ling)?|ring|sms|text(?:ed|ing)?|messages?"
    r"|whats\s?app|answering|voice\s?mail|hot\s?line|contact(?:ed)?|reach(?:ed)?|switchboard|desk|office|telefon|rufnummer"
    r"|téléphone|portable|teléfono|móvil|cellulare|telefono|telefoon"
)
_SAID_BEFORE: Final = re.compile(rf"\b(?:{_WORDS})\b[^\d\n]{{0,30}}(?:\n\s*)?$", re.IGNORECASE)
_SAID_AFTER: Final = re.compile(rf"^\s?[(,\-]?\s?(?:{_WORDS})\b", re.IGNORECASE)
_CONTEXT_CHARACTERS: Final = 48
_DATE: Final = re.compile(
    r"(?:19|20)\d{2}[.\-/ ](?:0?[1-9]|1[0-2])[.\-/ ](?:0?[1-9]|[12]\d|3[01])(?:$|[ T])"
    r"|(?:0?[1-9]|[12]\d|3[01])[.\-/ ](?:0?[1-9]|[12]\d|3[01])[.\-/ ](?:(?:19|20)\d{2}|\d{2})$"
    r"|(?:19|20)\d{2} ?[\-/–] ?(?:19|20)\d{2}$"
)
_DIGITS: Final = range(7, 16)
"""Subscriber numbers have seven digits or more; E.164 allows fifteen, country code included."""


def find_phones(text: str) -> list[tuple[int, int]]:
    """Spans of telephone numbers; of those that overlap only the longest is one."""
    found = [match.span() for match in _CERTAIN.finditer(text) if _has_its_digits(match.group())]
    for match in _LIKELY.finditer(text):
        if len(digits_of(match.group())) in range(9, 13) and not _DATE.match(match.group()):
            found.append(match.span())
    for match in _POSSIBLE.finditer(text):
        if _has_its_digits(match.group()) and not _DATE.match(match.group()) and _is_said(text, *match.span()):
            found.append(match.span())
    return sorted(found, key=lambda span: span[0] - span[1])


def _has_its_digits(number: str) -> bool:
    if number.count("(") != number.count(")"):
        return False
    without_extension = re.split(r"x|ext", number)[0]
    return len(digits_of(without_extension)) in _DIGITS


def _is_said(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - _CONTEXT_CHARACTERS) : start]
    return _SAID_BEFORE.search(before) is not None or _SAID_AFTER.match(text[end : end + 16]) is not None
