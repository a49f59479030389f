"""Builds the PDF, Word, PowerPoint and Excel documents of the sample corpus from their plain-text sources.

The results are committed next to the other documents; run this after changing a file in `eval/sources`. The same
sources always give the same bytes with the locked library versions: archive members carry a fixed time stamp.

Example:
    python -m eval.make_binary_documents
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import yaml
from docx import Document
from eval.pdf_writer import write_pdf
from openpyxl import Workbook
from openpyxl.styles import Font
from pptx import Presentation

ROOT = Path(__file__).resolve().parent

SOURCES = ROOT / "sources"
CORPUS = ROOT / "corpus"
# Any fixed moment does; zip archives cannot hold one before 1980.
FIXED_MOMENT = datetime(2026, 7, 1, 8, 0, 0)  # noqa: DTZ001 - zip and Office properties carry no zone
AUTHOR = "Tarnwell Instruments"

BlockKind = Literal["title", "heading", "subheading", "bullet", "numbered", "row", "note", "paragraph"]


@dataclass(frozen=True, slots=True)
class Block:
    """One line of a source: what it is, and its text (table cells joined by tabs)."""

    kind: BlockKind
    text: str


def read_blocks(source: str) -> Iterator[Block]:
    """Yields the blocks of a source, one per non-empty line."""
    prefixes: tuple[tuple[str, BlockKind], ...] = (
        ("### ", "subheading"),
        ("## ", "heading"),
        ("# ", "title"),
        ("- ", "bullet"),
        ("note: ", "note"),
    )
    for line in filter(None, map(str.strip, source.splitlines())):
        if line.startswith("|"):
            yield Block("row", "\t".join(cell.strip() for cell in line.strip("|").split("|")))
            continue
        numbered = re.match(r"\d+\. ", line)
        if numbered:
            yield Block("numbered", line[numbered.end() :])
            continue
        for prefix, kind in prefixes:
            if line.startswith(prefix):
                yield Block(kind, line.removeprefix(prefix))
                break
        else:
            yield Block("paragraph", line)


def build_docx(source: str) -> bytes:
    """Returns a Word file with real heading styles, lists and tables."""
    document = Document()
    document.core_properties.author = AUTHOR
    styles = {"bullet": "List Bullet", "numbered": "List Number"}
    levels = {"title": 0, "heading": 1, "subheading": 2}
    rows: list[list[str]] = []

    def flush_table() -> None:
        if rows:
            table = document.add_table(rows=0, cols=len(rows[0]), style="Table Grid")
            for row in rows:
                for cell, text in zip(table.add_row().cells, row, strict=True):
                    cell.text = text
            rows.clear()

    for block in read_blocks(source):
        if block.kind == "row":
            rows.append(block.text.split("\t"))
            continue
        flush_table()
        if block.kind in levels:
            document.add_heading(block.text, level=levels[block.kind])
            if block.kind == "title":
                document.core_properties.title = block.text
        else:
            document.add_paragraph(block.text, style=styles.get(block.kind))
    flush_table()
    buffer = io.BytesIO()
    document.save(buffer)
    return freeze_archive(buffer.getvalue())


def build_pptx(source: str) -> bytes:
    """Returns a presentation: a title slide, then one slide per heading with bullets and speaker notes."""
    deck = Presentation()
    deck.core_properties.author = AUTHOR
    slide = None
    for block in read_blocks(source):
        if block.kind == "title":
            slide = deck.slides.add_slide(deck.slide_layouts[0])
            slide.shapes.title.text = block.text
            deck.core_properties.title = block.text
        elif block.kind == "heading":
            slide = deck.slides.add_slide(deck.slide_layouts[1])
            slide.shapes.title.text = block.text
        elif slide is None:
            raise ValueError("a presentation source must start with a title")
        elif block.kind == "note":
            slide.notes_slide.notes_text_frame.text = block.text
        else:
            frame = slide.placeholders[1].text_frame
            paragraph = frame.paragraphs[0] if not frame.text else frame.add_paragraph()
            paragraph.text = block.text
    buffer = io.BytesIO()
    deck.save(buffer)
    return freeze_archive(buffer.getvalue())


def build_xlsx(source: str) -> bytes:
    """Returns a workbook with one sheet per entry, the first row of each in bold."""
    content = yaml.safe_load(source)
    workbook = Workbook()
    workbook.remove(workbook.active)
    workbook.properties.creator = AUTHOR
    workbook.properties.title = content["title"]
    for sheet in content["sheets"]:
        page = workbook.create_sheet(sheet["name"])
        for row in sheet["rows"]:
            page.append(row)
        for cell in page[1]:
            cell.font = Font(bold=True)
        page.freeze_panes = "A2"
    buffer = io.BytesIO()
    workbook.save(buffer)
    return freeze_archive(buffer.getvalue())


def build_pdf(source: str) -> bytes:
    """Returns a paged PDF with an outline entry for each heading."""
    return write_pdf([(block.kind, block.text) for block in read_blocks(source)], author=AUTHOR)


def freeze_archive(archive: bytes) -> bytes:
    """Rewrites an Office file so that no member or property depends on the time of the build."""
    stamp = FIXED_MOMENT.strftime("%Y-%m-%dT%H:%M:%SZ")
    result = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as given,
        zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as frozen,
    ):
        for name in given.namelist():
            content = given.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"(W3CDTF\">)[^<]+(<)", rb"\g<1>" + stamp.encode() + rb"\g<2>", content)
            member = zipfile.ZipInfo(name, FIXED_MOMENT.timetuple()[:6])
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            frozen.writestr(member, content)
    return result.getvalue()


BUILDERS = {".pdf": build_pdf, ".docx": build_docx, ".pptx": build_pptx, ".xlsx": build_xlsx}


def build_all() -> dict[str, bytes]:
    """Returns file name → content for every source."""
    built = {}
    for path in sorted(SOURCES.iterdir()):
        name = path.stem
        built[name] = BUILDERS[Path(name).suffix](path.read_text(encoding="utf-8"))
    return built


def main() -> None:
    """Writes every built document into the corpus."""
    for name, content in build_all().items():
        (CORPUS / name).write_bytes(content)
        print(f"{name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
