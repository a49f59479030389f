"""The smallest pieces that a document is cut into, and what cutting before each of them costs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ingest.parsing.model import Section, SectionKind

# Prices are in units of "one chunk of zero length" (see `packing.length_cost`). Chosen so that two paragraphs
# of half the target merge, a heading beats a paragraph, a paragraph beats a sentence, and a table or a sentence
# breaks only when it cannot fit.
CUT_PARAGRAPH = 0.10
CUT_SENTENCE = 0.30
CUT_CODE_BLOCK = 0.15
CUT_CODE_PARAGRAPH = 0.30
CUT_LINE = 0.80
CUT_ROW = 1.50
CUT_TABLE_HEAD = 3.00
CUT_WORD = 2.00
CUT_BEFORE_TABLE = 0.30
JOIN_CHILD = 0.15
JOIN_SIBLING = 0.35
JOIN_PER_LEVEL = 0.30
JOIN_PAGE = 0.05
JOIN_TABLE = 0.10

# A paragraph this short is not worth cutting at sentences.
_WHOLE_PARAGRAPH_CHARS = 240
_WORD_GROUP_CHARS = 48

_PARAGRAPH_END = re.compile(r"\n(?:[ \t]*\n)+")
_SENTENCE_END = re.compile(
    r"(?<!\b[A-Z])(?<!\b[Mm]r)(?<!\b[Dd]r)(?<!\b[Mm]s)(?<!\bvs)(?<!\be\.g)(?<!\bi\.e)(?<!\bNo)(?<!\bFig)(?<!\bal)"
    r"[.!?]['\")\]”’*_]*\s+(?=[^\sa-z])"
    r"|[。！？؟।]['\"”’」』）]*\s*"
    r"|\n(?=[ \t]*(?:[-*+•]|\d{1,3}[.)]|\([a-z0-9]{1,3}\)|:[A-Za-z])[ \t])"
)
_WORDS = re.compile(r"\s*\S+\s*")


@dataclass(slots=True)
class Atom:
    """A span that is never cut, with the price of a cut before it and of no cut before it.

    Attributes:
        start: First code point.
        end: Last code point, exclusive; atoms tile the document.
        section: Index of the parsed section.
        cut: Price of beginning a chunk here.
        join: Price of having this boundary inside a chunk.
        tokens: Length in tokens, filled in once for all atoms.
    """

    start: int
    end: int
    section: int
    cut: float
    join: float
    tokens: int = 0


def atoms_of(text: str, sections: tuple[Section, ...]) -> Iterator[Atom]:
    """Yield the atoms of a document in order."""
    previous: Section | None = None
    for index, section in enumerate(sections):
        cut, join = _section_prices(previous, section)
        for position, (start, end, price) in enumerate(_pieces(text, section)):
            yield Atom(start, end, index, cut if position == 0 else price, join if position == 0 else 0.0)
        previous = section


def split_atom(text: str, atom: Atom) -> Iterator[Atom]:
    """Yield an oversized atom as groups of words; a "word" without white space is cut between characters."""
    cut, join = atom.cut, atom.join
    for start, end in _word_groups(text, atom.start, atom.end):
        yield Atom(start, end, atom.section, cut, join)
        cut, join = CUT_WORD, 0.0


def _section_prices(previous: Section | None, section: Section) -> tuple[float, float]:
    if previous is None:
        return 0.0, 0.0
    left, right = previous.heading_path, section.heading_path
    if left == right:
        if SectionKind.TABLE in (previous.kind, section.kind):
            # The sentence that introduces a table belongs to it; what follows a table may stand alone.
            return (CUT_BEFORE_TABLE, 0.0) if section.kind is SectionKind.TABLE else (0.0, JOIN_TABLE)
        if previous.page != section.page:
            return CUT_PARAGRAPH / 2, JOIN_PAGE
        return CUT_PARAGRAPH * 2, 0.0
    common = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        common += 1
    if common == len(left):
        return 0.0, JOIN_CHILD
    return 0.0, JOIN_SIBLING + JOIN_PER_LEVEL * (max(len(left), len(right)) - common - 1)


def _pieces(text: str, section: Section) -> Iterator[tuple[int, int, float]]:
    if section.kind is SectionKind.TEXT:
        return _prose(text, section.start, section.end)
    return _rows(text, section.start, section.end, section.kind)


def _prose(text: str, start: int, end: int) -> Iterator[tuple[int, int, float]]:
    for paragraph_start, paragraph_end in _split(_PARAGRAPH_END, text, start, end):
        price = CUT_PARAGRAPH
        if paragraph_end - paragraph_start <= _WHOLE_PARAGRAPH_CHARS:
            yield paragraph_start, paragraph_end, price
            continue
        for sentence_start, sentence_end in _split(_SENTENCE_END, text, paragraph_start, paragraph_end):
            yield sentence_start, sentence_end, price
            price = CUT_SENTENCE


def _split(pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    position = start
    for match in pattern.finditer(text, start, end):
        if match.end() < end:
            yield position, match.end()
            position = match.end()
    if position < end:
        yield position, end


def _rows(text: str, start: int, end: int, kind: SectionKind) -> Iterator[tuple[int, int, float]]:
    """Yield lines; blank lines stick to the line before them."""
    position, number, blank_before = start, 0, False
    while position < end:
        stop = text.find("\n", position, end) + 1 or end
        blank = False
        while stop < end and not text[stop : (text.find("\n", stop, end) + 1 or end)].strip():
            stop, blank = (text.find("\n", stop, end) + 1 or end), True
        yield position, stop, _row_price(text[position], number, blank_before, kind)
        position, number, blank_before = stop, number + 1, blank


def _row_price(first_char: str, number: int, blank_before: bool, kind: SectionKind) -> float:
    if kind is SectionKind.TABLE:
        # The head row, its delimiter and the first data row only make sense together.
        return CUT_TABLE_HEAD if number <= 2 else CUT_ROW
    if blank_before:
        return CUT_CODE_PARAGRAPH if first_char.isspace() else CUT_CODE_BLOCK
    return CUT_LINE


def _word_groups(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    position = start
    for match in _WORDS.finditer(text, start, end):
        if match.end() - position < _WORD_GROUP_CHARS and match.end() < end:
            continue
        while match.end() - position > 2 * _WORD_GROUP_CHARS:
            # Prefer the start of this word, then any character.
            stop = match.start() if match.start() > position else position + _WORD_GROUP_CHARS
            yield position, stop
            position = stop
        if match.end() > position:
            yield position, match.end()
            position = match.end()
    if position < end:
        yield position, end
