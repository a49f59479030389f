"""Text formats: headings, kinds, metadata and the tiling of sections."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.parsing import ParsedDocument, SectionKind
from ingest.parsing.errors import EmptyDocument, OutputTooLarge, ParsingError, UnreadableDocument, UnsupportedFormat
from ingest.parsing.limits import ParseLimits
from ingest.parsing.registry import parse_document


def sections(document: ParsedDocument, kind: SectionKind | None = None) -> list[tuple[tuple[str, ...], str]]:
    return [
        (section.heading_path, document.text[section.start : section.end])
        for section in document.sections
        if kind is None or section.kind is kind
    ]


def paths(document: ParsedDocument) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(section.heading_path for section in document.sections))


MARKDOWN = b"""---
title: Pump guide
version: 3.10
released: 2024-05-01
tags: [pumps, oil]
draft: false
weight: 2
---
Intro.

# Install *now*

Steps.

```python
# not a heading
```

Setext here
-----------

| a | b |
|---|---|
| 1 | 2 |

## Deep [link](http://x)

End.
"""


def test_markdown_headings_code_and_tables_become_sections() -> None:
    document = parse_document(MARKDOWN, filename="guide.md")
    assert paths(document) == [
        (),
        ("Install now",),
        ("Install now", "Setext here"),
        ("Install now", "Deep link"),
    ]
    assert [text.strip() for _, text in sections(document, SectionKind.CODE)] == ["```python\n# not a heading\n```"]
    assert [text.strip() for _, text in sections(document, SectionKind.TABLE)] == ["| a | b |\n|---|---|\n| 1 | 2 |"]
    assert sections(document)[1][1].startswith("# Install")


def test_front_matter_becomes_metadata_with_real_types() -> None:
    document = parse_document(MARKDOWN, filename="guide.md")
    assert document.title == "Pump guide"
    assert document.metadata == {
        "title": "Pump guide",
        "version": "3.10",
        "released": datetime(2024, 5, 1, tzinfo=UTC),
        "tags": ("pumps", "oil"),
        "draft": False,
        "weight": 2,
    }
    assert "draft:" not in document.text


def test_toml_front_matter_is_read_too() -> None:
    document = parse_document(b'+++\ntitle = "T"\ndate = 2024-05-01\n+++\nText.\n', filename="a.md")
    assert document.metadata["date"] == datetime(2024, 5, 1, tzinfo=UTC)


def test_front_matter_with_aliases_stays_text() -> None:
    document = parse_document(b"---\na: &x [1]\nb: *x\n---\nText.\n", filename="a.md")
    assert document.warnings == ("front_matter_ignored",)
    assert document.text.startswith("---")


RST = b"""PEP: 7777
Title: Matrix things
Author: Ada <a@x.org>, Bob
Created: 20-Feb-2014
Python-Version: 3.10

========
Overview
========

Like this::

    literal
    Heading
    -------

Details
=======

.. comment that nobody sees

=====  =====
A      B
=====  =====
1      2
=====  =====

Sub
---

.. code-block:: python

   x = 1

