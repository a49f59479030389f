"""Follow-up questions: what stands alone stays as it is, what points back is completed, and neither takes long."""

from __future__ import annotations

import time

import pytest
from tests.unit.gateway.fakes import passage

from gateway.domain import MAX_QUESTION_CHARACTERS
from gateway.plan import Turn
from gateway.stages.understand.expand import expanded
from gateway.stages.understand.rewrite import stand_alone

BATTERY = (Turn("How long does the battery of the Rill Q2 last?"),)


@pytest.mark.parametrize(
    "text",
    [
        "Who leads the IT department?",
        "Is IT on call at night?",
        "¿Cuál es el horario de la oficina?",
        "Qual è il prezzo del piano Pro?",
        "Können Sie mir die Urlaubsregelung erklären?",
        "Wie erreiche ich Sie und Ihre Kollegen?",
        "Wie hoch darf die Rechnung sein?",
        "Wie ist das Wetter in Berlin",
        "Welche Frist gilt, wenn es um Reisekosten geht?",
        "Quel est le prix, et y a-t-il une remise ?",
        "Quels sont les délais quand il s'agit de remboursements ?",
        "Gibt es eine Firma, wenn sie haftet?",
        "Wer ist das Ansprechteam?",
        "Is it possible to export invoices as PDF?",
        "Is it really necessary for staff to sign this policy?",
        "What do I do when it comes to refunds?",
        "How long does it take to get a refund?",
        "Who approves travel, and what if it exceeds the budget?",
        "Can employees carry over their leave?",
        "Does the Weir G3 keep its settings?",
        "What is the fee that is charged for late returns?",
        "Does that policy cover dentists?",
        "parental leave policy",
        "List all products",
        "And list all products",
        "Reset VPN password",
        "Explain error E412",
        "E-mail retention policy",
    ],
)
def test_a_question_of_its_own_is_left_as_it_is(text: str) -> None:
    assert stand_alone(text, BATTERY) == text


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("How much does it cost?", "How much does Rill Q2 cost?"),
        ("How does it compare to the Weir G3?", "How does Rill Q2 compare to the Weir G3?"),
        ("Is it possible to clean it?", "Is it possible to clean Rill Q2?"),
        ("What happens if it fails?", "What happens if Rill Q2 fails?"),
        ("How long does its warranty last?", "How long does Rill Q2's warranty last?"),
        ("Wie lange hält sie?", "Wie lange hält Rill Q2?"),
        ("Was kostet das?", "Was kostet Rill Q2?"),
        ("in winter", "How long does the battery of the Rill Q2 last, in winter?"),
        ("And the Rill F4?", "How long does the battery of the Rill F4 last?"),
    ],
)
def test_a_question_that_points_back_is_completed(text: str, rewritten: str) -> None:
    assert stand_alone(text, BATTERY) == rewritten


@pytest.mark.parametrize("text", ["And with firmware 2.3?", "Why?", "How long is its battery?", "in winter"])
def test_turns_without_a_question_complete_nothing(text: str) -> None:
    assert stand_alone(text, (Turn(""), Turn("  ", "280 euros."), Turn("?"))) == text


@pytest.mark.parametrize("character", ["a", "\ufdfa"])
def test_a_long_history_takes_no_time(character: str) -> None:
    words = " ".join(character + "qq" + "abcdefghijklmnopqrstuvwxyz"[place % 26] for place in range(140))
    history = tuple(Turn(f"and {words}"[:590]) for _ in range(20))
    started = time.thread_time()

    text = stand_alone("and " + " ".join(str(place % 10) for place in range(295)), history)

    assert time.thread_time() - started < 0.3
    assert len(text) <= 1300


def test_terms_of_the_first_passages_never_make_a_question_too_long() -> None:
    passages = [passage(each, "gateway firmware") for each in ("a", "b")]

    assert expanded("q" * MAX_QUESTION_CHARACTERS, passages) == "q" * MAX_QUESTION_CHARACTERS
    almost = "q" * (MAX_QUESTION_CHARACTERS - 10)
    assert expanded(almost, passages) == f"{almost} firmware"
    assert expanded("sensors", passages) == "sensors firmware gateway"
