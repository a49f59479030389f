"""Chunking: spans hold, nothing is lost or doubled, nothing exceeds the window, and structure decides where to cut."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ingest.chunking import ChunkedText, Chunker, ChunkSettings, TokenCounter, contextual_text
from ingest.chunking.semantic import shift_strengths, topic_shifts
from ingest.chunking.structure import StructureSplitter
from ingest.parsing import ParsedDocument, Section, SectionKind
from ingest.parsing.errors import ParsingError
from ingest.parsing.registry import parse_document


def parse(text: str, name: str = "a.md") -> ParsedDocument:
    return parse_document(text.encode(), filename=name, language="en")


def sentences(topic: str, count: int) -> str:
    return " ".join(f"The {topic} number {n} is described here in a few plain words." for n in range(count))


@pytest.fixture(scope="module")
def splitter(counter: TokenCounter) -> StructureSplitter:
    return StructureSplitter(counter, ChunkSettings())


def check_laws(document: ParsedDocument, chunked: ChunkedText, counter: TokenCounter, title: str | None) -> None:
    covered = [False] * len(document.text)
    for number, chunk in enumerate(chunked.chunks):
        assert chunk.ordinal == number
        assert document.text[chunk.start : chunk.end] == chunk.text
        assert chunk.text == chunk.text.strip()
        assert chunk.token_count == counter.count(contextual_text(title, chunk.heading_path, chunk.text))
        assert chunk.token_count <= counter.window
        parent = chunked.sections[chunk.section_index]
        assert parent.start <= chunk.start
        assert chunk.end <= parent.end
        for position in range(chunk.start, chunk.end):
            assert not covered[position]
            covered[position] = True
    assert all(covered[n] or char.isspace() for n, char in enumerate(document.text))


PIECES = st.sampled_from(
    [
        "# Heading\n\n",
        "## Sub heading\n\n",
        "A short sentence. ",
        sentences("pump", 4),
        "\n\n",
        "\n",
        "word " * 60,
        "x" * 700,
        "漢字かな交じり文。" * 30,
        "| a | b |\n|---|---|\n" + "| 1 | two words |\n" * 30,
        "- item one\n- item two\n",
        "```\n" + "call(argument, 1)\n\n" * 40 + "```\n",
        "🙂" * 50,
        "e\u0301\u0302 ",
        "::",
        "1,234.56 " * 80,
        "\t\u3000 ",
    ]
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, min_size=1, max_size=14), name=st.sampled_from(["a.md", "a.rst", "a.txt", "a.py"]))
def test_every_law_holds_for_any_document(
    pieces: list[str], name: str, splitter: StructureSplitter, counter: TokenCounter
) -> None:
    try:
        document = parse("".join(pieces), name)
    except ParsingError:
        return
    chunked = splitter.split(document, document.title)
    check_laws(document, chunked, counter, document.title)
    assert splitter.split(document, document.title) == chunked


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=3000), title=st.text(max_size=400))
def test_every_law_holds_for_any_text_and_title(
    text: str, title: str, splitter: StructureSplitter, counter: TokenCounter
) -> None:
    if not text.strip():
        return
    document = ParsedDocument(text, None, "und", {}, (Section(("Überschrift " * 30,), 0, len(text)),), "text")
    check_laws(document, splitter.split(document, title), counter, title)


def test_a_document_that_fits_the_window_stays_one_chunk(splitter: StructureSplitter) -> None:
    document = parse("# One\n\n" + sentences("pump", 9) + "\n\n# Two\n\n" + sentences("seal", 9))
    (chunk,) = splitter.split(document, "A title").chunks
    assert 200 < chunk.token_count <= 256
    assert chunk.heading_path == ()


def test_a_document_just_over_the_window_is_cut_evenly(splitter: StructureSplitter) -> None:
    chunks = splitter.split(parse(sentences("pump", 22), "a.txt"), None).chunks
    assert len(chunks) == 2
    assert min(chunk.token_count for chunk in chunks) > 100


def test_headings_are_the_first_choice_of_a_boundary(splitter: StructureSplitter) -> None:
    text = "".join(f"# Part {n}\n\n{sentences('pump', 12)}\n\n" for n in range(4))
    chunks = splitter.split(parse(text), None).chunks
    assert [chunk.heading_path for chunk in chunks] == [(f"Part {n}",) for n in range(4)]


def test_small_sections_under_one_heading_are_merged(splitter: StructureSplitter) -> None:
    text = "# Guide\n\n" + "".join(f"## Step {n}\n\nTurn the screw number {n} to the left.\n\n" for n in range(40))
    chunks = splitter.split(parse(text), None).chunks
    assert min(chunk.token_count for chunk in chunks) > 100
    assert all(chunk.heading_path[:1] == ("Guide",) for chunk in chunks)


def test_a_table_that_fits_is_never_cut(splitter: StructureSplitter) -> None:
    table = "| part | price |\n|---|---|\n" + "".join(f"| seal {n} | {n} |\n" for n in range(16))
    document = parse(f"# Prices\n\n{sentences('price', 12)}\n\n{table}\n{sentences('part', 12)}\n")
    holders = [chunk for chunk in splitter.split(document, None).chunks if "|" in chunk.text]
    assert len(holders) == 1
    assert table.strip() in holders[0].text
    assert holders[0].kind is SectionKind.TABLE


def test_a_long_table_is_cut_between_rows(splitter: StructureSplitter) -> None:
    rows = "".join(f"| seal number {n} | {n} euros |\n" for n in range(120))
    chunks = splitter.split(parse(f"# Prices\n\n| part | price |\n|---|---|\n{rows}"), None).chunks
    assert len(chunks) > 3
    assert all(re.fullmatch(r"\|.*\|", line) for chunk in chunks[1:] for line in chunk.text.split("\n"))


def test_sentences_stay_whole_when_they_fit(splitter: StructureSplitter) -> None:
    chunks = splitter.split(parse(sentences("pump", 100), "a.txt"), None).chunks
    assert all(chunk.text.startswith("The ") and chunk.text.endswith(".") for chunk in chunks)


def test_parent_sections_are_bounded(splitter: StructureSplitter, counter: TokenCounter) -> None:
    document = parse("# Long\n\n" + sentences("pump", 500))
    chunked = splitter.split(document, None)
    assert len(chunked.sections) > 2
    for section in chunked.sections:
        assert counter.count(document.text[section.start : section.end]) <= 1_500
        assert section.heading_path == ("Long",)


def test_the_context_is_title_and_headings_without_what_the_text_begins_with() -> None:
    assert contextual_text("Guide", ("Guide", "Oil", "Check"), "Text.") == "Guide\nOil > Check\n\nText."
    assert contextual_text("Guide", ("Oil",), "## Oil\n\nText.") == "Guide\n\n## Oil\n\nText."
    assert contextual_text(None, (), "Text.") == "Text."
    assert len(contextual_text("t" * 5000, ("h" * 5000,) * 9, "Text.")) < 300


def test_pages_travel_with_chunks(splitter: StructureSplitter) -> None:
    text = sentences("pump", 40)
    middle = len(text) // 2
    document = ParsedDocument(
        text, None, "en", {}, (Section((), 0, middle, page=1), Section((), middle, len(text), page=2)), "pdf"
    )
    pages = [chunk.page for chunk in splitter.split(document, None).chunks]
    assert pages[0] == 1
    assert pages[-1] == 2


def topical(texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors that say which of three words a text is about."""
    rows = [[text.count(word) + 0.01 for word in ("pump", "music", "weather")] for text in texts]
    return np.array(rows, dtype=np.float32)


