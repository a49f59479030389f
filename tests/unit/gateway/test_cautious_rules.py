"""Rules that take something away from a search are cautious: no filter for a value that is only spoken of, and no
question that documents may answer is left unsearched."""

from __future__ import annotations

import time

import pytest

from gateway.plan import QuestionClass
from gateway.stages.understand.classify import classify
from gateway.stages.understand.filters import SuggestFilters
from gateway.stages.understand.vocabulary import FilterField, TenantVocabulary, Vocabulary

FIELDS = {
    "doc_type": FilterField(values={"runbook": ("runbooks",), "policy": ("policies", "privacy policy"), "privacy": ()}),
    "product": FilterField(values={"rill-q2": ("Rill Q2", "Q2"), "weir-g3": ("Weir G3", "G3")}),
}


def certain(text: str) -> list[str]:
    vocabulary = Vocabulary(tenants={"*": TenantVocabulary(fields=FIELDS)})
    found = SuggestFilters(vocabulary).suggest(text, "any")
    return [condition.value for each in found if each.certain for condition in each.conditions]


@pytest.mark.parametrize(
    "text",
    [
        "Does the recall concern not only Q2 but also Weir G3?",
        "Is it just Q2 or also Weir G3 that needs a charger?",
        "Is it only Q2 that needs a charger?",
        "Are there not only policies but also runbooks for travel?",
        "document type: runbook or policy?",
        "doc_type: runbook, product: Q2 or G3?",
        "It isn't only Q2, is it?",
        "Gilt das nicht nur für Q2?",
        "Ce n'est pas seulement Q2 ?",
        "No solo Q2",
        "Non solo i runbooks",
    ],
)
def test_a_value_that_is_denied_asked_about_or_not_the_only_one_is_no_certain_filter(text: str) -> None:
    assert "rill-q2" not in certain(text)
    assert "policy" not in certain(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Only runbooks: is Q2 offline?", "runbook"),
        ("I want only the Rill Q2", "rill-q2"),
        ("product: Q2 why is it offline?", "rill-q2"),
        ("No, only Q2", "rill-q2"),
        ("only the privacy policy", "policy"),
    ],
)
def test_a_value_that_alone_is_wanted_is_a_certain_filter(text: str, value: str) -> None:
    assert certain(text) == [value]


@pytest.mark.parametrize(
    "text",
    [
        "What is the purpose of life insurance?",
        "What is the meaning of life cycle state DEPRECATED?",
        "Can machines be returned within 30 days?",
        "Can a computer be taken home?",
        "Will robots be serviced on site?",
        "Who am I talking to when I call the hotline?",
        "Is there a god mode in the admin console?",
        "Do you want receipts for travel expenses?",
        "Do you like tabs? According to the style guide",
        "Do you believe in code review?",
        "Do people have feelings about the redesign according to the survey?",
        "Write a user story for login",
        "Recommend a recipe for CI",
        "Suggest a book from the library list",
        "Which football team does the company sponsor?",
        "Should I have children insured with me?",
        "Was sagt die Satzung zum Sinn des Lebens?",
        "Gibt es Gott sei Dank einen Ersatz?",
        "Schreibe eine Geschichte der Firma",
        "Quel temps fait gagner la mise à jour ?",
        "¿Qué tiempo hace que funciona la sonda?",
        "Che cosa dice la policy sul libero arbitrio?",
    ],
)
def test_what_documents_may_answer_is_searched_for(text: str) -> None:
    assert classify(text)[0].searched


@pytest.mark.parametrize(
    "text",
    [
        "What is the purpose of life?",
        "What's the meaning of our existence?",
        "Can machines think?",
        "Could a robot ever become conscious?",
        "Who am I?",
        "Do you love me?",
        "Does God exist?",
        "Can you write a short story about rain?",
        "Suggest some films to watch tonight",
        "Haben wir einen freien Willen?",
        "L'homme a-t-il un libre arbitre ?",
        "¿Tenemos libre albedrío?",
        "Abbiamo il libero arbitrio?",
    ],
)
def test_what_no_document_answers_still_is_out_of_scope(text: str) -> None:
    assert classify(text)[0] is QuestionClass.OUT_OF_SCOPE


def test_characters_that_stand_for_many_cost_no_more_than_others() -> None:
    started = time.thread_time()

    classify("\ufdfa" * 600)
    certain("\ufdfa" * 8192)

    assert time.thread_time() - started < 0.1
