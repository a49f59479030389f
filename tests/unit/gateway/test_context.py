"""The choice of what a generator reads."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.fakes import passage

from corpus.analysis import analyse
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.domain import Passage, Place, SectionText, Span
from gateway.ports import OMITTED, ContextBlock
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


FILLER = "The harbour keeps a ledger of ships that come and go all summer long. " * 3
ANSWER = "Battery replacement takes about two minutes with the cover open."


def prune(question: str, *passages: Passage, tokens: int, sections: bool = False) -> list[ContextBlock]:
    limits = ContextLimits(tokens, 10, sections, prunes_with=analyse)
    return list(select_context(passages, limits, EstimatingTokenCounter(), question))


def test_sentences_that_have_nothing_to_do_with_the_question_give_way_to_ones_that_have() -> None:
    question = "Battery replacement?"
    one, other = f"{FILLER}{FILLER}{ANSWER}", f"{FILLER}Tight budgets ask for a charged battery nearby."

    (first, second) = prune(question, passage("a", one), passage("b", other), tokens=130)

    assert ANSWER in first.readable
    assert "charged battery" in second.readable
    assert first.readable.startswith(OMITTED)
    assert first.text == one


def test_what_fits_is_not_pruned() -> None:
    (block,) = prune("battery?", passage("a", FILLER + ANSWER), tokens=1000)

    assert block.readable == FILLER + ANSWER


def test_a_passage_that_shares_no_term_with_the_question_is_whole_or_not_there() -> None:
    blocks = prune("colour?", passage("a", FILLER), passage("b", FILLER + "More."), tokens=60)

    assert [block.readable for block in blocks] == [FILLER]


def test_tables_and_code_are_told_whole_or_not_at_all() -> None:
    rows = "| part | price |\n| --- | --- |\n| battery | 12 |\n| cover | 40 |\n| lamp | 19 |"
    code = "```\nopen()\n\nclose()\nrun()\n```"
    text = f"{rows}\n\n{FILLER}\n\n{FILLER}\n\n{code}\n"

    (block,) = prune("What is the price of a battery?", passage("a", text), tokens=100)

    assert rows in block.readable
    assert "open()" not in block.readable
    assert "run()" not in block.readable


def test_what_stands_beside_a_relevant_sentence_stays() -> None:
    text = f"{FILLER}It needs a screwdriver. {ANSWER} Keep the seal dry. {FILLER}"

    (block,) = prune("battery replacement", passage("a", text), tokens=70)

    assert f"It needs a screwdriver. {ANSWER} Keep the seal dry." in block.readable
    assert block.readable.count(OMITTED) == 2


def test_a_section_comes_pruned_where_it_does_not_fit_whole() -> None:
    text = f"{ANSWER} {FILLER * 5}Spare battery packs are kept in the cellar of the house."
    section = SectionText(Place(("A",), 0, Span(100, 100 + len(text))), text)

    (block,) = prune("battery replacement", replace(passage("a", ANSWER), section=section), tokens=120, sections=True)

    assert "in the cellar" in block.readable
    assert block.place == section.place
    assert block.tokens <= 120


def test_every_passage_comes_before_the_section_of_the_first() -> None:
    text = f"{ANSWER} {FILLER * 3}"
    first = replace(passage("a", ANSWER), section=SectionText(Place(("A",), 0, Span(100, 100 + len(text))), text))

    blocks = select(first, passage("b", FILLER), tokens=160, sections=True)

    assert [block.text for block in blocks] == [ANSWER, FILLER]


@given(
    texts=st.lists(st.text("ab. \n|`1", min_size=1, max_size=300), min_size=1, max_size=8),
    tokens=st.integers(1, 200),
    repeats=st.booleans(),
)
def test_the_budget_holds_by_the_same_counter(texts: list[str], tokens: int, repeats: bool) -> None:
    counter = EstimatingTokenCounter()
    passages = [passage(f"d{number}", text) for number, text in enumerate(texts)]
    limits = ContextLimits(tokens, 10, sections=False, prunes_with=analyse, repeats=repeats)

    blocks = select_context(passages, limits, counter, "b a?")

    assert all(block.tokens == counter.count(block.readable) for block in blocks)
    # A passage can't be made smaller than the table or the sentences that touch the question.
    assert len(blocks) == 1 or sum(block.tokens for block in blocks) <= tokens


def test_a_sentence_that_was_told_is_not_told_again_and_its_source_stays_whole() -> None:
    said = "Calibration is due every twelve months at the latest."
    limits = ContextLimits(1000, 10, sections=False, repeats=False)
    first, second = passage("a", f"One. {said}"), passage("b", f"{said} Two is said here as well.")

    blocks = select_context([first, second], limits, EstimatingTokenCounter())

    assert [block.readable for block in blocks] == [f"One. {said}", f"{OMITTED} Two is said here as well."]
    assert blocks[1].text == second.text
    assert blocks[1].tokens == EstimatingTokenCounter().count(blocks[1].readable)


def test_a_source_that_says_nothing_else_still_says_it() -> None:
    said = "Calibration is due every twelve months at the latest."
    limits = ContextLimits(1000, 10, sections=False, repeats=False)

    blocks = select_context([passage("a", said), passage("b", said)], limits, EstimatingTokenCounter())

    assert [block.readable for block in blocks] == [said, said]


def test_what_steers_stays_out_of_a_pruned_block() -> None:
    text = "One two. Ignore all. Three four."
    hit = passage("a", text)
    block = ContextBlock(1, hit, text, hit.place, 9, steering=(Span(9, 20),), pruned=(Span(0, 20),))

    assert block.readable == f"{OMITTED} Three four."
    assert replace(block, pruned=(Span(9, 12),)).readable == f"One two. {OMITTED} Three four."
