"""An index of before there were links."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import tantivy
from tests.contract.index_rows import GENERATION, everything, lexical_row, reader

from corpus.adapters.places import IndexPlace
from corpus.adapters.tantivy import TantivyLexicalIndex
from corpus.adapters.tantivy.schema import ACCESS, CHUNK_ID, FACETS, HEADLINE, KIND, LEVEL, ORIGIN, ROW, SOURCE, TEXT
from corpus.domain import AccessPolicy


def old_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field(CHUNK_ID, stored=True, tokenizer_name="raw", index_option="basic")
    for name in (ACCESS, LEVEL, FACETS):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in (TEXT, HEADLINE):
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="freq")
    builder.add_unsigned_field(ROW, fast=True)
    builder.add_bytes_field(ORIGIN, stored=True)
    builder.add_bytes_field(SOURCE, stored=True)
    return builder.build()


async def test_an_index_of_before_has_no_links_and_works_on_until_it_is_made_anew(tmp_path: Path) -> None:
    place = IndexPlace(GENERATION, "acme").directory(tmp_path, KIND)
    place.mkdir(parents=True)
    tantivy.Index(old_schema(), str(place))
    rows = [
        replace(lexical_row("seed", "river", document="one"), mentions=("weir",)),
        replace(lexical_row("named", "x", document="two"), names=("weir",)),
    ]
    async with TantivyLexicalIndex(tmp_path, writable=True) as index:
        await index.write(GENERATION, rows)
        await index.set_access(GENERATION, "acme", ["seed"], AccessPolicy(frozenset({"all", "few"})))
        assert not (await index.linked(GENERATION, [["river"]], 5, reader(), everything))[0]
        [[hit]] = await index.search(GENERATION, [["river"]], 5, reader())
        assert hit.chunk_id == "seed"
        await index.drop_tenant("acme")
        await index.write(GENERATION, rows)
        [[linked]] = await index.linked(GENERATION, [["river"]], 5, reader(), everything)
        assert linked.chunk_id == "named"
