"""How many passages are worth reading: few for one fact, many for several."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from gateway.plan import Plan, QuestionClass
from gateway.ports import UnderstandingRequest
from gateway.stages.understand.words import ruled, telling_words

FEW: Final = 3
SOME: Final = 10
MANY: Final = 20

_SEVERAL_THINGS: Final = (QuestionClass.COMPARISON, QuestionClass.MULTI_HOP)
_LISTS: Final = re.compile(
    r"\b(all|every|each|list|which \w+s|overview|summar\w+|alle|liste|tous|toutes|todos|todas|tutti|tutte)\b",
    re.IGNORECASE,
)
_SIMPLE_WORDS: Final = 6


class AdaptiveDepth:
    """Sets k by class and length."""

    name = "depth"

    async def refine(self, plan: Plan, request: UnderstandingRequest) -> Plan:
        """The plan with its k."""
        return replace(plan, k=depth_of(plan))


def depth_of(plan: Plan) -> int:
    """3 for a short question after one fact, 20 for several facts or a list, else 10."""
    text = ruled(plan.text)
    if plan.question_class in _SEVERAL_THINGS or plan.searches or _LISTS.search(text):
        return MANY
    if plan.question_class is QuestionClass.LOOKUP and len(telling_words(text)) <= _SIMPLE_WORDS:
        return FEW
    return SOME