Text with :pep:`8`.
"""


def test_restructuredtext_levels_follow_the_order_of_adornments() -> None:
    document = parse_document(RST, filename="pep.rst")
    assert paths(document) == [(), ("Overview",), ("Overview", "Details"), ("Overview", "Details", "Sub")]
    assert [text.strip("\n") for _, text in sections(document, SectionKind.CODE)] == [
        "    literal\n    Heading\n    -------",
        ".. code-block:: python\n\n   x = 1",
    ]
    assert len(sections(document, SectionKind.TABLE)) == 1
    assert "nobody sees" not in document.text


def test_pep_headers_become_metadata() -> None:
    document = parse_document(RST, filename="pep.rst")
    assert document.title == "Matrix things"
    assert document.metadata["pep"] == 7777
    assert document.metadata["author"] == ("Ada <a@x.org>", "Bob")
    assert document.metadata["created"] == datetime(2014, 2, 20, tzinfo=UTC)
    assert document.metadata["python-version"] == "3.10"


PYTHON = b'''"""Module."""
import os


class Pump:
    """A pump."""

    @property
    def oil(self) -> int:
        return 1


# Starts it.
def start():
    def inner():
        pass
'''


def test_python_is_cut_at_classes_methods_and_functions() -> None:
    document = parse_document(PYTHON, filename="src/pump.py")
    assert paths(document) == [("pump.py",), ("pump.py", "Pump"), ("pump.py", "Pump", "oil"), ("pump.py", "start")]
    assert "# Starts it." in sections(document)[-1][1]
    assert document.metadata["language"] == "python"
    assert all(section.kind is SectionKind.CODE for section in document.sections)


@pytest.mark.parametrize(
    ("name", "code", "found"),
    [
        ("a.ts", "export class A {\n  run(x: number): void {\n  }\n}\nexport const f = (a) => {\n};\n", "A run f"),
        ("a.go", "package a\n\nfunc (s *S) Run() {\n}\n\ntype S struct {\n}\n", "Run S"),
        ("a.rs", "impl Pump {\n    pub fn run(&self) {\n    }\n}\nenum E { A }\n", "impl Pump run E"),
        ("a.java", "public class A {\n    public int run(int x) {\n    }\n}\n", "A run"),
        ("a.c", "#include <x.h>\n\nstatic int run(int x)\n{\n}\n", "run"),
        ("a.rb", "class A\n  def run\n  end\nend\n", "A run"),
        ("a.sh", "#!/bin/sh\nrun() {\n}\n", "run"),
        ("a.sql", "CREATE TABLE parts (id int);\nCREATE VIEW v AS SELECT 1;\n", "parts v"),
    ],
)
def test_other_languages_are_cut_at_definitions(name: str, code: str, found: str) -> None:
    document = parse_document(code.encode(), filename=name)
    assert " ".join(path[-1] for path in paths(document) if len(path) > 1) == found
    assert document.text == code


def test_a_script_without_extension_is_known_by_its_first_line() -> None:
    assert parse_document(b"#!/usr/bin/env python3\nprint(1)\n", filename="run").metadata["language"] == "python"


def test_csv_keeps_rows_and_carries_the_columns_in_the_heading_path() -> None:
    document = parse_document(b'name;price\nSeal;9.5\n"Val;ve";20\n', filename="p.csv")
    assert paths(document) == [("name | price",)]
    assert document.text == "| name | price |\n| --- | --- |\n| Seal | 9.5 |\n| Val;ve | 20 |\n\n"
    assert document.sections[0].kind is SectionKind.TABLE


def test_json_objects_are_flattened_to_key_paths() -> None:
    document = parse_document(b'{"server": {"port": 80, "hosts": ["a", "b"]}, "on": true}', filename="c.json")
    assert "server.port: 80" in document.text
    assert "server.hosts: a, b" in document.text
    assert "on: true" in document.text


def test_json_lines_make_one_section_per_record_and_prefer_prose_fields() -> None:
    records = [{"title": "One", "text": "First text.", "n": 1}, {"_id": "x7", "body": "Second text."}]
    data = "\n".join([*map(json.dumps, records), "{broken"]).encode()
    document = parse_document(data, filename="c.jsonl")
    assert paths(document) == [("One",), ("x7",)]
    assert "First text." in document.text
    assert "n: 1" in document.text
    assert document.warnings == ("broken_records_skipped",)


def test_notebooks_keep_prose_and_code_apart() -> None:
    cells = [{"cell_type": "markdown", "source": ["# Title\n", "Prose."]}, {"cell_type": "code", "source": "x = 1"}]
    document = parse_document(json.dumps({"nbformat": 4, "cells": cells}).encode(), filename="n.ipynb")
    assert [text.strip() for _, text in sections(document, SectionKind.CODE)] == ["x = 1"]
    assert paths(document) == [("Title",)]


def test_text_is_normalised_once_before_offsets_exist() -> None:
    document = parse_document("cafe\u0301\r\nm²\x00\x07\n".encode(), filename="a.md")
    assert document.text == "café\nm²\n"


def test_a_few_broken_bytes_are_repaired_with_a_warning() -> None:
    document = parse_document("Grüße aus Köln — schön \xff".encode() + b"\xff end", filename="a.txt")
    assert "\ufffd" in document.text
    assert document.warnings == ("invalid_utf8_replaced",)


def test_another_charset_is_detected() -> None:
    text = "Der Bär läuft über die Straße, während die Vögel fröhlich zwitschern und Käse fressen. " * 5
    document = parse_document(text.encode("cp1252"), filename="a.txt")
    assert "Straße" in document.text
    assert document.warnings


def test_utf16_with_a_byte_order_mark_is_text() -> None:
    assert parse_document("Hello world".encode("utf-16"), filename="a.txt").text == "Hello world"


def test_language_is_detected_for_text_long_enough_and_declared_wins() -> None:
    german = "Die Wartung der Pumpe ist alle fünfhundert Betriebsstunden vorgeschrieben und wird im Heft vermerkt."
    assert parse_document(german.encode(), filename="a.txt").language == "de"
    assert parse_document(german.encode(), filename="a.txt", language="fr-CA").language == "fr"
    assert parse_document(b"OK", filename="a.txt").language == "und"


@pytest.mark.parametrize(
    ("data", "name", "error"),
    [
        (b"", "a.txt", EmptyDocument),
        (b" \n\n\t", "a.md", EmptyDocument),
        (bytes(range(256)) * 10, "a.bin", UnsupportedFormat),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "a.png", UnsupportedFormat),
        (b"\x00\x01\x02" * 100, "a.pdf", UnreadableDocument),
        (b"{not json", "a.json", UnreadableDocument),
        (b"nothing\nhere", "a.jsonl", UnreadableDocument),
    ],
)
def test_bad_input_has_a_typed_reason(data: bytes, name: str, error: type[ParsingError]) -> None:
    with pytest.raises(error):
        parse_document(data, filename=name)


def test_deeply_nested_json_is_an_error_and_no_crash() -> None:
    with pytest.raises(ParsingError):
        parse_document(b"[" * 100_000, filename="a.json")


def test_text_over_the_output_limit_is_refused() -> None:
    with pytest.raises(OutputTooLarge):
        parse_document(b"word " * 100, filename="a.txt", limits=ParseLimits(max_output_chars=100))


@settings(max_examples=150)
@given(
    st.lists(
        st.sampled_from(
            [
                "# H",
                "## H",
                "text",
                "====",
                "----",
                "```",
                "| a | b |",
                "|---|---|",
                "",
                "    code",
                "- item",
                "::",
                "..",
                ".. note::",
                "+--+--+",
                "---",
                "<!--",
                "Title",
                "é\u0301",
                "\t",
                "=====  ====",
                "def f():",
                "class A {",
                "{",
            ]
        )
    ),
    st.sampled_from(["a.md", "a.rst", "a.txt", "a.py", "a.js", "a.csv", "a.yaml", "a.jsonl", "a.html"]),
)
def test_sections_tile_the_text_whatever_comes_in(lines: list[str], name: str) -> None:
    try:
        document = parse_document("\n".join(lines).encode(), filename=name, language="en")
    except ParsingError:
        return
    assert "".join(text for _, text in sections(document)) == document.text
