"""Token budgets: how many tokens a tenant's calls of language models may use in a day, and have under way at once.

A call takes its estimate (the prompt as counted, and the most it may write) before it is made, and is charged with what
it used after it. What ends before anything was written is given back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from chassis.clock import Clock
from chassis.errors import DeadlineExceeded, DependencyUnavailable, InvalidRequest, Overloaded
from chassis.telemetry import logger, metrics
from gateway.costs.ports import TokenLedger

DAY_REASON: Final = "TOKEN_BUDGET_EXHAUSTED"
IN_FLIGHT_REASON: Final = "TOKENS_IN_FLIGHT"
OVER_LIMIT_REASON: Final = "TOKENS_OVER_LIMIT"
REASONS: Final = (DAY_REASON, IN_FLIGHT_REASON, OVER_LIMIT_REASON)

_IN_FLIGHT_RETRY_SECONDS: Final = 1.0
"""A completion takes seconds; nobody knows which of those under way ends first."""

_log = logger("budgets")


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """Tokens per tenant; 0 is no limit.

    Attributes:
        day: In a day, UTC.
        in_flight: Under way at once, in this process.
        tenants: The day's for tenants that have one of their own.
    """

    day: int = 0
    in_flight: int = 0
    tenants: Mapping[str, int] = field(default_factory=dict)

    def day_of(self, tenant_id: str) -> int:
        """The day's tokens of a tenant."""
        return self.tenants.get(tenant_id, self.day)


def tenant_budgets(text: str) -> Mapping[str, int]:
    """Tokens of a day by tenant from ``name=tokens`` separated by blanks; 0 is no limit. Raises ValueError."""
    budgets: dict[str, int] = {}
    for word in text.split():
        name, _, tokens = word.partition("=")
        if not name or not (tokens.isascii() and tokens.isdecimal()) or name in budgets:
            raise ValueError("write name=tokens, each tenant once, separated by blanks")
        budgets[name] = int(tokens)
    return budgets


@dataclass(slots=True)
class Reservation:
    """Tokens taken for one call. Set ``used`` to what it has used so far; unless that is done, all are given back."""

    tenant_id: str
    day: date
    tokens: int
    used: int = 0


class TokenBudgets:
    """Budgets of all tenants. One per process; the ledger may be shared."""

    def __init__(self, limits: BudgetLimits, ledger: TokenLedger, clock: Clock) -> None:
        self._limits = limits
        self._ledger = ledger
        self._clock = clock
        self._in_flight: dict[str, int] = {}

    def in_flight(self, tenant_id: str) -> int:
        """Tokens of the tenant that are under way."""
        return self._in_flight.get(tenant_id, 0)

    @asynccontextmanager
    async def reserve(self, tenant_id: str, tokens: int) -> AsyncIterator[Reservation]:
        """Holds ``tokens`` for the enclosed call, and charges the day on which it began with what it used.

        Raises:
            Overloaded: TOKENS_IN_FLIGHT with a short delay; TOKEN_BUDGET_EXHAUSTED with the time of the next day in
                ``resets_at`` and as its delay. Nothing is counted then.
            InvalidRequest: TOKENS_OVER_LIMIT: this call alone exceeds what may be under way at once.
            DependencyUnavailable: The ledger is down: without it nobody knows whether there are tokens left.
        """
        self._enter(tenant_id, tokens)
        try:
            reservation = Reservation(tenant_id, self._clock.now().astimezone(UTC).date(), tokens)
            limit = self._limits.day_of(tenant_id)
            if limit and not await self._ledger.take(tenant_id, reservation.day, tokens, limit):
                raise self._exhausted(limit)
            try:
                yield reservation
            finally:
                if limit:
                    await self._settle(reservation)
        finally:
            self._leave(tenant_id, tokens)

    def _enter(self, tenant_id: str, tokens: int) -> None:
        limit, held = self._limits.in_flight, self.in_flight(tenant_id)
        if limit and tokens > limit:
            metrics.GATEWAY_BUDGET_REFUSED.add(limit="in_flight")
            raise InvalidRequest(
                f"This call of the language model may take {tokens} tokens, and all of your tenant's at once no more "
                f"than {limit}: ask for less, or have the limit raised.",
                reason=OVER_LIMIT_REASON,
                metadata={"tokens": str(tokens), "limit_tokens": str(limit), "limit_of": "tenant"},
            )
        if limit and held + tokens > limit:
            metrics.GATEWAY_BUDGET_REFUSED.add(limit="in_flight")
            raise Overloaded(
                "Your tenant's calls of the language model under way hold all tokens that it may at once: retry.",
                reason=IN_FLIGHT_REASON,
                metadata={"limit_tokens": str(limit), "limit_of": "tenant"},
                retry_after_seconds=_IN_FLIGHT_RETRY_SECONDS,
            )
        self._in_flight[tenant_id] = held + tokens

    def _leave(self, tenant_id: str, tokens: int) -> None:
        left = self._in_flight[tenant_id] - tokens
        if left:
            self._in_flight[tenant_id] = left
        else:
            del self._in_flight[tenant_id]

    async def _settle(self, reservation: Reservation) -> None:
        change = reservation.used - reservation.tokens
        if not change:
            return
        try:
            await self._ledger.correct(reservation.tenant_id, reservation.day, change)
        except (DependencyUnavailable, DeadlineExceeded, Overloaded) as error:
            # The estimate stays counted, and the answer is not lost for it.
            _log.warning("the day's tokens could not be corrected", error_type=type(error).__name__, change=change)

    def _exhausted(self, limit: int) -> Overloaded:
        now = self._clock.now().astimezone(UTC)
        resets_at = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
        metrics.GATEWAY_BUDGET_REFUSED.add(limit="day")
        return Overloaded(
            f"Your tenant has used the tokens of the language model that it may in a day: it has new ones at "
            f"{resets_at:%Y-%m-%d %H:%M} UTC.",
            reason=DAY_REASON,
            metadata={"limit_tokens": str(limit), "limit_of": "tenant", "resets_at": resets_at.isoformat()},
            retry_after_seconds=(resets_at - now).total_seconds(),
        )
