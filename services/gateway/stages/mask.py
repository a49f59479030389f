"""Plans without personal data, as the answer log keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from corpus.privacy.redact import placeholder, redact
from gateway.plan import Plan, SuggestedFilter
from gateway.stages.understand.words import fold


def masked(plan: Plan) -> Plan:
    """The plan with placeholders in everything that holds words of the question. Meanings stay: they are words of
    documents, and stand beside their citations. Pure; about a millisecond per 1,000 characters."""
    redacted = {text: redact(text) for text in (plan.asked, plan.text, *plan.searches)}
    hidden = {
        fold(before[entity.start : entity.end]): placeholder(entity.kind)
        for before, after in redacted.items()
        for entity in after.entities
    }
    if not hidden:
        return plan
    folded = fold(plan.text)
    return replace(
        plan,
        asked=redacted[plan.asked].text,
        text=_without(redacted[plan.text].text, hidden),
        searches=tuple(_without(redacted[text].text, hidden) for text in plan.searches),
        filters=tuple(_masked_filter(each, folded, hidden) for each in plan.filters),
    )


def _without(text: str, hidden: Mapping[str, str]) -> str:
    """A part of a question may lack the words by which a number is known: what is hidden in one text is in all."""
    for entity, name in hidden.items():
        if entity in fold(text):
            text = fold(text).replace(entity, name)
    return text


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
