"""Meters around what a question uses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis.identity import Caller
from gateway.costs.budgets import Reservation, TokenBudgets
from gateway.costs.domain import Account
from gateway.domain import CitationKey, Question, Retrieved
from gateway.ports import Retrieval, TokenCounter

_RERANK = "rerank"
"""Name of the retriever's stage."""


class MeteredRetrieval:
    """A retrieval that notes each search on the account of its question."""

    def __init__(self, retrieval: Retrieval, tokens: TokenCounter) -> None:
        self._retrieval = retrieval
        self._tokens = tokens

    async def search(self, question: Question, caller: Caller) -> Retrieved:
        """See the port."""
        found = await self._retrieval.search(question, caller)
        self._note(question, found)
        return found

    async def search_batch(self, questions: Sequence[Question], caller: Caller) -> Sequence[Retrieved]:
        """See the port."""
        results = await self._retrieval.search_batch(questions, caller)
        for question, found in zip(questions, results, strict=True):
            self._note(question, found)
        return results

    async def readable(self, keys: Sequence[CitationKey], caller: Caller) -> Sequence[bool]:
        """See the port."""
        return await self._retrieval.readable(keys, caller)

    def _note(self, question: Question, found: Retrieved) -> None:
        if question.account is None:
            return
        question.account.embedded(self._tokens.count(question.text))
        ranked = any(timing.stage == _RERANK for timing in found.timings) and _RERANK not in found.degraded
        question.account.searched(reranked=ranked)


@dataclass(slots=True)
class Completion:
    """What one completion has used so far.

    Attributes:
        prompt_tokens, completion_tokens: As the endpoint says; 0 until it does.
    """

    prompt_estimate: int
    text: str = ""
    begun: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def came(self, text: str, prompt_tokens: int | None, completion_tokens: int | None) -> None:
        """Notes a piece."""
        self.begun = True
        self.text += text
        self.prompt_tokens = prompt_tokens or self.prompt_tokens
        self.completion_tokens = completion_tokens or self.completion_tokens


class ModelMeter:
    """Meters the completions of one model: holds their tokens while they are written, and charges the tenant's budget
    and the question's account with what they used.

    Args:
        model: Its name in the price table.
        max_tokens: The most that a completion may write.
    """

    def __init__(self, model: str, max_tokens: int, tokens: TokenCounter, budgets: TokenBudgets) -> None:
        self._model = model
        self._max_tokens = max_tokens
        self._tokens = tokens
        self._budgets = budgets

    @asynccontextmanager
    async def completion(self, prompt: str, tenant_id: str, account: Account | None) -> AsyncIterator[Completion]:
        """Holds the tokens of the enclosed completion. Raises as ``TokenBudgets.reserve``."""
        estimate = self._tokens.count(prompt)
        async with self._budgets.reserve(tenant_id, estimate + self._max_tokens) as reservation:
            completion = Completion(estimate)
            try:
                yield completion
            finally:
                self._charge(completion, reservation, account)

    def _charge(self, completion: Completion, reservation: Reservation, account: Account | None) -> None:
        if not completion.begun:
            # It failed before its first piece, or was never made.
            return
        read = completion.prompt_tokens or completion.prompt_estimate
        written = completion.completion_tokens or self._tokens.count(completion.text)
        reservation.used = read + written
        if account is not None:
            account.completed(self._model, read, written)
