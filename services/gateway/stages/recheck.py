"""The last look at the sources: takes out of a draft what its reader may no longer see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chassis.identity import Caller
from gateway.domain import ABSTENTION_TEXT, Citation, Draft, Outcome, without_sentences_citing
from gateway.ports import Retrieval
from gateway.stages.understand.clarify import without_meanings
from gateway.support import AbstentionReason, realigned

REMOVED = "citations"
"""Name in ``degraded`` for an answer that lost citations between retrieval and its last check."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A text with its citations after the check. ``citations`` keeps the unreadable ones, withheld."""

    text: str
    citations: tuple[Citation, ...]
    changed: bool


async def check_citations(
    text: str,
    citations: Sequence[Citation],
    retrieval: Retrieval,
    caller: Caller,
    outcome: Outcome = Outcome.ANSWERED,
) -> Checked:
    """Asks for every citation whether the caller may read it now; sentences that rest on others are cut, and whole
    meanings of a text that asks back.

    Fails closed: when readability can't be known, this raises what retrieval raised.
    """
    if not citations:
        return Checked(text, (), changed=False)
    keys = list(dict.fromkeys(citation.key for citation in citations))
    readable = dict(zip(keys, await retrieval.readable(keys, caller), strict=True))
    gone = [citation.number for citation in citations if not readable[citation.key]]
    if not gone:
        return Checked(text, tuple(citations), changed=False)
    kept = tuple(citation if readable[citation.key] else citation.withheld() for citation in citations)
    if outcome is Outcome.CLARIFICATION:
        return Checked(without_meanings(text, [each.number for each in kept if each.readable]), kept, changed=True)
    return Checked(without_sentences_citing(text, gone), kept, changed=True)


async def recheck_draft(draft: Draft, retrieval: Retrieval, caller: Caller) -> Draft:
    """The draft without what became unreadable since retrieval; an abstention when nothing is left. Raises as
    ``check_citations``."""
    checked = await check_citations(draft.text, draft.citations, retrieval, caller, draft.outcome)
    if not checked.changed:
        return draft
    citations = tuple(citation for citation in checked.citations if citation.readable)
    degraded = (*draft.degraded, REMOVED)
    if draft.outcome is Outcome.FALLBACK and citations:
        # The text of a fallback says nothing about any source.
        return replace(draft, citations=citations, degraded=degraded)
    if not citations or not checked.text:
        return replace(
            draft,
            outcome=Outcome.ABSTAINED,
            text=ABSTENTION_TEXT,
            confidence=0.0,
            citations=(),
            degraded=degraded,
            support=(),
            abstention=AbstentionReason.UNREADABLE,
        )
    support = realigned(draft.support, draft.text, checked.text)
    return replace(draft, text=checked.text, citations=citations, degraded=degraded, support=support)
