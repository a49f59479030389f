"""The use case of reading an answer again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from chassis.errors import NotFound
from chassis.identity import Caller, Scope
from corpus.privacy.redact import redact
from gateway.domain import (
    LoggedAnswer,
    Outcome,
    Replay,
)
from gateway.ports import AnswerLog, Retrieval
from gateway.rates import RateLimits, Spending
from gateway.stages.recheck import check_citations
from gateway.support import realigned


class ReplayAnswers:
    """Logged answers; with ``redacts``, those without the scope ``reveal`` read no personal data in them."""

    def __init__(self, log: AnswerLog, retrieval: Retrieval, rates: RateLimits, *, redacts: bool = False) -> None:
        self._redacts = redacts
        self._rates = rates
        self._log = log
        self._retrieval = retrieval

    async def replay(self, answer_id: str, caller: Caller) -> Replay:
        """The answer as this caller may see it now: sentences whose source is no longer readable are cut.

        Raises NotFound, also for an answer that was given to somebody else; fails closed when readability can't be
        known.
        """
        caller.require(Scope.READ)
        self._rates.spend(Spending.READ, caller)
        entry = await self._own(answer_id, caller)
        answer = entry.answer
        checked = await check_citations(answer.text, answer.citations, self._retrieval, caller, answer.outcome)
        text = answer.text if answer.outcome is Outcome.FALLBACK else checked.text
        if self._redacts and Scope.REVEAL not in caller.scopes:
            # The scope may have been the caller's when he asked, and not be now.
            text = (await asyncio.to_thread(redact, text)).text
        return Replay(
            question=entry.question,
            answer=replace(
                answer,
                text=text,
                citations=checked.citations,
                support=realigned(answer.support, answer.text, text),
            ).with_readable_parts(),
            answered_at=entry.answered_at,
            redacted=checked.changed,
        )

    async def _own(self, answer_id: str, caller: Caller) -> LoggedAnswer:
        entry = await self._log.find(answer_id, caller.tenant_id, caller.subject)
        if entry is None:
            raise NotFound("There is no such answer of yours.", reason="UNKNOWN_ANSWER")
        return entry
