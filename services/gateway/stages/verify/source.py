"""A source taken apart into what a sentence is compared with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from gateway.generators.extractive.units import Unit, readable_text, split_units
from gateway.ports import TermAnalyser
from gateway.stages.verify.claims import claims_of
from gateway.stages.verify.values import Value, values_of

ENDS: Final = " .;:"
"""What ends a sentence or a row, and is no part of what it says."""
WORD: Final = re.compile(r"[\w'-]+")
CLAUSE: Final = re.compile(
    r";\s+|,\s+(?:and|but|while|whereas|or|which|so)\s+|\s+(?:and|but|while|whereas)\s+|,\s+|\s[–—]\s|:\s+"
)
_MOST_UNITS: Final = 120
"""Sentences of one source that are taken apart; quotes are found in all of it."""
_MARKUP: Final = re.compile(r"[*_`|#>\[\]]+|^\s*(?:[-+•]|\d{1,3}[.)])\s+", re.MULTILINE)
_LETTERS: Final = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-", "\u00a0": " "})


def flat(text: str) -> str:
    """Text without markup, in one line and one case, with one kind of dash and quotation mark."""
    return " ".join(_MARKUP.sub(" ", text).translate(_LETTERS).casefold().split())


@dataclass(frozen=True, slots=True)
class Window:
    """One sentence of a source or two neighbours, taken apart. ``parts`` are the values of each sentence."""

    text: str
    terms: frozenset[str]
    context_terms: frozenset[str]
    parts: tuple[tuple[Value, ...], ...]
    context_values: tuple[Value, ...]
    words: tuple[str, ...]
    context_words: frozenset[str]
    clauses: tuple[tuple[frozenset[str], tuple[Value, ...]], ...]


class Source:
    """What a citation points at. Taken apart only when a sentence does not stand in it to the letter, for most do.

    Attributes:
        flat: All of it in one line, as quotes are compared.
        pieces: Its sentences, items, rows and lines of code, flat; of those of several sentences, each as well.
    """

    def __init__(self, text: str, context: str, analyse: TermAnalyser) -> None:
        self._text = text
        self._context = context
        self._analyse = analyse
        self._units = split_units(text)
        self.flat = flat(text)
        self.pieces = frozenset(piece for unit in self._units for piece in _whole_pieces(text, unit))

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """Every sentence, then all pairs of neighbours."""
        units = self._units[:_MOST_UNITS]
        pieces = [self._text[unit.start : unit.end] for unit in units] or [self._text]
        columns = [" ".join(unit.columns) for unit in units] or [""]
        singles = [
            _window(piece, f"{self._context} {above}", self._analyse)
            for piece, above in zip(pieces, columns, strict=True)
        ]
        return (*singles, *(_pair(one, other) for one, other in pairwise(singles)))


def _whole_pieces(text: str, unit: Unit) -> Iterator[str]:
    """The pieces that an answer may quote of a unit, cut as answers are."""
    shown = readable_text(text[unit.start : unit.end], unit.kind)
    yield flat(shown).rstrip(ENDS)
    for claim in claims_of(shown):
        yield flat(claim.plain).rstrip(ENDS)


def _window(piece: str, context: str, analyse: TermAnalyser) -> Window:
    text = " ".join(piece.split())
    return Window(
        text,
        frozenset(analyse(text)),
        frozenset(analyse(context)),
        (values_of(piece),),
        values_of(context),
        tuple(WORD.findall(text.casefold())),
        frozenset(WORD.findall(context.casefold())),
        tuple((wordy(analyse(clause)), values_of(clause)) for clause in CLAUSE.split(text)),
    )


def _pair(one: Window, other: Window) -> Window:
    return Window(
        f"{one.text} {other.text}",
        one.terms | other.terms,
        one.context_terms | other.context_terms,
        (*one.parts, *other.parts),
        one.context_values,
        (*one.words, *other.words),
        one.context_words | other.context_words,
        (*one.clauses, *other.clauses),
    )


def wordy(terms: Iterable[str]) -> frozenset[str]:
    """Terms without numbers, which are compared as values."""
    return frozenset(term for term in terms if not term[0].isdigit())
