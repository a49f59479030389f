"""Text as a reader sees it: one character for all that look the same, and none for what can't be seen.

Numbers are written with blanks that don't break, with dashes of many lengths and with full-width digits; rules that
know one form of each find them all in a text that was folded first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from corpus.privacy.entities import EntityKind

_BLANKS: Final = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_HYPHENS: Final = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63"
_ALIKE: Final = {
    **dict.fromkeys(map(ord, _BLANKS), " "),
    **dict.fromkeys(map(ord, _HYPHENS), "-"),
    # The full-width forms stand in the order of ASCII, from "!" on.
    **{0xFF01 + offset: chr(0x21 + offset) for offset in range(0x5E)},
    **{
        code: str(unicodedata.digit(chr(code)))
        for code in range(0x80, 0xFF00)
        if unicodedata.category(chr(code)) == "Nd"
    },
}
_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]+")
_PLACEHOLDER: Final = re.compile(
    r"\[(?:" + "|".join(kind.value.upper() for kind in EntityKind) + r")(?:[_ ]\d{1,5}|_[bcdfghjklmnpqrst]{16})?\]"
)
_HIDDEN: Final = "\ufffc"


def folded(text: str) -> str:
    """The text, as long as before, with one kind of blanks, hyphens and digits. Placeholders are no words in it: what
    took a telephone number's place does not make one of the next number."""
    if not text.isascii():
        text = text.translate(_ALIKE)
    return _PLACEHOLDER.sub(lambda match: _HIDDEN * len(match.group()), text)


@dataclass(frozen=True, slots=True)
class Visible:
    """A text without what can't be seen, and where its characters stood."""

    text: str
    places: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The span in the text before."""
        return self.places[start], self.places[end - 1] + 1


def visible(text: str) -> Visible | None:
    """The text without soft hyphens, joiners and marks of direction; None for one that has none."""
    if text.isascii() or _INVISIBLE.search(text) is None:
        return None
    places: list[int] = []
    last = 0
    for match in _INVISIBLE.finditer(text):
        places += range(last, match.start())
        last = match.end()
    places += range(last, len(text))
    return Visible(_INVISIBLE.sub("", text), places)
