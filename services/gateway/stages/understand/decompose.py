"""The parts of a comparison, and of a question that asks for several things: one search for each, besides the whole.

Rules cut the question's own words and write none of their own.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from gateway.plan import Plan, QuestionClass
from gateway.ports import UnderstandingRequest
from gateway.stages.understand.words import is_ruled, telling_words

MAX_PARTS: Final = 3

_NAME: Final = r"(?:[Tt]he )?[A-Z][\w'’.-]*(?: (?:(?:of|the|in|for|to|and the) )?[A-Z0-9(][\w'’.()-]*)*"
_NAMES: Final = re.compile(
    rf"(?P<head>.*?\W|)(?:[Bb]oth )?(?P<one>{_NAME}) (?:and|or|und|oder|et|ou|y|o|e) (?P<other>{_NAME})(?P<tail>.*)"
)
"""Two names side by side; the only pattern that minds capitals."""
_PAIRS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<head>.*?)\b(?:differences?|différences?|diferencias?|differenz[ae]|unterschiede?)\b (?:is there |hay )?"
        r"(?:between|zwischen|entre|tra|fra) (?P<one>.+?) (?:and|und|et|y|e) (?P<other>[^,?]+)(?P<tail>.*)",
        r"(?P<head>.*?)\bchanged between (?P<one>.+?) and (?P<other>[^,?]+)(?P<tail>.*)",
        r"(?P<head>.*?)\b(?P<one>[\w.-]+(?: [\w.-]+){0,2}?),? (?:compared (?:with|to)|versus|vs\.?|im vergleich zu) "
        r"(?P<other>[^,:?]+)(?P<tail>.*)",
        r"(?P<head>.*?)\bhow does (?P<one>.+?) compare (?:with|to) (?P<other>.+?)(?P<tail> (?:for|in|on|with) .*|\?|$)",
        r"(?P<head>.*?)\bcompare (?P<one>.+?) (?:and|with|to) (?P<other>[^,?]+)(?P<tail>.*)",
        r"(?P<head>.*,) (?P<one>(?:the |of the )?[\w -]+?) or (?P<other>[^,?]+)(?P<tail>\?.*|$)",
    )
)
_CLAUSES: Final = re.compile(
    r",? (?:and|und|et|y) (?=(?:in )?(?:what|which|who|whom|whose|how|when|where|why|wer|wie|wann|wo|warum|welche|"
    r"qui|quel|quand|comment|qu'est|quién|qué|cuál|cuándo|cómo)\b)|(?<=[.?!]) (?=\S)",
    re.IGNORECASE,
)


class Decompose:
    """Sets the searches besides the question."""

    name = "decompose"

    async def refine(self, plan: Plan, request: UnderstandingRequest) -> Plan:
        """The plan with the parts of its question."""
        parts = plan.searches
        if parts or not is_ruled(plan.text):
            return plan
        if plan.question_class is QuestionClass.COMPARISON:
            parts = compared(plan.text)
        elif plan.question_class is QuestionClass.MULTI_HOP:
            parts = steps(plan.text)
        return replace(plan, searches=parts)


def compared(text: str) -> tuple[str, ...]:
    """A search for each of two things that are compared, each with the words that hold for both; none when it can't be
    told what is compared."""
    for pattern in (*_PAIRS, _NAMES):
        found = pattern.match(text.strip())
        if found is None:
            continue
        one, other = found["one"].strip(" ,"), found["other"].strip(" ,?")
        shared = " ".join(telling_words(found["head"]) + telling_words(found["tail"]))
        # "the Standard and the Utility plan": what is said once is said of both.
        one = _completed(one, other)
        if telling_words(one) and telling_words(other):
            return tuple(f"{each} {shared}".strip() for each in (one, other))
    return ()


def steps(text: str) -> tuple[str, ...]:
    """The clauses that ask on their own; none when the question has but one.

    What one only describes ("the product whose manual …") is not searched for by itself: without the rest of its
    question it led away from the answer more often than to it.
    """
    clauses = [clause.strip(" ,") for clause in _CLAUSES.split(text.strip()) if telling_words(clause)]
    return tuple(dict.fromkeys(clauses))[:MAX_PARTS] if len(clauses) > 1 else ()


def _completed(one: str, other: str) -> str:
    shorter, longer = one.split(), other.split()
    if len(shorter) < len(longer) and longer[-1].islower():
        return " ".join((*shorter, longer[-1]))
    return one
