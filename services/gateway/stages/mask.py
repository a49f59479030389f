"""Plans and answers without personal data, as the answer log keeps them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from corpus.privacy.redact import placeholder, redact
from gateway.domain import Answer
from gateway.plan import Plan, SuggestedFilter
from gateway.stages.understand.words import fold
from gateway.support import realigned

_MOST_AT_ONCE: Final = 1000
"""Characters that are masked in about two milliseconds."""


async def masked_entry(question: str, plan: Plan | None) -> tuple[str, Plan | None]:
    """Question and plan as they are kept. Long texts take too long for others on the event loop to wait for."""

    def both() -> tuple[str, Plan | None]:
        return redact(question).text, None if plan is None else masked(plan)

    size = len(question) + (0 if plan is None else sum(map(len, (plan.asked, plan.text, *plan.searches))))
    return both() if size <= _MOST_AT_ONCE else await asyncio.to_thread(both)


def unrevealed(answer: Answer, revealed: Sequence[tuple[str, str]]) -> Answer:
    """The answer with placeholders in place of what was put back into its text for its reader. Sentences that held
    some of it lose their support. Pure."""
    if not revealed:
        return answer
    names = dict(revealed)
    # The longest first: one value may be the beginning of another.
    either = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
    text = either.sub(lambda match: names[match.group()], answer.text)
    return replace(answer, text=text, support=realigned(answer.support, answer.text, text))


def masked(plan: Plan) -> Plan:
    """The plan with placeholders in everything that holds words of the question. Meanings stay: they are words of
    documents, and stand beside their citations. Pure; about two milliseconds per 1,000 characters."""
    redacted = {text: redact(text) for text in (plan.asked, plan.text, *plan.searches)}
    hidden = {
        fold(before[entity.start : entity.end]): placeholder(entity.kind)
        for before, after in redacted.items()
        for entity in after.entities
    }
    if not hidden:
        return plan
    folded = fold(plan.text)
    # The longest first: one value may be the beginning of another.
    either = re.compile("|".join(map(re.escape, sorted(hidden, key=len, reverse=True))))
    return replace(
        plan,
        asked=redacted[plan.asked].text,
        text=_without(redacted[plan.text].text, hidden, either),
        searches=tuple(_without(redacted[text].text, hidden, either) for text in plan.searches),
        filters=tuple(_masked_filter(each, folded, hidden) for each in plan.filters),
    )


def _without(text: str, hidden: Mapping[str, str], either: re.Pattern[str]) -> str:
    """A part of a question may lack the words by which a number is known: what is hidden in one text is in all."""
    without, count = either.subn(lambda match: hidden[match.group()], fold(text))
    return without if count else text


def _masked_filter(suggested: SuggestedFilter, folded: str, hidden: Mapping[str, str]) -> SuggestedFilter:
    """Filters are read from the folded question, and may hold no more than a piece of an entity: "4111" of a card."""
    for entity, name in hidden.items():
        if _overlap(suggested.words, entity, folded):
            conditions = tuple(replace(condition, value=name) for condition in suggested.conditions)
            return replace(suggested, words=name, conditions=conditions)
    return suggested


def _overlap(words: str, entity: str, folded: str) -> bool:
    """Whether any place of the one touches any place of the other."""
    return any(
        start < other + len(entity) and other < start + len(words)
        for start in _places(words, folded)
        for other in _places(entity, folded)
    )


def _places(part: str, text: str) -> list[int]:
    places, start = [], text.find(part)
    while start >= 0:
        places.append(start)
        start = text.find(part, start + len(part))
    return places
