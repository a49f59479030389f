"""What the measures say of answers whose worth is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from eval import report
from eval.gate import judge
from eval.golden_set import AnswerableCase, Passage
from eval.measures import Result, carries, of_answer, of_search, of_stages, unsupported

from headwater import Answer, AnswerOutcome, Citation, Hit, SearchResult
from headwater.types import Location, Stage

QUOTE = "The battery of a Q2 lasts eighteen months."
CASE = AnswerableCase(
    "q", "How long?", "lookup", frozenset(), (Passage("manual", QUOTE),), (("eighteen months", "18 months"),), None
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = Location((), 0, 0, 0)


def hit(document_id: str, text: str) -> Hit:
    return Hit(document_id, 1, "c", 1.0, 1.0, text, "", "", "", PLACE, {}, NOW, None, "", None)


def answer(text: str, *quotes: str, outcome: AnswerOutcome = AnswerOutcome.ANSWERED) -> Answer:
    citations = tuple(
        Citation(number, "manual", "c", "", "", quote, PLACE, NOW, "", True) for number, quote in enumerate(quotes, 1)
    )
    return Answer("a", outcome, text, citations, 1.0, (), (), "", "extractive")


def same(one: str, other: str) -> float:
    return float(one == other)


@pytest.mark.parametrize(("rank", "values"), [(1, (1, 1)), (5, (1, 0.2)), (6, (0, 1 / 6)), (11, (0, 0))])
def test_search_is_measured_by_the_rank_of_the_passage(rank: int, values: tuple[float, float]) -> None:
    hits = [hit("manual", "Something else.")] * (rank - 1) + [hit("manual", f"First.\n{QUOTE}  Last.")]
    measured = of_search(CASE, SearchResult(tuple(hits), (), (), "", False))
    assert (measured["hit@5"], measured["rr@10"]) == pytest.approx(values)


def test_the_passage_in_another_document_is_no_hit() -> None:
    assert of_search(CASE, SearchResult((hit("other", QUOTE),), (), (), "", False))["hit@5"] == 0


def test_a_sentence_with_its_quote_is_faithful_complete_and_precise() -> None:
    values = of_answer(CASE, answer("The battery of a Q2 lasts eighteen months. [1]", QUOTE), same)
    names = ("answered", "complete", "faithfulness", "citation_precision", "citation_recall")
    assert [values[name] for name in names] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("marked", ["lasts eighteen months. [1]", "lasts eighteen months [1]."])
def test_marks_may_stand_on_either_side_of_the_full_stop(marked: str) -> None:
    assert of_answer(CASE, answer(f"The battery of a Q2 {marked}", QUOTE), same)["faithfulness"] == 1


def test_what_comes_after_the_last_mark_is_carried_by_nothing() -> None:
    wrong = answer("The battery of a Q2 lasts eighteen months. [1] It explodes at noon.", QUOTE)
    assert of_answer(CASE, wrong, same)["faithfulness"] == 0.5
    assert unsupported(wrong) == ["It explodes at noon."]


def test_a_number_within_a_word_counts_as_one() -> None:
    assert not carries("The limit of the buffer is 256MB.", "The limit of the buffer is 512MB.")


def test_another_number_than_the_quotes_is_not_faithful() -> None:
    wrong = answer("The battery of a Q2 lasts 24 months, eighteen months it lasts. [1]", QUOTE)
    assert of_answer(CASE, wrong, same)["faithfulness"] == 0
    assert unsupported(wrong) == ["The battery of a Q2 lasts 24 months, eighteen months it lasts."]


def test_a_citation_that_carries_nothing_costs_precision_only() -> None:
    values = of_answer(CASE, answer("The battery of a Q2 lasts eighteen months. [1] [2]", QUOTE, "It is grey."), same)
    assert (values["citation_precision"], values["faithfulness"]) == (0.5, 1)


def test_two_halves_of_one_sentence_are_both_precise() -> None:
    sentence = "The battery of a Q2 lasts eighteen months and the probe of an F4 lasts nine years. [1] [2]"
    values = of_answer(CASE, answer(sentence, QUOTE, "and the probe of an F4 lasts nine years"), same)
    assert (values["citation_precision"], values["faithfulness"]) == (1, 1)


def test_an_answer_without_citations_is_carried_by_nothing() -> None:
    values = of_answer(CASE, answer("It lasts eighteen months."), same)
    assert (values["faithfulness"], values["citation_precision"], values["citation_recall"]) == (0, 0, 0)
    assert values["complete"] == 1


def test_what_searches_and_writes_is_no_stage_of_trust() -> None:
    stages = (Stage("retrieve", 9.0), Stage("understand", 1.0), Stage("generate", 20.0), Stage("verify", 2.5))
    assert of_stages(replace(answer("Yes. [1]", QUOTE), stages=stages)) == {"trust_ms": 3.5}


def test_a_refusal_is_not_answered_and_says_nothing_else() -> None:
    assert of_answer(CASE, answer("", outcome=AnswerOutcome.ABSTAINED), same) == {"answered": 0.0}


def test_the_report_shows_every_figure_and_escapes_what_was_answered(tmp_path) -> None:
    results = [
        Result(
            "q1", "lookup", {"hit@5": 1.0, "answered": 1.0, "search_ms": 5.0, "ask_ms": 50.0}, "<script>alert</script>"
        ),
        Result("u1", "unanswerable", {"refused": 1.0}),
    ]
    path = tmp_path / "report.html"
    report.write(path, results, judge(results, None))
    text = path.read_text()
    assert "not passed" in text, "measures with a floor are missing"
    assert text.count("<svg") == 3
    assert "<script" not in text
    assert "&lt;script&gt;" in text
