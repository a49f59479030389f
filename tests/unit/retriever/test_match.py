"""How much of a question a passage says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.retriever.fakes import ANN, World

from retriever.domain import Query, RerankMode
from retriever.stages.match import Places, match, places_in, places_of

QUESTION = ("reset", "pump", "pressure")


def read(*passages: str) -> list[Places]:
    return [places_in(frozenset(QUESTION), passage.split()) for passage in passages]


def test_a_passage_with_all_terms_in_order_matches_wholly_and_one_with_none_not_at_all():
    assert match(QUESTION, read("reset pump pressure", "hello world")) == pytest.approx([1.0, 0.0])


def test_terms_side_by_side_beat_the_same_terms_apart():
    together, one_between, apart, reversed_ = match(
        ("pump", "pressure"), read("pump pressure a b", "pump a pressure b", "pump a b pressure", "pressure pump")
    )
    assert together == one_between > apart == reversed_ > 0


def test_one_term_over_and_over_is_no_more_than_once():
    often, once = match(QUESTION, read("pump pump pump pump", "pump"))
    assert often == once


def test_a_term_that_few_passages_have_weighs_more_than_one_that_most_have():
    rare, common, *_ = match(("reset", "pump"), read("reset", "pump", "pump", "pump", "pump"))
    assert rare > common


def test_a_term_that_no_passage_has_does_not_count():
    assert match(("zebra", *QUESTION), read("reset pump pressure", "pump")) == match(
        QUESTION, read("reset pump pressure", "pump")
    )


def test_words_that_the_analyser_repeats_beside_their_stems_leave_phrases_whole():
    assert match(("reset", "resets", "pump"), read("reset pump", "pump reset")) == match(
        ("reset", "pump"), read("reset pump", "pump reset")
    )


@pytest.mark.parametrize("passages", [(), ("nothing",)])
def test_nothing_in_common_is_zero(passages: tuple[str, ...]):
    assert match(QUESTION, read(*passages)) == [0.0] * len(passages)


def test_title_and_headings_belong_to_a_passage():
    world = World()
    world.add("pump", text="nothing")
    stored = replace(world.chunks.by_id["pump#0"], title="Reset", language="python")
    assert places_of(frozenset({"reset", "guid", "noth"}), stored).keys() == {"reset", "guid", "noth"}


async def test_a_match_lifts_a_passage_and_the_explanation_says_by_how_much():
    world = World()
    world.ranking = replace(world.ranking, match_weight=0.5)
    world.add("vague", vector=0.9, lexical=3.0, text="pump pump pump")
    world.add("exact", vector=0.85, lexical=2.9, text="reset the pump pressure")
    world.add("far", vector=0.1, lexical=0.1, text="hello")
    query = Query("reset pump pressure", explain=True)
    result = await world.searches().search(ANN, query)
    assert [hit.head.key.document_id for hit in result.hits] == ["exact", "vague", "far"]
    for hit in result.hits:
        parts = hit.explanation
        assert parts is not None
        assert parts.adjusted == pytest.approx(parts.fused + parts.match)
        assert 0 <= hit.score <= 1
    plain = await world.searches().search(ANN, replace(query, rerank=RerankMode.OFF))
    assert [hit.head.key.document_id for hit in plain.hits] == ["vague", "exact", "far"]
    assert all(hit.explanation is not None and hit.explanation.match == 0 for hit in plain.hits)
