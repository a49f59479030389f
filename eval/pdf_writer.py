"""A small PDF writer: text pages in Helvetica with headings, tables, page numbers and an outline.

Written for the sample corpus, so that a PDF with bookmarks can be built without another dependency. Follows
ISO 32000-1: objects §7.3.10, cross-reference table §7.5.4, text §9.4, outline §12.3.3. Text is encoded as
WinAnsiEncoding (Windows-1252).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

PAGE_WIDTH, PAGE_HEIGHT = 595, 842  # A4 in points
MARGIN = 62
BODY_SIZE = 10.5
LEADING = 1.38
# Helvetica averages just under half an em per character in English text; .5 keeps every line inside the margin.
AVERAGE_CHARACTER_EM = 0.5
HEADING_SIZES = {"title": 19.0, "heading": 14.0, "subheading": 11.5}
SPACE_BEFORE = {"title": 0.0, "heading": 16.0, "subheading": 10.0, "row": 1.0, "bullet": 2.0, "numbered": 2.0}
DEFAULT_SPACE_BEFORE = 7.0


@dataclass(slots=True)
class _Page:
    operators: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Bookmark:
    title: str
    page: int
    y: float
    level: int


class _Layout:
    """Places lines from top to bottom and opens pages as needed."""

    def __init__(self) -> None:
        self.pages = [_Page()]
        self.bookmarks: list[_Bookmark] = []
        self._y = float(PAGE_HEIGHT - MARGIN)
        self._number = 0

    def add(self, kind: str, text: str) -> None:
        self._number = self._number + 1 if kind == "numbered" else 0
        if kind in HEADING_SIZES:
            # A heading needs room for two lines below it: it must not end a page.
            self._advance(SPACE_BEFORE[kind], keep=HEADING_SIZES[kind] * LEADING + 2 * BODY_SIZE * LEADING)
            self.bookmarks.append(
                _Bookmark(text, len(self.pages) - 1, self._y + HEADING_SIZES[kind], 1 if kind == "subheading" else 0)
            )
            self._paragraph(text, "F2", HEADING_SIZES[kind], 0)
        elif kind == "row":
            self._advance(SPACE_BEFORE[kind], keep=BODY_SIZE * LEADING)
            self._row(text.split("\t"))
        else:
            self._advance(SPACE_BEFORE.get(kind, DEFAULT_SPACE_BEFORE), keep=BODY_SIZE * LEADING)
            marker = {"bullet": "\u2022 ", "numbered": f"{self._number}. "}.get(kind, "")
            self._paragraph(marker + text, "F1", BODY_SIZE, 14 if marker else 0)

    def _advance(self, space: float, keep: float) -> None:
        if self._y - space - keep < MARGIN:
            self.pages.append(_Page())
            self._y = float(PAGE_HEIGHT - MARGIN)
        else:
            self._y -= space

    def _paragraph(self, text: str, font: str, size: float, indent: int) -> None:
        columns = int((PAGE_WIDTH - 2 * MARGIN - indent) / (size * AVERAGE_CHARACTER_EM))
        for line in textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False):
            self._advance(0, keep=size * LEADING)
            self._y -= size * LEADING
            self._text(MARGIN + indent, line, font, size)

    def _row(self, cells: Sequence[str]) -> None:
        self._y -= BODY_SIZE * LEADING
        width = (PAGE_WIDTH - 2 * MARGIN) / len(cells)
        for index, cell in enumerate(cells):
            self._text(MARGIN + index * width, cell, "F1", BODY_SIZE)

    def _text(self, x: float, text: str, font: str, size: float) -> None:
        self.pages[-1].operators.append(f"BT /{font} {size:g} Tf {x:.1f} {self._y:.1f} Td {_literal(text)} Tj ET")


def write_pdf(blocks: Sequence[tuple[str, str]], author: str) -> bytes:
    """Returns a PDF of `(kind, text)` blocks.

    Kinds: title, heading, subheading, paragraph, bullet, numbered, row (cells joined by tabs; one line each).
    The same blocks always give the same bytes.

    Raises:
        UnicodeEncodeError: a text has a character that Windows-1252 cannot hold.
    """
    layout = _Layout()
    for kind, text in blocks:
        layout.add(kind, text)
    title = next((text for kind, text in blocks if kind == "title"), "")
    return _serialise(_objects(layout, title, author))


def _objects(layout: _Layout, title: str, author: str) -> list[bytes]:
    """Numbers: 1 catalog, 2 page tree, 3 and 4 fonts, 5 information, 6 outline, then pages, contents, entries."""
    count = len(layout.pages)
    first_page, first_content, first_entry = 7, 7 + count, 7 + 2 * count
    kids = " ".join(f"{first_page + index} 0 R" for index in range(count))
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /{} /Encoding /WinAnsiEncoding >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /Outlines 6 0 R /PageMode /UseOutlines /Lang (en) >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        font.format("Helvetica").encode(),
        font.format("Helvetica-Bold").encode(),
        f"<< /Title {_literal(title)} /Author {_literal(author)} >>".encode("cp1252"),
    ]
    entries, root = _outline(layout.bookmarks, first_page, first_entry)
    objects.append(root)
    for index in range(count):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {PAGE_WIDTH} {PAGE_HEIGHT}] /Contents {first_content + index}"
            " 0 R /Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> >>".encode()
        )
    for index, page in enumerate(layout.pages):
        footer = f"BT /F1 8 Tf {MARGIN} 36 Td {_literal(f'{title} - page {index + 1} of {count}')} Tj ET"
        stream = "\n".join([*page.operators, footer]).encode("cp1252")
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    return objects + entries


def _outline(bookmarks: Sequence[_Bookmark], first_page: int, first_entry: int) -> tuple[list[bytes], bytes]:
    """Returns the outline entries and their root; level 1 entries hang below the level 0 entry before them."""
    parents: list[int | None] = []
    for index, mark in enumerate(bookmarks):
        above = [i for i in range(index) if bookmarks[i].level == 0]
        parents.append(above[-1] if mark.level and above else None)
    entries = []
    for index, mark in enumerate(bookmarks):
        siblings = [i for i, parent in enumerate(parents) if parent == parents[index]]
        place = siblings.index(index)
        parent = parents[index]
        parts = [
            f"/Title {_literal(mark.title)}",
            f"/Parent {6 if parent is None else first_entry + parent} 0 R",
            f"/Dest [{first_page + mark.page} 0 R /XYZ {MARGIN} {mark.y:.1f} null]",
        ]
        if place:
            parts.append(f"/Prev {first_entry + siblings[place - 1]} 0 R")
        if place + 1 < len(siblings):
            parts.append(f"/Next {first_entry + siblings[place + 1]} 0 R")
        parts.extend(_children(parents, index, first_entry))
        entries.append(f"<< {' '.join(parts)} >>".encode("cp1252"))
    root = f"<< /Type /Outlines {' '.join(_children(parents, None, first_entry))} >>".encode()
    return entries, root


def _children(parents: Sequence[int | None], of: int | None, first_entry: int) -> list[str]:
    children = [index for index, parent in enumerate(parents) if parent == of and index != of]
    if not children:
        return []
    first, last = first_entry + children[0], first_entry + children[-1]
    return [f"/First {first} 0 R /Last {last} 0 R /Count {len(children)}"]


def _literal(text: str) -> str:
    return "(" + text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") + ")"


def _serialise(objects: Sequence[bytes]) -> bytes:
    body = bytearray(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    body += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    body += b"trailer\n<< /Size %d /Root 1 0 R /Info 5 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(body)
