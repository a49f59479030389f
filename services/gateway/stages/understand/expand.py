"""Terms that stand beside the question's in the passages found for it: one more search, fused with the first.

Pseudo-relevance feedback (Lavrenko, Croft: "Relevance-Based Language Models", SIGIR 2001, in its simplest form). Terms
come from passages that the caller was shown to be allowed to read, and nowhere else; they are never shown or kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.domain import MAX_QUESTION_CHARACTERS, Passage
from gateway.plan import Plan
from gateway.ports import UnderstandingRequest
from gateway.stages.understand.words import FUNCTION_WORDS, words_of

_READ: Final = 3
_TERMS: Final = 5
_LEAST_CHARACTERS: Final = 4
_MOST_CHARACTERS: Final = 8_000
"""A passage is a few thousand characters; what is longer is a table, whose words stand beside everything."""


class Expand:
    """Marks the plan for a second search."""

    name = "expand"

    async def refine(self, plan: Plan, request: UnderstandingRequest) -> Plan:
        """The plan, to be expanded."""
        return replace(plan, expand=not plan.reply)


def expanded(text: str, passages: Sequence[Passage]) -> str:
    """The question with the terms that most of the best passages share, as many as a question may hold; the question
    itself when they share none."""
    asked = {word.casefold() for word in words_of(text)}
    seen: Counter[str] = Counter()
    for passage in passages[:_READ]:
        words = {word.casefold() for word in words_of(passage.text[:_MOST_CHARACTERS])}
        seen.update(word for word in words - asked - FUNCTION_WORDS if len(word) >= _LEAST_CHARACTERS)
    shared = [word for word, count in sorted(seen.items(), key=lambda item: (-item[1], item[0])) if count > 1]
    for term in shared[:_TERMS]:
        longer = f"{text} {term}"
        if len(longer) <= MAX_QUESTION_CHARACTERS:
            text = longer
    return text
