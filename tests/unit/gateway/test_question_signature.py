"""Which questions may share an answer before their vectors are compared."""

from __future__ import annotations

import pytest
from eval.semantic_cache import HALVES, load_pairs, signature_of

from gateway.plan import QuestionClass
from gateway.stages.cache.entries import Row, entry_of, rows_bytes, rows_of
from gateway.stages.cache.signature import signature

SAME = [
    ("How do I turn on two-factor authentication?", "How can I enable two-factor authentication?"),
    ("How long is the warranty of a Q2?", "What is the length of the warranty of a Q2?"),
    ("How much does a Q2 probe cost?", "What is the price of a Q2 probe?"),
    ("Who pays for shipping when a probe is returned?", "When a probe is returned, who pays for shipping?"),
    ("How do I delete a user account?", "How can I remove a user account?"),
    ("Which plan includes SAML?", "What plan includes SAML?"),
]
DIFFERENT = [
    ("number", "What does error E412 mean?", "What does error E421 mean?"),
    ("number word", "What happens after two failures?", "What happens after three failures?"),
    ("unit", "How long is it kept, 10 days?", "How long is it kept, 10 weeks?"),
    ("percent", "Why is 5% taken off?", "Why is 5 taken off?"),
    ("version", "Is firmware 2.3 supported?", "Is firmware 2.30 supported?"),
    ("identifier", "What is max_retries for?", "What is max_retry for?"),
    ("identifier by case", "What is tarnCtl for?", "What is TarnCtl for?"),
    ("flag", "What does the flag --force do?", "What does the flag --no-force do?"),
    ("date", "Which incidents happened since 2025-06-01?", "Which incidents happened since 2025-07-01?"),
    ("month", "What were our sales in March?", "What were our sales in May?"),
    ("negation", "Which plans include SAML?", "Which plans don't include SAML?"),
    ("negation by a word", "Does it work with a fuse?", "Does it work without a fuse?"),
    ("quote", 'What does "connection reset" mean?', 'What does "connection lost" mean?'),
    ("name", "Who leads the team in Leeds?", "Who leads the team in Frankfurt?"),
    ("capital", "How do I clean my windows?", "How do I clean my Windows?"),
    ("opposite", "How do I switch it on at the gateway?", "How do I switch it off at the gateway?"),
    ("limit", "What is the minimum length?", "What is the maximum length?"),
    ("role", "What does the employer pay?", "What does the employee pay?"),
    ("direction", "Can I go from 2.3 to 3.1?", "Can I go from 3.1 to 2.3?"),
    ("subject and object", "May a guest see what a member wrote?", "May a member see what a guest wrote?"),
    ("two terms turned", "Is the invoice before the order?", "Is the order before the invoice?"),
    ("sent to and by", "Which invoices are sent by Acme?", "Which invoices are sent to Acme?"),
    ("what is asked for", "When is the probe calibrated?", "Where is the probe calibrated?"),
    ("how often", "How do we calibrate the probe?", "How often do we calibrate the probe?"),
    ("duty", "Which forms must be signed?", "Which forms may be signed?"),
    ("past", "What do we pay for hosting?", "What did we pay for hosting?"),
    ("who leads whom", "Who leads the platform team?", "Who does the platform team lead?"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_ways_to_ask_the_same_have_one_signature(one: str, other: str) -> None:
    assert signature_of(one) == signature_of(other) is not None


@pytest.mark.parametrize(("one", "other"), [pair[1:] for pair in DIFFERENT], ids=[pair[0] for pair in DIFFERENT])
def test_a_signature_tells_apart(one: str, other: str) -> None:
    assert signature_of(one) != signature_of(other)


def test_the_class_is_part_of_it() -> None:
    text = "How is the probe calibrated?"
    assert signature(text, QuestionClass.LOOKUP) != signature(text, QuestionClass.HOW_TO)


@pytest.mark.parametrize("text", ["", "Why?", "How is it?", "word " * 200, "sensor \ud800"])
def test_a_text_that_names_nothing_or_too_much_has_none(text: str) -> None:
    assert signature(text, QuestionClass.LOOKUP) is None


def test_the_pairs_are_enough_and_no_question_stands_in_both_halves() -> None:
    pairs = load_pairs()
    assert len(pairs) >= 150
    questions = [{pair.one for pair in pairs if pair.half == half} for half in HALVES]
    assert questions[0].isdisjoint(questions[1])
    for half in HALVES:
        assert sum(pair.should_hit for pair in pairs if pair.half == half) >= 40
        assert sum(not pair.should_hit for pair in pairs if pair.half == half) >= 70


def test_no_near_miss_of_the_pairs_has_the_signature_of_its_question() -> None:
    mistaken = [
        pair for pair in load_pairs() if not pair.should_hit and signature_of(pair.one) == signature_of(pair.other)
    ]
    assert mistaken == []


def test_rows_that_cannot_be_compared_are_like_nothing() -> None:
    import numpy as np

    vector = np.array([0.6, 0.8], np.float32)
    assert Row.of(vector, "e").similarity(vector) == pytest.approx(1.0)
    assert Row.of(np.array([1.0, 0.0, 0.0], np.float32), "e").similarity(vector) == -1.0
    assert Row.of(np.array([np.nan, 1.0], np.float32), "e").similarity(vector) == -1.0
    assert Row("no base64!", "e").similarity(vector) == -1.0
    assert Row.of(np.zeros(2, np.float32), "e").similarity(vector) == -1.0


def test_what_was_written_is_read_again_and_all_else_is_nothing() -> None:
    rows = (Row("AAAA", "answer/1"),)
    assert rows_of(rows_bytes(rows)) == rows
    assert rows_of(b"\x00") == rows_of(None) == ()
    assert entry_of(b"{}") is entry_of(None) is None
