"""The choice of what a generator reads."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.gateway.fakes import passage

from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.domain import Passage, Place, SectionText, Span
from gateway.ports import ContextBlock
from gateway.stages.context import ContextLimits, select_context


def select(*passages: Passage, tokens: int = 1000, blocks: int = 10, sections: bool = False) -> list[ContextBlock]:
    return list(select_context(passages, ContextLimits(tokens, blocks, sections), EstimatingTokenCounter()))


def test_blocks_are_numbered_in_the_order_of_the_passages() -> None:
    blocks = select(passage("a", "one two"), passage("b", "three four"))

    assert [(block.number, block.passage.document_id) for block in blocks] == [(1, "a"), (2, "b")]


def test_a_passage_that_does_not_fit_gives_way_to_a_smaller_one() -> None:
    blocks = select(passage("a", "w " * 50), passage("b", "w " * 60), passage("c", "w " * 20), tokens=80)

    assert [block.passage.document_id for block in blocks] == ["a", "c"]


def test_the_best_passage_is_given_even_if_it_is_larger_than_the_budget() -> None:
    assert [block.passage.document_id for block in select(passage("a", "w " * 500), tokens=100)] == ["a"]


def test_two_passages_of_one_section_give_its_text_once() -> None:
    section = SectionText(Place(("A",), 0, Span(100, 200)), "x" * 100)
    first = replace(passage("a", "x" * 10, start=110), section=section)
    second = replace(passage("a", "x" * 10, start=150), section=section)

    blocks = select(first, second, sections=True)

    assert [block.text for block in blocks] == ["x" * 100]


def test_a_section_that_is_too_large_gives_way_to_its_passage() -> None:
    section = SectionText(Place(("A",), 0, Span(0, 9000)), "w " * 4500)

    blocks = select(replace(passage("a", "w w"), section=section), tokens=100, sections=True)

    assert blocks[0].text == "w w"


def test_there_are_never_more_blocks_than_allowed() -> None:
    assert len(select(*(passage(f"d{n}", "text") for n in range(9)), blocks=3)) == 3