async def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    return topical(texts)


async def test_long_text_without_headings_is_cut_at_topic_shifts(counter: TokenCounter) -> None:
    parts = [sentences(topic, 42) for topic in ("pump", "music", "weather")]
    document = parse(" ".join(parts), "a.txt")
    plain = await Chunker(counter).chunk(document)
    semantic = await Chunker(counter, embed=embed).chunk(document)
    shifts = {len(parts[0]) + 1, len(parts[0]) + len(parts[1]) + 2}
    assert not shifts <= {chunk.start for chunk in plain.chunks}
    assert shifts <= {chunk.start for chunk in semantic.chunks}
    check_laws(document, semantic, counter, None)
    assert await Chunker(counter, embed=embed).chunk(document) == semantic


async def test_short_sections_are_not_sent_to_the_embedder(counter: TokenCounter) -> None:
    async def refuse(texts: Sequence[str]) -> NDArray[np.float32]:
        raise AssertionError("not needed")

    document = parse("".join(f"# Part {n}\n\n{sentences('pump', 30)}\n\n" for n in range(5)))
    assert await topic_shifts(document, 3_000, refuse) == {}


def test_a_text_on_one_topic_has_no_shifts() -> None:
    assert shift_strengths(topical(["pump"] * 40)) == []
    assert shift_strengths(topical(["pump"])) == []


def test_a_window_that_leaves_no_room_is_refused(counter: TokenCounter) -> None:
    with pytest.raises(ValueError, match="window"):
        StructureSplitter(counter, ChunkSettings(target_tokens=300))
