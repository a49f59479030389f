"""How answers are compared with those that people gave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.cli.evaluate_answers import GoldQuestion, figures, holds, read_answers
from headwater.cli.problems import CommandError
from headwater.types import Answer, AnswerOutcome


def answer(text: str, outcome: AnswerOutcome = AnswerOutcome.ANSWERED) -> Answer:
    return Answer(
        answer_id="a",
        outcome=outcome,
        text=text,
        citations=(),
        confidence=0.5,
        degraded=(),
        stages=(),
        trace_id="",
        generator="extractive",
    )


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("They gave up just 308 points [1].", "308"),
        ("It began on their own 24-yard line [1].", "24"),
        ("A Six-time winner [1] sang the national anthem [2].", "National Anthem,"),
        ("The Broncos won, 23–16 [1].", "23–16"),
        ("It serves the Old [1] Town [1].", "old town"),
    ],
)
def test_an_answer_holds_what_it_says_whatever_its_case_and_punctuation(text: str, accepted: str) -> None:
    assert holds(text, [accepted])


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("There were 1308 points [1].", "308"),
        ("There were many [308].", "308"),
        ("The town is old [1].", "old town"),
        ("Anything [1].", "the"),
    ],
)
def test_an_answer_does_not_hold_parts_of_words_marks_or_other_orders(text: str, accepted: str) -> None:
    assert not holds(text, [accepted])


def test_a_refusal_holds_nothing_and_counts_as_a_question() -> None:
    questions = [GoldQuestion("How many?", ["four"]), GoldQuestion("Who?", ["Ward", "T. J. Ward"])]
    given = [answer("four", AnswerOutcome.ABSTAINED), answer("It was recovered by Ward [1].")]

    report = figures(questions, given)

    assert report["questions"] == 2
    assert report["holds_gold"] == report["answered"] == 0.5
    assert report["words"] == 6
    assert report["confidence"] == [(0.5, True)]


def squad(path: Path, **answers: str) -> Path:
    entries = [{"id": key, "answers": [{"text": text}]} for key, text in answers.items()]
    path.write_text(json.dumps({"data": [{"paragraphs": [{"qas": entries}]}]}), encoding="utf-8")
    return path


def test_the_first_questions_with_answers_are_asked_in_the_order_of_the_collection(tmp_path: Path) -> None:
    path = squad(tmp_path / "answers.json", q3="three", q1="one", q4="four", other="x")
    queries = {"q1": "First?", "q2": "Second?", "q3": "Third?", "q4": "Fourth?"}

    assert [each.question for each in read_answers(path, queries, 2)] == ["First?", "Third?"]
    assert len(read_answers(path, queries, None)) == 3


@pytest.mark.parametrize("content", ["[]", "not JSON", '{"data": [{}]}'])
def test_a_file_in_another_layout_says_what_it_should_be(tmp_path: Path, content: str) -> None:
    path = tmp_path / "answers.json"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(CommandError, match="SQuAD"):
        read_answers(path, {"q1": "First?"}, None)


def test_a_missing_file_and_one_about_other_questions_are_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be read"):
        read_answers(tmp_path / "none.json", {"q1": "First?"}, None)
    with pytest.raises(CommandError, match="answers none"):
        read_answers(squad(tmp_path / "answers.json", other="x"), {"q1": "First?"}, None)
