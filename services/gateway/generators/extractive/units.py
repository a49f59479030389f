"""Cuts a passage into the units an answer is made of: sentences, list items, table rows, pieces of code.

Offsets are kept: ``text[unit.start:unit.end]`` is the unit, to the letter, whatever is shown of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

MIN_UNIT_CHARACTERS: Final = 3
MAX_UNIT_CHARACTERS: Final = 1200
"""A unit longer than this is cut at a line: nobody wants a page as "the sentence that answers"."""

_ABBREVIATIONS: Final = (
    " e.g i.e vs cf approx nr fig eq vol pp ed al mr mrs ms dr prof st jr sr ltd corp dept jan feb mar apr jun jul aug "
    "sep sept oct nov dec u.s u.k ca bzw z.b d.h "
)
"""Words, between blanks, behind which a full stop hardly ever ends a sentence."""
_HEADING: Final = re.compile(r"\s{0,3}#{1,6}\s")
_UNDERLINE: Final = re.compile(r"\s{0,3}(?:([=\-~^#*+])\1{2,}|([\"'.:_])\2{3,})\s*$")
_FENCE: Final = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_ITEM: Final = re.compile(r"(?P<indent>\s*)(?P<bullet>[-*+•–]|#\.|\(?(?:\d{1,3}|[a-zA-Z])[.)])\s+(?=\S)")
_TABLE_ROW: Final = re.compile(r"\s*\|.*\|\s*$")
_TABLE_RULE: Final = re.compile(r"[\s|:+=-]+$")
_SENTENCE_END: Final = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s)|[。！？]+[」』”]*")
_ALIGNED: Final = re.compile(r"\s*\S+(?: \S+)?(?:\s{2,}|\t)\S")
_PAIR: Final = re.compile(r"\s*[\w.\[\]/-]+: \S")
_SHOUTED: Final = re.compile(r"[A-Z\d][A-Z\d ,.&()/-]{2,78}")
"""A line in capitals is how plain text writes headings."""
_LEAST_ROWS: Final = 3
"""Rows from which on the first one may be told to be a head by the others."""
_HOLDS_DIGIT: Final = re.compile(r"\d")
_RECORD_LINES: Final = 8
"""A record of up to this many "name: value" lines is one unit, for its lines explain each other."""
_DIRECTIVE: Final = re.compile(r"\s*(\.\. \w|:\w[\w -]*:(\s|$)|<!--|---\s*$)")


class UnitKind(StrEnum):
    """What a unit is."""

    SENTENCE = "sentence"
    ITEM = "item"
    ROW = "row"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Unit:
    """``text[start:end]`` of a passage. ``block`` counts the paragraphs, lists and tables of the passage; ``columns``
    are the heads of
    a table's columns where the passage has them."""

    kind: UnitKind
    start: int
    end: int
    block: int
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str

    @property
    def blank(self) -> bool:
        return not self.text.strip()


def split_units(text: str) -> tuple[Unit, ...]:
    """The units of a passage in order. Headings, rules, fences and directives are none."""
    units: list[Unit] = []
    lines = _lines(text)
    index, block = 0, 0
    while index < len(lines):
        end, found = _take_block(text, lines, index, block)
        if found:
            units.extend(piece for unit in found for piece in _bounded(text, unit))
            block += 1
        index = max(end, index + 1)
    return tuple(unit for unit in units if unit.end - unit.start >= MIN_UNIT_CHARACTERS)


def readable_text(text: str, kind: UnitKind) -> str:
    """How a unit reads inside an answer: one line, without list marks and table bars."""
    if kind is UnitKind.CODE:
        return text
    if kind is UnitKind.ITEM and (item := _ITEM.match(text)):
        text = text[item.end() :]
    if kind is UnitKind.ROW and "|" in text:
        text = " | ".join(cells_of(text))
    return " ".join(text.split())


def cells_of(row: str) -> tuple[str, ...]:
    """Cells of a table row that is written with bars or tabs."""
    separator = "|" if "|" in row else "\t"
    return tuple(cell.strip() for cell in row.strip().strip("|").split(separator))


def _lines(text: str) -> list[_Line]:
    lines, start = [], 0
    for raw in text.splitlines(keepends=True):
        lines.append(_Line(start, start + len(raw.rstrip("\r\n")), raw.rstrip("\r\n")))
        start += len(raw)
    return lines


def _take_block(text: str, lines: list[_Line], index: int, block: int) -> tuple[int, list[Unit]]:
    """Units of the block that begins at ``index``, and the index of the line after it."""
    line = lines[index]
    if line.blank or _HEADING.match(line.text) or _DIRECTIVE.match(line.text) or _UNDERLINE.match(line.text):
        return index + 1, []
    if _is_title(lines, index):
        return index + 2, []
    if fence := _FENCE.match(line.text):
        return _take_fence(lines, index, fence[1], block)
    if _is_row(line.text):
        return _take_rows(lines, index, block)
    if _ITEM.match(line.text):
        return _take_items(text, lines, index, block)
    end = index + 1
    while end < len(lines) and not _starts_block(lines, end):
        end += 1
    body = lines[index:end]
    if _is_list_of_pairs(body):
        return end, [Unit(UnitKind.ROW, piece.start, piece.end, block) for piece in body]
    if _is_code(body):
        return end, [Unit(UnitKind.CODE, line.start, lines[end - 1].end, block)]
    if end - index == 1 and _SHOUTED.fullmatch(line.text.strip()):
        return end, []
    return end, list(_sentences(text, line.start, lines[end - 1].end, block))


