"""Text for benchmarks: passages cut from real documents, and real questions; from a folder that is given, or from the
sample corpus."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

SAMPLE = Path(__file__).resolve().parent.parent / "eval"
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9])")
TEXT_SUFFIXES = {".md", ".rst", ".txt", ".html"}
CHARACTERS_PER_TOKEN = 4.2
"""Of English prose under WordPiece."""


def sentences(folder: Path | None) -> list[str]:
    """Sentences of all text files below ``folder``, or of the sample corpus."""
    found: list[str] = []
    for path in sorted((folder or SAMPLE / "corpus").rglob("*")):
        if path.suffix in TEXT_SUFFIXES:
            text = " ".join(path.read_text(encoding="utf-8", errors="replace").split())
            found += [sentence for sentence in SENTENCE_END.split(text) if 40 <= len(sentence) <= 400]
    if len(found) < 100:
        raise SystemExit(f"{folder} holds too little text for a benchmark")
    return found


def questions() -> list[str]:
    """The questions of the golden set."""
    lines = (SAMPLE / "golden.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["question"] for line in lines if line]


def passages(pool: list[str], count: int, tokens: int, seed: int = 7) -> Iterator[str]:
    """``count`` different passages of about ``tokens`` tokens, each made of sentences of the pool in random order."""
    for number, text in enumerate(_texts(pool, count, tokens, seed)):
        yield f"Note {number}. {text}"[: int(tokens * CHARACTERS_PER_TOKEN)]


def documents(pool: list[str], count: int, tokens: int, seed: int = 7) -> Iterator[str]:
    """``count`` different Markdown documents of about ``tokens`` tokens, in paragraphs of some five sentences."""
    for number, text in enumerate(_texts(pool, count, tokens, seed)):
        parts = SENTENCE_END.split(text)
        paragraphs = [" ".join(parts[first : first + 5]) for first in range(0, len(parts), 5)]
        yield f"# Report {number}\n\n" + "\n\n".join(paragraphs) + "\n"


def _texts(pool: list[str], count: int, tokens: int, seed: int) -> Iterator[str]:
    chooser = random.Random(seed)
    for _ in range(count):
        parts: list[str] = []
        while sum(map(len, parts)) < tokens * CHARACTERS_PER_TOKEN:
            parts.append(chooser.choice(pool))
        yield " ".join(parts)
