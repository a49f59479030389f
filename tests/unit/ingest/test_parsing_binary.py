"""HTML, PDF and Office files: structure kept, damage and traps named."""

from datetime import datetime

import pytest
from ingest_documents import docx_bytes, pdf_bytes, pptx_bytes, xlsx_bytes, zip_bomb_bytes

from ingest.parsing import ParsedDocument, SectionKind
from ingest.parsing.errors import (
    DocumentTooLarge,
    EmptyDocument,
    EncryptedDocument,
    NoTextLayer,
    ParsingError,
    UnreadableDocument,
    UnsupportedFormat,
)
from ingest.parsing.limits import ParseLimits
from ingest.parsing.registry import parse_document

HTML = b"""<!doctype html><html lang="en-GB"><head><title>Pump care</title>
<meta name="description" content="How to care"><meta property="article:published_time" content="2024-03-02">
<script>var x = "tracking";</script></head><body>
<nav><a href="/">Home</a><a href="/shop">Shop now</a></nav>
<main><h1>Pump care</h1><p>Pumps need care, and this page says which care they need in some detail.</p>
<h2>Torque</h2><p>Use the values of this table when you tighten the bolts of the housing after service.</p>
<table><tr><th>Bolt</th><th>Nm</th></tr><tr><td>M8</td><td>25</td></tr></table>
<h2>Oil</h2><p>Change the oil after five hundred hours of operation, or once a year if that is sooner.</p></main>
<footer>Copyright Pumps Ltd</footer></body></html>"""


def table_texts(document: ParsedDocument) -> list[str]:
    return [document.text[s.start : s.end] for s in document.sections if s.kind is SectionKind.TABLE]


def paths(document: ParsedDocument) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(section.heading_path for section in document.sections))


def test_html_keeps_headings_and_tables_and_drops_boilerplate() -> None:
    document = parse_document(HTML, filename="care.html")
    assert document.title == "Pump care"
    assert document.language == "en"
    assert document.metadata["description"] == "How to care"
    assert isinstance(document.metadata["date"], datetime)
    assert ("Pump care", "Torque") in paths(document)
    assert ("Pump care", "Oil") in paths(document)
    assert any("M8" in text and "25" in text for text in table_texts(document))
    assert "Shop now" not in document.text
    assert "tracking" not in document.text


def test_a_bare_fragment_of_html_is_not_lost() -> None:
    document = parse_document(b"<html><body><div>Only <b>one</b> line</div></body></html>", filename="x.html")
    assert document.text.replace("*", "").split() == ["Only", "one", "line"]


def test_html_without_text_is_empty() -> None:
    with pytest.raises(EmptyDocument):
        parse_document(b"<html><body><script>x</script></body></html>", filename="x.html")


def test_docx_has_headings_tables_and_properties() -> None:
    document = parse_document(docx_bytes(), filename="manual.docx")
    assert document.format == "docx"
    assert document.title == "Pump manual"
    assert document.metadata["author"] == "Ada"
    assert isinstance(document.metadata["created"], datetime)
    assert paths(document)[-1] == ("Maintenance", "Torque")
    assert "M8" in table_texts(document)[0]


def test_pptx_slides_are_pages_with_their_titles() -> None:
    document = parse_document(pptx_bytes(), filename="deck.pptx")
    assert [(s.page, s.heading_path) for s in document.sections] == [(1, ("Roadmap",)), (2, ("Risks",))]
    assert "Supply of seals" in document.text


def test_xlsx_sheets_are_pages_with_columns_in_the_heading_path() -> None:
    document = parse_document(xlsx_bytes(), filename="prices.xlsx")
    assert [(s.page, s.heading_path) for s in document.sections] == [(1, ("Prices", "Part | Price | Stock"))]
    assert "| Seal | 9.5 | 3 |" in document.text
    assert "| Valve | 20 | true |" in document.text


def pages_with_furniture() -> list[list[tuple[int, int, int, str]]]:
    pages = []
    for number in range(1, 5):
        pages.append(
            [
                (9, 72, 770, "Annual report of Pumps Ltd"),
                (20, 72, 720, f"Chapter {['One', 'Two', 'Three', 'Four'][number - 1]}"),
                (11, 72, 690, "The production of pumps went on with-"),
                (11, 72, 677, "out any interruption in this part of the year."),
                (11, 72, 640, "Part"),
                (11, 250, 640, "2023"),
                (11, 350, 640, "2022"),
                (11, 72, 627, "Seals"),
                (11, 250, 627, f"{number},200"),
                (11, 350, 627, f"{number}00"),
                (11, 72, 614, "Valves"),
                (11, 250, 614, f"{number}0"),
                (11, 350, 614, f"{number}5"),
                (9, 300, 30, f"{number}"),
            ]
        )
    return pages


def test_pdf_has_pages_headings_tables_and_no_running_heads() -> None:
    document = parse_document(pdf_bytes(pages_with_furniture(), info="/Title (Annual report 2023)"), filename="r.pdf")
    assert document.title == "Annual report 2023"
    assert [s.page for s in document.sections if s.heading_path and s.heading_path[-1] == "Chapter Three"] == [3, 3]
    assert table_texts(document)[0].strip() == "Part | 2023 | 2022\nSeals | 1,200 | 100\nValves | 10 | 15"
    assert "without any interruption" in document.text
    assert "Annual report of Pumps" not in document.text


def test_a_pdf_called_txt_is_parsed_as_pdf() -> None:
    document = parse_document(
        pdf_bytes([[(12, 72, 700, "Words on a page")]]), filename="a.txt", media_type="text/plain"
    )
    assert document.format == "pdf"
    assert document.sections[0].page == 1


def test_text_called_pdf_is_parsed_as_text() -> None:
    assert parse_document(b"Just words.", filename="a.pdf").format == "text"


@pytest.mark.parametrize(
    ("data", "name", "error"),
    [
        (pdf_bytes([[(12, 72, 700, "Secret")]], encrypt=True), "a.pdf", EncryptedDocument),
        (pdf_bytes([[]]), "scan.pdf", NoTextLayer),
        (b"%PDF-1.4\n" + b"garbage" * 50, "a.pdf", UnreadableDocument),
        (docx_bytes()[:1500], "a.docx", UnreadableDocument),
        (b"PK\x03\x04" + b"\0" * 200, "a.docx", UnreadableDocument),
        (bytes.fromhex("d0cf11e0a1b11ae1") + "EncryptedPackage".encode("utf-16-le"), "a.docx", EncryptedDocument),
        (bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 512, "a.doc", UnsupportedFormat),
        (zip_bomb_bytes(), "a.docx", DocumentTooLarge),
        (zip_bomb_bytes("data.bin", megabytes=1), "a.zip", UnsupportedFormat),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_files_have_a_typed_reason(data: bytes, name: str, error: type[ParsingError]) -> None:
    with pytest.raises(error):
        parse_document(data, filename=name)


def test_too_many_pages_are_refused() -> None:
    with pytest.raises(DocumentTooLarge):
        parse_document(pdf_bytes(pages_with_furniture()), filename="a.pdf", limits=ParseLimits(max_pages=3))


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(DocumentTooLarge):
        parse_document(b"x" * 1000, filename="a.txt", limits=ParseLimits(max_input_bytes=999))
