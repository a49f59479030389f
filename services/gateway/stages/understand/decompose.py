"""The parts of a comparison, and of a question that asks for several things: one search for each, besides the whole.

Rules cut the question's own words and write none of their own.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from gateway.plan import Plan, QuestionClass
from gateway.ports import UnderstandingRequest
from gateway.stages.understand.words import MAX_RULED_CHARACTERS, telling_words

MAX_PARTS: Final = 3

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
_INNER: Final = re.compile(
    r"\b(?:of|by|in|for|to|from|does) (?P<inner>(?:the|a|an) (?:\w+ ){1,3}(?:that|which|who|whose|where) .+)",
    re.IGNORECASE,
)


class Decompose:
    """Sets the searches besides the question."""

    name = "decompose"

    async def refine(self, plan: Plan, request: UnderstandingRequest) -> Plan:
        """The plan with the parts of its question."""
        parts = plan.searches
        if parts or len(plan.text) > MAX_RULED_CHARACTERS:
            return plan
        if plan.question_class is QuestionClass.COMPARISON:
            parts = compared(plan.text)
        elif plan.question_class is QuestionClass.MULTI_HOP:
            parts = steps(plan.text)
        return replace(plan, searches=parts)


def compared(text: str) -> tuple[str, ...]:
    """A search for each of two things that are compared, each with the words that hold for both; none when it can't be
    told what is compared."""
    for pattern in _PAIRS:
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
    """The clauses that ask on their own, and the inner part of one that asks about something it only describes."""
    clauses = [clause.strip(" ,") for clause in _CLAUSES.split(text.strip()) if telling_words(clause)]
    parts = clauses if len(clauses) > 1 else []
    inner = _INNER.search(text)
    if inner is not None and len(telling_words(inner["inner"])) > 1:
        parts.append(inner["inner"].strip(" ?"))
    return tuple(dict.fromkeys(parts))[:MAX_PARTS]


def _completed(one: str, other: str) -> str:
    shorter, longer = one.split(), other.split()
    if len(shorter) < len(longer) and longer[-1].islower():
        return " ".join((*shorter, longer[-1]))
    first = shorter[0]
    if len(longer) < len(shorter) and first.islower():
        return one
    return one