def _starts_block(lines: list[_Line], index: int) -> bool:
    line = lines[index]
    return (
        line.blank
        or _is_row(line.text)
        or any(pattern.match(line.text) for pattern in (_HEADING, _FENCE, _ITEM))
        or _is_title(lines, index)
    )


def _is_title(lines: list[_Line], index: int) -> bool:
    below = lines[index + 1] if index + 1 < len(lines) else None
    return below is not None and _UNDERLINE.match(below.text) is not None and len(below.text.strip()) >= 3


def _is_row(text: str) -> bool:
    return _TABLE_ROW.match(text) is not None or text.count("\t") >= 2


def _is_list_of_pairs(lines: list[_Line]) -> bool:
    """Whether every line says something about one name: a settings table in plain text, or a flattened record."""
    aligned = len(lines) > 1 and all(_ALIGNED.match(line.text) for line in lines)
    pairs = len(lines) > _RECORD_LINES and all(_PAIR.match(line.text) for line in lines)
    return aligned or pairs


def _is_code(lines: list[_Line]) -> bool:
    return all(line.text.startswith(("    ", "\t")) for line in lines)


def _take_fence(lines: list[_Line], index: int, fence: str, block: int) -> tuple[int, list[Unit]]:
    end = index + 1
    while end < len(lines) and not lines[end].text.strip().startswith(fence):
        end += 1
    body = [line for line in lines[index + 1 : end] if not line.blank]
    return end + 1, [Unit(UnitKind.CODE, body[0].start, body[-1].end, block)] if body else []


def _take_rows(lines: list[_Line], index: int, block: int) -> tuple[int, list[Unit]]:
    end = index
    while end < len(lines) and _is_row(lines[end].text):
        end += 1
    rows = [line for line in lines[index:end] if not _TABLE_RULE.match(line.text)]
    columns: tuple[str, ...] = ()
    if rows and rows[0] is lines[index] and end - index > 1 and _TABLE_RULE.match(lines[index + 1].text):
        # The row over the rule names the columns: it answers nothing by itself.
        columns = cells_of(rows[0].text)
        rows = rows[1:]
    if not any(columns) and _begins_with_head(rows):
        # Word processors write tables whose head is marked by looks alone.
        columns = cells_of(rows[0].text)
        rows = rows[1:]
    return end, [Unit(UnitKind.ROW, line.start, line.end, block, columns) for line in rows]


def _begins_with_head(rows: list[_Line]) -> bool:
    """Whether the first of several rows is a head: it holds no value, in a column in which most others do."""
    if len(rows) < _LEAST_ROWS:
        return False
    head, *others = (cells_of(row.text) for row in rows)
    valued = (
        sum(column < len(cells) and _HOLDS_DIGIT.search(cells[column]) is not None for cells in others)
        for column in range(1, len(head))
    )
    return not any(_HOLDS_DIGIT.search(cell) for cell in head) and any(2 * count > len(others) for count in valued)


def _take_items(text: str, lines: list[_Line], index: int, block: int) -> tuple[int, list[Unit]]:
    units, end = [], index
    while end < len(lines) and _ITEM.match(lines[end].text):
        first = end
        end += 1
        while end < len(lines) and not _starts_block(lines, end):
            end += 1
        start = lines[first].start + len(lines[first].text) - len(lines[first].text.lstrip())
        units.append(Unit(UnitKind.ITEM, start, lines[end - 1].end, block))
        while end + 1 < len(lines) and lines[end].blank and _ITEM.match(lines[end + 1].text):
            end += 1
    return end, units


def _sentences(text: str, start: int, end: int, block: int) -> Iterator[Unit]:
    """Sentences of ``text[start:end]``: an end mark followed by white space, unless it ends an abbreviation or an
    initial."""
    begin = start
    for match in _SENTENCE_END.finditer(text, start, end):
        if _ends_abbreviation(text, begin, match.start(), match.end(), end):
            continue
        yield from _trimmed(text, begin, match.end(), block)
        begin = match.end()
    yield from _trimmed(text, begin, end, block)


def _ends_abbreviation(text: str, begin: int, mark: int, after: int, end: int) -> bool:
    if text[mark] != ".":
        return False
    following = text[after:end].lstrip()
    if following and (following[0].islower() or following[0] in ",;"):
        return True
    words = text[begin:mark].split()
    word = words[-1].strip("(\"'").lower() if words else ""
    if len(words) == 1 and word.isdigit():
        return True
    return bool(word) and f" {word} " in _ABBREVIATIONS


def _trimmed(text: str, start: int, end: int, block: int) -> Iterator[Unit]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if end > start:
        yield Unit(UnitKind.SENTENCE, start, end, block)


def _bounded(text: str, unit: Unit) -> Iterator[Unit]:
    start = unit.start
    while unit.end - start > MAX_UNIT_CHARACTERS:
        cut = text.rfind("\n", start + 1, start + MAX_UNIT_CHARACTERS)
        if cut < 0:
            cut = text.rfind(" ", start + 1, start + MAX_UNIT_CHARACTERS)
        cut = cut if cut > start else start + MAX_UNIT_CHARACTERS
        yield replace(unit, start=start, end=cut)
        start = cut + 1 if text[cut].isspace() else cut
    yield replace(unit, start=start)
