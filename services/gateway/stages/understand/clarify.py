"""Asks back: a question that names too little, and passages that speak of several things.

Every meaning comes from a passage that retrieval returned to this caller: the long form of an acronym where passages
give several, else title or heading. It is cited, so that it goes when its source may no longer be read: each meaning
has a line, and what a title says of itself ("see [2].") decides nothing about that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain import Citation, Draft, Outcome, Passage, Retrieved
from gateway.plan import Meaning, Plan, QuestionClass
from gateway.stages.understand.words import telling_words, words_of

NAME: Final = "clarify"
_LOOKED_AT: Final = 10
_MOST: Final = 4
_FEW_WORDS: Final = 2
"""An acronym among more words than these has been made clear by them."""
_LONGEST_LABEL: Final = 120
_NEAR: Final = 0.5
"""A passage with less than this share of the best one's score is no meaning of the question."""
_ACRONYM: Final = re.compile(r"\b[A-Z][A-Z0-9]{1,7}(?=s?\b)")
_MOST_ACRONYMS: Final = 3
_MARK: Final = re.compile(r"\[\s*\d+\s*\]")
_LINE: Final = re.compile(r".* \[(?P<number>\d{1,3})\]")
_INTRODUCTION: Final = "Your question may mean several things. Which of these is it?"


@dataclass(frozen=True, slots=True)
class _Candidate:
    label: str
    passage: Passage


def ask_back(plan: Plan, retrieved: Retrieved) -> tuple[Plan, Draft] | None:
    """The plan with its meanings and the draft that asks; None when one thing is meant, as far as was found."""
    passages = retrieved.passages[:_LOOKED_AT]
    candidates = _long_forms(plan.text, passages) if len(telling_words(plan.text)) <= _FEW_WORDS else []
    if len(candidates) < 2 and plan.question_class is QuestionClass.AMBIGUOUS:
        candidates = _subjects(passages)
    if len(candidates) < 2:
        return None
    chosen = candidates[:_MOST]
    meanings = tuple(Meaning(each.label, number) for number, each in enumerate(chosen, start=1))
    citations = tuple(_citation(number, each.passage) for number, each in enumerate(chosen, start=1))
    lines = [f"{meaning.label} [{meaning.citation}]" for meaning in meanings]
    text = "\n".join((_INTRODUCTION, *lines))
    clear = replace(plan, meanings=meanings, question_class=QuestionClass.AMBIGUOUS)
    return clear, Draft(Outcome.CLARIFICATION, text, 0.0, citations)


def without_meanings(text: str, kept: Collection[int]) -> str:
    """A text that asks back, with the meanings whose citation is among ``kept``; empty when there are none.

    Goes by lines, not by sentences: a title may hold ends of sentences. A line of another form goes as well.
    """
    lines = [
        line
        for line in text.split("\n")
        if (found := _LINE.fullmatch(line)) is not None and int(found["number"]) in kept
    ]
    return "\n".join((_INTRODUCTION, *lines)) if lines else ""


def _long_forms(text: str, passages: Sequence[Passage]) -> list[_Candidate]:
    """What an acronym of the question stands for: "Service Level Agreement (SLA)", or "SLA (service level …)"."""
    found: dict[str, _Candidate] = {}
    for acronym in list(dict.fromkeys(_ACRONYM.findall(text)))[:_MOST_ACRONYMS]:
        for passage in passages:
            for long_form in _long_forms_in(acronym, passage.text):
                key = long_form.casefold()
                found.setdefault(key, _Candidate(f"{acronym}: {long_form}", passage))
        if len(found) > 1:
            break
        found.clear()
    return list(found.values())


def _long_forms_in(acronym: str, text: str) -> list[str]:
    letters = [letter for letter in acronym.casefold() if letter.isalpha()]
    forms = []
    for match in re.finditer(rf"\({re.escape(acronym)}s?\)", text):
        words = words_of(text[max(0, match.start() - 200) : match.start()].rsplit("\n", 1)[-1])[-len(letters) :]
        forms.append(words)
    for match in re.finditer(rf"\b{re.escape(acronym)} \((?P<form>[^()\n]{{3,120}})\)", text):
        forms.append(words_of(match["form"])[: len(letters)])
    return [
        " ".join(words)
        for words in forms
        if len(words) == len(letters) and all(w[0].casefold() == each for w, each in zip(words, letters, strict=True))
    ]


def _subjects(passages: Sequence[Passage]) -> list[_Candidate]:
    """The documents of the passages near the best one; where all are of one, its headings."""
    if not passages:
        return []
    best = max(passage.score for passage in passages)
    near = [passage for passage in passages if passage.score >= best * _NEAR]
    of_one = len({passage.document_id for passage in near}) == 1
    found: dict[str, _Candidate] = {}
    for passage in near:
        path = passage.place.heading_path
        label = path[-1] if of_one and path else passage.title or (path[0] if path else "")
        label = " ".join(_MARK.sub(" ", label).split())[:_LONGEST_LABEL]
        if label:
            found.setdefault(label.casefold(), _Candidate(label, passage))
    return list(found.values())


def _citation(number: int, passage: Passage) -> Citation:
    return Citation(
        number=number,
        key=passage.key,
        title=passage.title,
        uri=passage.uri,
        place=passage.place,
        quote=passage.text,
        ingest_trace_id=passage.ingest_trace_id,
        document_updated_at=passage.updated_at,
    )
