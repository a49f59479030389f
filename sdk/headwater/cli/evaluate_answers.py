"""What answers say, against the ones that people gave: the half of ``eval`` that asks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from headwater.aio import AsyncClient
from headwater.cli.output import progress
from headwater.cli.problems import CommandError
from headwater.types import Answer, AnswerOutcome

_MARK = re.compile(r"\[\d+\]")
_WORD = re.compile(r"\w+")
_ARTICLES = frozenset({"a", "an", "the"})


@dataclass(frozen=True, slots=True)
class GoldQuestion:
    """A question with everything that people accept as its answer."""

    question: str
    accepted: Sequence[str]


def read_answers(path: Path, queries: Mapping[str, str], first: int | None) -> list[GoldQuestion]:
    """The first questions of a collection for which a file in SQuAD layout (Rajpurkar et al. 2016) holds answers.

    Raises CommandError when the file can't be read, or answers none of them.
    """
    try:
        articles = json.loads(path.read_text(encoding="utf-8"))["data"]
        accepted = {
            each["id"]: [answer["text"] for answer in each["answers"] if answer["text"].strip()]
            for article in articles
            for paragraph in article["paragraphs"]
            for each in paragraph["qas"]
        }
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"{path} is not in SQuAD layout: {error}.",
            hint="It is data[].paragraphs[].qas[] with id and answers[].text, as in xquad.en.json.",
        ) from None
    found = [GoldQuestion(text, accepted[query]) for query, text in queries.items() if accepted.get(query)]
    if not found:
        raise CommandError(f"{path} answers none of the collection's questions.")
    return found[:first]


def holds(text: str, accepted: Sequence[str]) -> bool:
    """Whether the text says one of the accepted answers, word for word; case, punctuation and articles don't count."""
    said = f" {' '.join(_words(_MARK.sub(' ', text)))} "
    return any(f" {' '.join(words)} " in said for each in accepted if (words := _words(each)))


async def measure_answers(client: AsyncClient, questions: Sequence[GoldQuestion]) -> dict[str, Any]:
    """Asks every question, and says how many answers hold one that is accepted, and how long they are."""
    answers = []
    with progress() as bars:
        bar = bars.add_task("asked     ", total=len(questions))
        for each in questions:
            answers.append(await client.ask(each.question))
            bars.advance(bar)
    return figures(questions, answers)


def figures(questions: Sequence[GoldQuestion], answers: Sequence[Answer]) -> dict[str, Any]:
    """The measures of a run; a question without an answer holds none. ``confidence`` has one pair per answer: how sure
    it was, and whether it holds an accepted one."""
    answered = [answer.outcome is AnswerOutcome.ANSWERED for answer in answers]
    held = [
        given and holds(answer.text, each.accepted)
        for each, answer, given in zip(questions, answers, answered, strict=True)
    ]
    texts = [_MARK.sub("", answer.text) for answer, given in zip(answers, answered, strict=True) if given]
    return {
        "questions": len(questions),
        "holds_gold": fmean(held),
        "answered": fmean(answered),
        "words": fmean(len(text.split()) for text in texts) if texts else 0.0,
        "citations": fmean(len(answer.citations) for answer in answers),
        "confidence": [
            (answer.confidence, right) for answer, given, right in zip(answers, answered, held, strict=True) if given
        ],
    }


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.casefold()) if word not in _ARTICLES]
