"""Documents of every format with damage: text, or a reason, within the limits; and the parsers still serve."""

from __future__ import annotations

import asyncio
import io
import json
import random
import sys
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

SUPPORT = str(Path(__file__).parents[1] / "unit" / "ingest" / "support")
if SUPPORT not in sys.path:
    sys.path.append(SUPPORT)

from ingest_documents import docx_bytes, pdf_bytes, pptx_bytes, xlsx_bytes  # noqa: E402
from tests.fuzz.profiles import LONG  # noqa: E402

from chassis.errors import DocumentRejected  # noqa: E402
from ingest.parsing.limits import ParseLimits  # noqa: E402
from ingest.parsing.model import ParsedDocument  # noqa: E402
from ingest.sandbox import ParserPool  # noqa: E402

pytestmark = [pytest.mark.xdist_group("fuzz"), pytest.mark.timeout(7200)]

MIB = 2**20
LIMITS = ParseLimits(cpu_seconds=4, wall_seconds=20, memory_bytes=512 * MIB, max_output_chars=4 * MIB)
AT_ONCE = 2
EACH = 400 if LONG else 3
"""Damaged documents of each format."""
HTML = b"<!doctype html><html lang=en><head><title>T</title></head><body><h1>Pump</h1><table><tr><td>M8<td>25</table>"
RST = b"Pump\n====\n\n.. note:: Oil it.\n\n=====  =====\nBolt   Nm\n=====  =====\nM8     25\n=====  =====\n\n:a: b\n"
MARKDOWN = b"---\ntitle: Pump\ndate: 2026-01-01\n---\n# Pump\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n```py\nx = 1\n```\n"
CODE = b'"""Counts herons."""\n\n\nclass Pond:\n    def count(self):\n        return [h for h in self.herons]\n'
SOUND: dict[str, Callable[[], bytes]] = {
    "a.docx": docx_bytes,
    "a.pptx": pptx_bytes,
    "a.xlsx": xlsx_bytes,
    "a.pdf": lambda: pdf_bytes([[(24, 72, 700, "Pump"), (11, 72, 650, "Change the oil.")]] * 2),
    "a.html": lambda: HTML + b"<p>Change the oil every 500 hours of operation.</p></body></html>",
    "a.md": lambda: MARKDOWN,
    "a.rst": lambda: RST,
    "a.csv": lambda: b'part,price\n"Seal, blue",9.5\nValve,20\n',
    "a.json": lambda: json.dumps([{"title": "Pump", "body": "Oil", "n": [1, 2.5, None, True]}] * 3).encode(),
    "a.jsonl": lambda: b'{"title": "Pump"}\n{"title": "Valve", "n": {"a": [1]}}\n',
    "a.ipynb": lambda: json.dumps(
        {"cells": [{"cell_type": "markdown", "source": ["# Pump\n"]}], "nbformat": 4}
    ).encode(),
    "a.py": lambda: CODE,
    "a.txt": lambda: "Die Fähre fährt um 9 Uhr.\n".encode() * 9,
    "a": lambda: bytes(range(256)) * 8,
}
EVIL = [b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"<" * 2000, b"[" * 4000, b"{" * 4000, b"#" * 3000, b"\n" * 3000]
EVIL += [
    b"a\r" * 2000,
    b"|" * 3000,
    b'"' * 3001,
    b"&#x110000;",
    b"9" * 6000,
    b"\xed\xa0\x80",
    b"<!--",
    b"]]>",
    b"%PDF-",
]
EVIL += [b"PK\x03\x04", b"---\n&a [*a, *a]\n---\n", b"<table>" * 500, b"/Kids [2 0 R]", b"1e999999", b"`" * 3000]


def damaged(sound: bytes, dice: random.Random) -> bytes:
    """The document with something cut, flipped, doubled or pushed in; of a ZIP file also inside its parts."""
    if sound.startswith(b"PK\x03\x04") and dice.random() < 0.7:
        return _damaged_inside(sound, dice)
    data = bytearray(sound)
    for _ in range(dice.choice((1, 1, 2, 8, 40))):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(5):
            case 0 if dice.random() < 0.3:
                del data[at:]
            case 1 if at < len(data):
                data[at] = dice.randrange(256)
            case 2:
                data[at:at] = data[at : at + dice.randrange(200)]
            case 3:
                data[at:at] = dice.choice(EVIL)
            case 4:
                del data[at : at + dice.randrange(60)]
    return bytes(data)


def _damaged_inside(sound: bytes, dice: random.Random) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(sound)) as parts, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        chosen = dice.choice(parts.namelist())
        for name in parts.namelist():
            content = parts.read(name)
            if name == chosen and dice.random() < 0.2:
                continue
            archive.writestr(name, damaged(content, dice) if name == chosen and content else content)
    return made.getvalue()


def documents(seed: int) -> Iterator[tuple[str, bytes]]:
    """Names and bytes."""
    dice = random.Random(seed)
    for name, make in SOUND.items():
        sound = make()
        for _ in range(EACH):
            yield (name if dice.random() < 0.8 else dice.choice(list(SOUND))), damaged(sound, dice)


@asynccontextmanager
async def parsers() -> AsyncIterator[ParserPool]:
    pool = ParserPool(AT_ONCE, LIMITS)
    try:
        await pool.start()
        # A lane's first document waits for its imports, which are no fault of the document.
        await pool.parse(docx_bytes(), "a.docx")
        yield pool
    finally:
        await pool.aclose()


async def test_damaged_documents_end_as_text_or_with_a_reason() -> None:
    seed = random.randrange(2**32) if LONG else 5
    room = asyncio.Semaphore(AT_ONCE)
    async with parsers() as pool:
        zygotes = pool.zygote_pids

        async def parse(number: int, name: str, data: bytes) -> str:
            async with room:
                began = time.monotonic()
                where = f"seed {seed}, document {number}, {name}"
                reason, message = "text", ""
                try:
                    check(await pool.parse(data, name), where)
                except DocumentRejected as error:
                    reason, message = error.reason, error.message
                assert reason != "PARSER_CRASHED", where
                assert not [word for word in ("Traceback", ".py", "/") if word in message], where
                assert time.monotonic() - began < LIMITS.wall_seconds + 60, where
                return reason

        made = [parse(number, name, data) for number, (name, data) in enumerate(documents(seed))]
        ends = await asyncio.gather(*made)
        assert {"text", "UNREADABLE"} <= set(ends), ends
        assert pool.zygote_pids == zygotes
        assert (await pool.parse(b"# Fine\n\nStill here.\n", "fine.md")).text


def check(document: ParsedDocument, where: str) -> None:
    document.text.encode()
    position = 0
    for section in document.sections:
        assert 0 <= section.start <= section.end <= len(document.text), where
        assert section.start >= position, where
        position = section.start
