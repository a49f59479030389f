"""Ports of what is kept of costs.

Nouns
    **Ledger**: tokens of language models that each tenant has used on each day, UTC. **Cost log**: what questions came
    to, summed by day, tenant, user and stage. Neither holds text of questions or documents.

Errors are those of ``chassis.errors``; what is down raises DependencyUnavailable.
"""

from __future__ import annotations

from datetime import date
from typing import Protocol

from gateway.costs.domain import CostEntry, CostQuery, CostRow


class TokenLedger(Protocol):
    """Counts tokens against a limit. What is taken is counted at once, and given back or added to once it is known what
    was used: a process that dies in between leaves its estimate behind, so that a limit is rather reached early than
    passed."""

    async def take(self, tenant_id: str, day: date, tokens: int, limit: int) -> bool:
        """Counts ``tokens`` ≥ 0 if the day's sum then is at most ``limit``; else counts nothing and returns False.
        Of takings side by side, by whoever shares the ledger, no more succeed than fit."""
        ...

    async def correct(self, tenant_id: str, day: date, change: int) -> None:
        """Adds ``change``, which may be negative; a sum does not fall below 0. Never refused: what was used was used.
        Not idempotent."""
        ...

    async def used(self, tenant_id: str, day: date) -> int:
        """The day's sum."""
        ...

    async def forget_before(self, day: date) -> int:
        """Removes earlier days; returns how many counts there were. Idempotent."""
        ...


class CostLog(Protocol):
    """What questions came to."""

    async def record(self, entry: CostEntry) -> None:
        """Adds a question's cost, exactly. Not idempotent: once per question."""
        ...

    async def report(self, query: CostQuery) -> tuple[CostRow, ...]:
        """Sums by stage and currency, and by what ``query.by`` says besides (a user is one of his tenant), in that
        order. The name of a tenant or user is empty where a row is not of a single one. Nothing of another tenant where
        ``query.tenant_id`` is given."""
        ...

    async def forget_before(self, day: date) -> int:
        """Removes earlier days; returns how many sums there were. Idempotent."""
        ...
