"""A generator that gives way to a cheaper one where the tenant's token budget is used up."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from chassis.errors import DependencyUnavailable, InvalidRequest, Overloaded
from chassis.telemetry import logger
from gateway.costs.budgets import REASONS
from gateway.domain import CitationSettled, Draft, TextPiece
from gateway.ports import GenerationRequest, Generator

OVER_BUDGET: Final = "token_budget"
"""Name in ``degraded`` for an answer that the language model would have written."""

_log = logger("generator")


class WithinBudget:
    """Has ``generator`` write, and ``instead`` where that is refused before it has written anything."""

    def __init__(self, generator: Generator, instead: Generator) -> None:
        self.name = generator.name
        self._generator = generator
        self._instead = instead

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TextPiece | CitationSettled | Draft, None]:
        """See the port."""
        try:
            async with aclosing(self._generator.generate(request)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        except (Overloaded, InvalidRequest) as error:
            if error.reason not in REASONS:
                raise
            _log.info("the token budget is used up", reason=error.reason)
        except DependencyUnavailable as error:
            # Nobody knows what is left of the budget.
            _log.warning("the token budget can't be read", reason=error.reason)
        async with aclosing(self._instead.generate(request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Draft):
                    yield replace(piece, degraded=(*piece.degraded, OVER_BUDGET), generator=self._instead.name)
                else:
                    yield piece
