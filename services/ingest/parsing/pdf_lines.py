"""Positions of words on a PDF page, and the lines that they make."""

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pypdfium2 as pdfium  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium_c  # type: ignore[import-untyped]

from ingest.parsing.errors import OutputTooLarge

# A gap between words of one line that is wider than this many font sizes separates cells.
_CELL_GAP = 1.1
_AMOUNT_GAP = 0.35
_CURRENCIES = "$€£¥"
# Set apart from their number in tables, and part of it all the same.
_PREFIXES = {"$", "€", "£", "¥", "(", "$("}
_SUFFIXES = {"%", ")", ")%", "%)"}
_BULLETS = {"•", "●", "▪", "◦", "–", "☐", "☒"}
# Lines whose baselines differ by less than this share of the font size are one line.
_SAME_BASELINE = 0.35
# How many lines back the left part of a table row may have been written.
_LOOK_BACK = 12
_BOLD_WEIGHT = 600
_FONT_NAME_BYTES = 128
# PDFium marks the hyphen of a word divided at a line end as U+0002 and writes no line break there.
_HYPHEN = 0x02
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "\xa0": " ", "\xad": "-"})
_INVISIBLE = re.compile("[\ue000-\uf8ff\ufffe\uffff\u200b]")


@dataclass(frozen=True, slots=True)
class Word:
    """A run of visible characters; coordinates in points, origin bottom left."""

    text: str
    left: float
    right: float
    baseline: float
    size: float
    bold: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page: cells of text from left to right; a line of prose is one cell."""

    cells: tuple[str, ...]
    left: float
    right: float
    baseline: float
    size: float
    bold: bool

    @property
    def text(self) -> str:
        """The cells as one text."""
        return " ".join(self.cells)


@dataclass(frozen=True, slots=True)
class PageLines:
    """What a page holds, in the order in which it is read."""

    number: int
    width: float
    height: float
    lines: tuple[Line, ...]


def read_page(page: pdfium.PdfPage, number: int, max_chars: int) -> PageLines:
    """Return the lines of a page.

    Raises:
        OutputTooLarge: One page alone holds more than `max_chars` characters.
    """
    text_page = page.get_textpage()
    try:
        if text_page.count_chars() > max_chars:
            raise OutputTooLarge
        runs = list(_runs(text_page))
    finally:
        text_page.close()
    width, height = page.get_size()
    return PageLines(number, width, height, tuple(_line(words) for words in _rows(runs)))


def _runs(text_page: pdfium.PdfTextPage) -> Iterator[list[Word]]:
    """Yield the words of each run that PDFium writes without a line break."""
    handle = text_page.raw
    codes = [pdfium_c.FPDFText_GetUnicode(handle, index) for index in range(text_page.count_chars())]
    words: list[Word] = []
    start = 0
    for index, code in enumerate([*codes, 0x0A]):
        if code > 0x20 and code != 0xA0:
            continue
        if code == _HYPHEN:
            continue
        divided = _HYPHEN in codes[start:index]
        if index > start and (word := _word(handle, codes, start, index)) is not None:
            words.append(word)
        start = index + 1
        if (divided or code in (0x0A, 0x0D)) and words:
            yield words
            words = []
    if words:
        yield words


def _word(handle: pdfium_c.FPDF_TEXTPAGE, codes: list[int], start: int, end: int) -> Word | None:
    # A word divided at a line end comes as one; it belongs to the line on which it begins.
    text = "".join(chr(code) for code in codes[start:end] if code != _HYPHEN and code < 0x110000)
    text = _INVISIBLE.sub("", text).translate(_LIGATURES)
    if not text:
        return None
    last = codes.index(_HYPHEN, start, end) if _HYPHEN in codes[start:end] else end - 1
    left, right = _box(handle, start), _box(handle, max(start, last - 1) if codes[last] == _HYPHEN else last)
    x, y = ctypes.c_double(), ctypes.c_double()
    pdfium_c.FPDFText_GetCharOrigin(handle, start, x, y)
    # The nominal font size knows nothing of the page's scaling; the loose box is as high as the scaled font.
    size = max(left[3] - left[2], 1.0)
    return Word(text, left[0], max(right[1], left[0]), y.value, size, _is_bold(handle, start))


def _box(handle: pdfium_c.FPDF_TEXTPAGE, index: int) -> tuple[float, float, float, float]:
    """Return (left, right, bottom, top) of a character's cell."""
    box = pdfium_c.FS_RECTF()
    pdfium_c.FPDFText_GetLooseCharBox(handle, index, box)
    return box.left, box.right, box.bottom, box.top


def _is_bold(handle: pdfium_c.FPDF_TEXTPAGE, index: int) -> bool:
    name = ctypes.create_string_buffer(_FONT_NAME_BYTES)
    flags = ctypes.c_int()
    pdfium_c.FPDFText_GetFontInfo(handle, index, name, _FONT_NAME_BYTES, flags)
    lowered = name.value.lower()
    if b"bold" in lowered or b"black" in lowered or b"heavy" in lowered:
        return True
    return int(pdfium_c.FPDFText_GetFontWeight(handle, index)) >= _BOLD_WEIGHT


def _rows(runs: list[list[Word]]) -> list[list[Word]]:
    """Join runs that lie on one baseline left to right: the cells of a table row, written column by column."""
    rows: list[list[Word]] = []
    for run in runs:
        first = run[0]
        for row in reversed(rows[-_LOOK_BACK:]):
            last = row[-1]
            same_line = abs(last.baseline - first.baseline) <= _SAME_BASELINE * min(last.size, first.size)
            if same_line and first.left >= last.right - 0.2 * last.size:
                row.extend(run)
                break
        else:
            rows.append(list(run))
    return rows


def _line(words: list[Word]) -> Line:
    cells = [words[0].text]
    for previous, word in pairwise(words):
        glued = previous.text in _PREFIXES or word.text in _SUFFIXES
        if glued:
            cells[-1] += word.text
        elif _separates(previous, word):
            cells.append(word.text)
        else:
            cells[-1] += f" {word.text}"
    longest = max(words, key=lambda word: len(word.text))
    bold = sum(len(word.text) for word in words if word.bold) * 2 > sum(len(word.text) for word in words)
    return Line(tuple(cells), words[0].left, words[-1].right, words[0].baseline, longest.size, bold)


def _separates(previous: Word, word: Word) -> bool:
    gap = word.left - previous.right
    if previous.text in _BULLETS:
        return False
    # Columns of amounts stand close together, but a currency sign after a number begins the next one.
    if word.text[0] in _CURRENCIES and previous.text[-1] in "0123456789)—–-":
        return gap > _AMOUNT_GAP * word.size
    return gap > _CELL_GAP * word.size
