"""Contract of ``LexicalIndex.linked``, over every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.contract.index_rows import EVERYBODY, GENERATION, everything, lexical_row, reader
from tests.contract.index_suite import opened

from corpus.adapters.elasticsearch.lexical_index import ElasticsearchLexicalIndex
from corpus.adapters.lexical_links import MOST_BEARERS, MOST_LINKED, SEEDS
from corpus.adapters.memory.lexical_index import MemoryLexicalIndex
from corpus.adapters.tantivy import TantivyLexicalIndex
from corpus.domain import AccessPolicy, FieldType, LexicalRow
from corpus.filters import parse_filter
from corpus.index_ports import MayBeShown
from corpus.ports import LexicalIndex, Prefilter

FEW = AccessPolicy(frozenset({"few"}))


@pytest.fixture(
    params=(
        MemoryLexicalIndex,
        TantivyLexicalIndex,
        pytest.param(ElasticsearchLexicalIndex, marks=pytest.mark.cluster),
    ),
    ids=lambda adapter: adapter.__name__,
)
async def ends(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[LexicalIndex, LexicalIndex]]:
    async with opened(request.param, tmp_path) as both:
        yield both


def row(chunk_id: str, body: str = "x", *, names: str = "", mentions: str = "", **other: Any) -> LexicalRow:
    """A row of a document of its own."""
    made = lexical_row(chunk_id, body, **{"document": f"of-{chunk_id}", **other})
    return replace(made, names=tuple(filter(None, [names])), mentions=tuple(filter(None, mentions.split(", "))))


async def linked(
    ends: tuple[LexicalIndex, LexicalIndex],
    *terms: str,
    k: int = 50,
    prefilter: Prefilter | None = None,
    shown: MayBeShown = everything,
) -> dict[str, float]:
    [found] = await ends[1].linked(GENERATION, [terms or ("river",)], k, prefilter or reader(), shown)
    return {each.chunk_id: each.score for each in found}


async def write(ends: tuple[LexicalIndex, LexicalIndex], *rows: LexicalRow) -> None:
    await ends[0].write(GENERATION, rows)


async def test_the_best_rows_lead_to_what_they_mention(ends: tuple[LexicalIndex, LexicalIndex]) -> None:
    await write(
        ends,
        row("seed", "river", mentions="two dollar radio, nowhere"),
        row("named", names="two dollar radio"),
        row("part", names="dollar radio"),
        row("other", mentions="two dollar radio"),
    )
    assert await linked(ends) == {"named": 1.0}
    assert await linked(ends, "unknown") == {}
    assert not any(await ends[1].linked(GENERATION, [(), ("river",)], 0, reader(), everything))


async def test_a_link_weighs_as_its_row_and_less_where_many_bear_the_name(
    ends: tuple[LexicalIndex, LexicalIndex],
) -> None:
    await write(
        ends,
        row("best", "river river weir", mentions="rare, common"),
        row("second", "river x y z", mentions="late"),
        row("a", names="common"),
        row("b", names="common", document="shared"),
        row("c", names="common", document="shared"),
        row("d", names="rare"),
        row("e", names="late"),
    )
    found = await linked(ends)
    assert next(iter(found)) == "d"
    assert (found["d"], found["a"], found["b"], found["c"]) == (1.0, 0.5, 0.5, 0.5)
    [hits] = await ends[1].search(GENERATION, [["river"]], 2, reader())
    assert found["e"] == pytest.approx(hits[1].score / hits[0].score)
    assert list(await linked(ends, k=1)) == ["d"]


async def test_a_document_does_not_lead_to_itself(ends: tuple[LexicalIndex, LexicalIndex]) -> None:
    await write(
        ends,
        row("seed", "river", names="rill q2", mentions="rill q2, weir g3", document="one"),
        row("same", names="weir g3", document="one"),
        row("namesake", names="rill q2", document="two"),
    )
    assert await linked(ends) == {}


async def test_neither_end_of_a_link_is_seen_by_who_may_not_read_it(ends: tuple[LexicalIndex, LexicalIndex]) -> None:
    await write(
        ends,
        row("secret", "river", mentions="open", access=FEW),
        row("seed", "river", mentions="closed"),
        row("o", names="open"),
        row("c", names="closed", access=FEW),
        row("level", names="closed", access=AccessPolicy(frozenset({"all"}), 2)),
        row("foreign", names="closed", tenant="globex"),
    )
    assert await linked(ends) == {}
    assert set(await linked(ends, prefilter=reader("all", "few"))) == {"o", "c"}
    assert set(await linked(ends, prefilter=reader("all", clearance=2))) == {"level"}
    assert await linked(ends, prefilter=Prefilter("acme", frozenset(), 5)) == {}


async def test_both_ends_of_a_link_pass_the_filter(ends: tuple[LexicalIndex, LexicalIndex]) -> None:
    only_a = parse_filter({"label": "a"}, {"label": FieldType.STRING})
    await write(
        ends,
        row("seed", "river", mentions="one, two", metadata={"label": "a"}),
        row("out", "river", mentions="three", metadata={"label": "b"}),
        row("1", names="one", metadata={"label": "a"}),
        row("2", names="two", metadata={"label": "b"}),
        row("3", names="three", metadata={"label": "a"}),
    )
    assert set(await linked(ends, prefilter=reader(row_filter=only_a))) == {"1"}


async def test_links_follow_writes_access_changes_and_deletes(ends: tuple[LexicalIndex, LexicalIndex]) -> None:
    await write(ends, row("seed", "river", mentions="one"), row("1", names="one"))
    await ends[0].set_access(GENERATION, "acme", ["seed", "1"], FEW)
    assert await linked(ends) == {}
    assert set(await linked(ends, prefilter=reader("few"))) == {"1"}
    await ends[0].set_access(GENERATION, "acme", ["seed", "1"], EVERYBODY)
    assert set(await linked(ends)) == {"1"}
    await write(ends, row("1", names="two"))
    assert await linked(ends) == {}
    await write(ends, row("1", names="one"))
    await ends[0].delete(GENERATION, "acme", ["seed"])
    assert await linked(ends) == {}


async def test_only_the_best_rows_are_followed_and_the_rows_that_fit_the_terms_come_first(
    ends: tuple[LexicalIndex, LexicalIndex],
) -> None:
    seeds = [row(f"s{each:02d}", "river " * (SEEDS + 2 - each), mentions=f"n{each}") for each in range(SEEDS + 1)]
    ends_of_links = [row(f"t{each:02d}", names=f"n{each}") for each in range(SEEDS + 1)]
    await write(ends, *seeds, *ends_of_links)
    ranked: Sequence[str] = [each.chunk_id for each in (await ends[1].search(GENERATION, [["river"]], 20, reader()))[0]]
    assert set(await linked(ends)) == {each.replace("s", "t") for each in ranked[:SEEDS]}
    crowd = [row(f"u{each:03d}", names="many", document="crowd") for each in range(MOST_LINKED + 20)]
    await write(ends, row("lead", "weir", mentions="many"), *crowd, row("fits", "weir", names="many", document="crowd"))
    found = await linked(ends, "weir", k=200)
    assert len(found) == MOST_LINKED
    assert "fits" in found


async def test_a_tenant_or_generation_without_rows_has_no_links(ends: tuple[LexicalIndex, LexicalIndex]) -> None:
    await write(ends, row("seed", "river", mentions="one"), row("1", names="one"))
    assert not (await ends[1].linked("g2", [["river"]], 5, reader(), everything))[0]
    assert not (await ends[1].linked(GENERATION, [["river"]], 5, reader(tenant="globex"), everything))[0]
    assert list(await ends[1].linked(GENERATION, [], 5, reader(), everything)) == []


def all_but(*hidden: tuple[str, int]) -> MayBeShown:
    async def shown(rows: Collection[tuple[str, int]]) -> Collection[tuple[str, int]]:
        return set(rows).difference(hidden)

    return shown


async def test_what_may_not_be_shown_leads_nowhere_and_changes_no_score(
    ends: tuple[LexicalIndex, LexicalIndex],
) -> None:
    await write(
        ends,
        row("held", "river river river", mentions="secret"),
        row("seed", "river x y", mentions="shared"),
        row("s", names="secret"),
        row("t", names="shared"),
        row("gone", names="shared"),
    )
    shown = all_but(("of-held", 1), ("of-gone", 1))
    assert await linked(ends, shown=shown) == {"t": 1.0}
    assert set(await linked(ends)) == {"s", "t", "gone"}


async def test_rows_of_versions_before_take_no_place_of_those_that_are_served(
    ends: tuple[LexicalIndex, LexicalIndex],
) -> None:
    before = [row(f"old{each}", "river river", mentions="old", document="one") for each in range(SEEDS)]
    now = row("now", "river x y", mentions="new", document="one", version=2)
    await write(ends, *before, now, row("o", names="old"), row("n", names="new"))
    assert await linked(ends, shown=all_but(("one", 1))) == {"n": 1.0}


async def test_a_name_that_many_documents_bear_leads_nowhere_and_crowds_out_no_other(
    ends: tuple[LexicalIndex, LexicalIndex],
) -> None:
    await write(
        ends,
        row("seed", "river", mentions="summary, rare, few"),
        *(row(f"few{each}", names="few") for each in range(MOST_BEARERS)),
        *(row(f"sum{each:03d}", "river bank", names="summary") for each in range(MOST_LINKED * 2)),
        row("wanted", names="rare"),
    )
    found = await linked(ends)
    assert found.pop("wanted") == 1.0
    assert found == {f"few{each}": pytest.approx(1 / MOST_BEARERS) for each in range(MOST_BEARERS)}
