"""Files made to harm their parser, through the real sandbox: each ends within the limits, as text or as a typed error,
brings nothing of the machine along, and leaves the pool serving."""

from __future__ import annotations

import io
import stat
import time
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from ingest_documents import docx_bytes

from ingest.parsing.errors import ParsingError
from ingest.parsing.limits import ParseLimits
from ingest.sandbox import ParserPool

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
LIMITS = ParseLimits(cpu_seconds=4, wall_seconds=15, memory_bytes=512 * MIB, max_output_chars=4 * MIB)
ENTITY = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY secret SYSTEM "file://{file}">]>'
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]>"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[ParserPool]:
    pool = ParserPool(2, LIMITS)
    await pool.start()
    # A lane's first document waits for its imports, which are no fault of the document.
    await pool.parse(docx_bytes(), "a.docx")
    yield pool
    await pool.aclose()


def altered(original: bytes, part: str, change: Callable[[str], str]) -> bytes:
    """The container with one of its parts changed."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(original)) as before, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            content = before.read(name)
            after.writestr(name, change(content.decode()) if name == part else content)
    return made.getvalue()


def with_doctype(doctype: str, entity: str) -> Callable[[str], str]:
    def change(xml: str) -> str:
        body = xml[xml.index("?>") + 2 :]
        return doctype + body.replace("<w:t>", f"<w:t>&{entity};", 1).replace("</dc:title>", f"&{entity};</dc:title>")

    return change


def xlsx(sheet: str) -> bytes:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active["A1"] = "name"
    book.active["A2"] = "pump"
    made = io.BytesIO()
    book.save(made)
    return altered(made.getvalue(), "xl/worksheets/sheet1.xml", lambda xml: sheet + xml[xml.index("<worksheet") :])


def pdf_of_pages(count: int) -> bytes:
    """A page tree that claims a million pages, all of them the same empty one."""
    kids = "3 0 R " * count
    return (
        f"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        f"2 0 obj<</Type/Pages/Count {count}/Kids[{kids}]>>endobj\n"
        "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
    ).encode()


def pdf_that_contains_itself() -> bytes:
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Count 5/Kids[2 0 R 3 0 R]>>endobj\n"
        b"3 0 obj<</Type/Pages/Count 2/Kids[2 0 R 3 0 R]/Parent 3 0 R>>endobj\ntrailer<</Root 1 0 R/Prev 9>>\n%%EOF"
    )


def archive(name: str, link: str = "") -> bytes:
    """A container whose member wants to be somewhere else, or to be a link."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx_bytes())) as before, zipfile.ZipFile(made, "w") as after:
        for each in before.namelist():
            after.writestr(each, before.read(each))
        member = zipfile.ZipInfo(name)
        member.create_system = 3
        member.external_attr = ((stat.S_IFLNK if link else stat.S_IFREG) | 0o777) << 16
        after.writestr(member, link or "harm")
    return made.getvalue()


YAML_BOMB = "---\na: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)
FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "entities that grow in a docx": (
        "a.docx",
        lambda: altered(docx_bytes(), "word/document.xml", with_doctype(LAUGHS, "j")),
    ),
    "entities that grow in its properties": (
        "a.docx",
        lambda: altered(docx_bytes(), "docProps/core.xml", with_doctype(LAUGHS, "j")),
    ),
    "entities that grow in an xlsx": ("a.xlsx", lambda: xlsx(LAUGHS)),
    "html a hundred thousand deep": ("a.html", lambda: b"<html><body>" + b"<div>" * 100_000 + b"deep words"),
    "html of one open table": ("a.html", lambda: b"<html><body>" + b"<table><tr><td>" * 30_000 + b"words"),
    "html of a long attribute": ("a.html", lambda: b"<p title='" + b"x" * (8 * MIB) + b"'>words"),
    "front matter of aliases": ("a.md", lambda: (YAML_BOMB + "---\n# Head\n\nText.\n").encode()),
    "front matter that makes objects": (
        "a.md",
        lambda: b"---\nx: !!python/object/apply:os.system ['touch /tmp/owned']\n---\n# Head\n\nText.\n",
    ),
    "deep front matter": ("a.md", lambda: b"---\nx: " + b"[" * 50_000 + b"\n---\n# Head\n\nText.\n"),
    "deep json": ("a.json", lambda: b"[" * 1_000_000 + b"]" * 1_000_000),
    "a json number of a million digits": ("a.json", lambda: b'{"a": ' + b"9" * 1_000_000 + b"}"),
    "json lines, each deeper": ("a.jsonl", lambda: b"\n".join(b"[" * n + b"]" * n for n in range(0, 4000, 8))),
    "a csv of a million columns": ("a.csv", lambda: b",".join([b"c"] * 1_000_000) + b"\n" + b"1," * 999_999 + b"1\n"),
    "a csv of one open quote": ("a.csv", lambda: b'a,b\n"' + b"x\n" * 2_000_000),
    "markdown of brackets": ("a.md", lambda: b"[" * 100_000 + b"\n" + b"> " * 20_000 + b"quote\n"),
    "markdown of stars": ("a.md", lambda: b"*a **b " * 50_000),
    "rst of deep lists": ("a.rst", lambda: b"\n".join(b" " * n + b"- x" for n in range(2_000))),
    "rst that includes a file": ("a.rst", lambda: b"Title\n=====\n\n.. include:: /etc/passwd\n\n.. raw:: html\n   :file: /etc/passwd\n\nEnd.\n"),  # noqa: E501
    "a pdf of two hundred thousand pages": ("a.pdf", lambda: pdf_of_pages(200_000)),
    "a pdf that contains itself": ("a.pdf", pdf_that_contains_itself),
    "a container with a way out": ("a.docx", lambda: archive("../../../../tmp/owned")),
    "a container with an absolute name": ("a.docx", lambda: archive("/tmp/owned")),
    "a container with a link": ("a.docx", lambda: archive("word/link.xml", "/etc/passwd")),
    "source code that nests": ("a.py", lambda: b"(" * 200_000),
    "text of one line": ("a.txt", lambda: b"a" * (4 * MIB)),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
async def test_a_hostile_file_costs_no_more_than_its_limits(pool: ParserPool, name: str) -> None:
    filename, make = FILES[name]
    began = time.monotonic()
    try:
        text = (await pool.parse(make(), filename)).text
    except ParsingError:
        text = ""
    assert len(text) <= LIMITS.max_output_chars
    assert "root:" not in text
    assert time.monotonic() - began < LIMITS.wall_seconds + 5
    assert (await pool.parse(b"# Still here\n\nText.", "next.md")).text
    assert not Path("/tmp/owned").exists()


@pytest.mark.parametrize("part", ["word/document.xml", "docProps/core.xml"])
async def test_a_docx_cannot_read_files_of_the_machine(pool: ParserPool, tmp_path: Path, part: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the-machine-s-secret")
    data = altered(docx_bytes(), part, with_doctype(ENTITY.format(file=secret), "secret"))
    try:
        document = await pool.parse(data, "a.docx")
    except ParsingError:
        return
    assert "the-machine-s-secret" not in repr(document)
