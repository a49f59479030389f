"""What an answer may hold: links to allowed hosts only, and nothing that reads as a call of a tool.

The gateway gives no generator a tool to call. Output in the form of a call was made for a program further on, and is
refused as a whole.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain import FALLBACK_TEXT, CitationSettled, Draft, Outcome, TextPiece
from gateway.plan import Plan
from gateway.ports import OMITTED, ContextBlock
from gateway.stages.guard.links import LinkRules, clean, hosts_of, without_foreign_links
from gateway.stages.guard.retrieved import steers
from gateway.stages.guard.units import Unit, Units

LINKS_REMOVED: Final = "links"
"""Name in ``degraded`` for an answer that lost links."""
TOOL_CALL: Final = "tool_call"
"""Name in ``degraded`` for an answer that was refused because it read as a call of a tool."""

_TOOL_CALL: Final = re.compile(
    r"<\|?/?(?:tool_?calls?|function_?calls?|tool_use|antml:invoke|invoke|python_tag|tool_response)\b"
    r"|<function[=\s]\w|\[/?TOOL_(?:CALLS?|REQUEST)\]|<\|python_tag\|>"
    r"|[\"'](?:tool_calls?|function_call|tool_use|tool_choice)[\"']\s*+:"
    r"|\{\s*+[\"'](?:name|function|tool|tool_name|action|recipient_name)[\"']\s*+:\s*+[\"'][\w.\-:/]+[\"']\s*+,"
    r"\s*+[\"'](?:arguments|parameters|args|input|tool_input|action_input|kwargs)[\"']\s*+:"
    r"|^[ \t]{0,20}Action[ \t]{0,4}:[ \t]{0,20}\S[^\n]{0,400}\n[ \t]{0,20}Action Input[ \t]{0,4}:"
    r"|```\s*+(?:tool_code|tool_call|tool_use|function_call)\b",
    re.IGNORECASE | re.MULTILINE,
)
_LOOKED_BACK_ON: Final = 1_000
"""Characters of text that was told already which may be the beginning of a call."""


@dataclass(frozen=True, slots=True)
class OutputGuard:
    """The stage. ``hosts`` may be linked to by every answer, besides the hosts of its own sources' addresses."""

    hosts: frozenset[str]

    def rules(self, blocks: Sequence[ContextBlock]) -> LinkRules:
        """What an answer from these blocks may link to."""
        return LinkRules(self.hosts | hosts_of(block.passage.uri for block in blocks))

    def asked_back(self, plan: Plan, draft: Draft) -> tuple[Plan, Draft]:
        """A draft that no generator wrote and the plan with its meanings, checked: their labels are titles and headings
        of sources. A label that steers is withheld from both."""
        rules, text, meanings = LinkRules(self.hosts | hosts_of(each.uri for each in draft.citations)), draft.text, []
        for meaning in plan.meanings:
            label = without_foreign_links(meaning.label, rules)[0]
            if steers(meaning.label):
                label, text = OMITTED, text.replace(meaning.label, OMITTED)
            meanings.append(replace(meaning, label=label))
        return replace(plan, meanings=tuple(meanings)), checked(replace(draft, text=text), rules)

    async def guarded(
        self,
        pieces: AsyncGenerator[TextPiece | CitationSettled | Draft, None],
        blocks: Sequence[ContextBlock],
    ) -> AsyncGenerator[TextPiece | CitationSettled | Draft, None]:
        """The same as a generator tells it, checked before any of it is passed on; text is told by whole sentences
        and lines, for a link may come in pieces. Keeps the promise of ``Generator.generate``."""
        rules = self.rules(blocks)
        held = _HeldText(rules)
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, TextPiece):
                    for text in held.feed(piece.text):
                        yield TextPiece(text)
                elif isinstance(piece, Draft):
                    for text in held.rest():
                        yield TextPiece(text)
                    yield checked(piece, rules)
                elif not held.refused:
                    yield piece


def checked(draft: Draft, rules: LinkRules) -> Draft:
    """The draft without foreign links; a fallback if it reads as a call of a tool."""
    if calls_a_tool(draft.text):
        return replace(
            draft, outcome=Outcome.FALLBACK, text=FALLBACK_TEXT, confidence=0.0, degraded=(*draft.degraded, TOOL_CALL)
        )
    text, removed = without_foreign_links(draft.text, rules)
    return replace(draft, text=text, degraded=(*draft.degraded, LINKS_REMOVED) if removed else draft.degraded)


def calls_a_tool(text: str) -> bool:
    """Whether ``text`` holds what a program may take for a call: the forms of common models and agents."""
    return _TOOL_CALL.search(text) is not None


class _HeldText:
    """Text on its way to a reader."""

    def __init__(self, rules: LinkRules) -> None:
        self._rules = rules
        self._units = Units()
        self._before = ""
        self.refused = False

    def feed(self, piece: str) -> Sequence[str]:
        """What can be told after the next piece."""
        return self._told(self._units.feed(piece))

    def rest(self) -> Sequence[str]:
        """What was held back when no more pieces come."""
        return self._told(self._units.rest())

    def _told(self, units: Sequence[Unit]) -> Sequence[str]:
        told = []
        for unit in units:
            self.refused = self.refused or calls_a_tool(self._before + unit.text)
            if self.refused:
                break
            self._before = (self._before + unit.text)[-_LOOKED_BACK_ON:]
            told.append(clean(unit, self._rules)[0])
        return told
