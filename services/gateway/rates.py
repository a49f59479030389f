"""Token buckets per user, tenant and client address, for each kind of call.

A bucket holds as many requests as its rate names and fills at that rate, so that a pause may be followed by a burst. It
is kept as the moment at which it will be full again (the generic cell rate algorithm, ITU-T I.371, annex A), which is
one number per bucket.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from limits import RateLimitItem, parse_many

from chassis.errors import InvalidRequest, Overloaded
from chassis.identity import Caller
from chassis.peer import current_peer
from chassis.telemetry import metrics
from gateway.addresses import Networks, client_address

MAX_BUCKETS: Final = 50_000
"""Of users, tenants and addresses each: 17 MB for users with addresses of mail as their names."""
_SECOND_NS: Final = 1_000_000_000


class Spending(StrEnum):
    """What is counted apart."""

    ASK = "ask"
    SEARCH = "search"
    WRITE = "write"
    READ = "read"


class LimitOf(StrEnum):
    """Whose limit it is."""

    USER = "user"
    TENANT = "tenant"
    ADDRESS = "address"


_REASONS: Final = {
    LimitOf.USER: "RATE_LIMITED",
    LimitOf.TENANT: "TENANT_RATE_LIMITED",
    LimitOf.ADDRESS: "ADDRESS_RATE_LIMITED",
}
_WHO: Final = {
    LimitOf.USER: "You have",
    LimitOf.TENANT: "Your tenant has",
    LimitOf.ADDRESS: "The address that you call from has",
}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests at once, and one more every ``interval_ns``."""

    text: str
    burst: int
    interval_ns: int

    @classmethod
    def of(cls, item: RateLimitItem) -> Rate:
        """The bucket of ``<count>/<n> <unit>``."""
        return cls(str(item), item.amount, max(1, item.get_expiry() * _SECOND_NS // item.amount))


def rates_of(text: str) -> tuple[Rate, ...]:
    """One or several rates, such as "200/10 seconds" or "20/minute; 500/day"; none in an empty text. Raises
    ValueError."""
    return tuple(Rate.of(item) for item in parse_many(text)) if text.strip() else ()


class Buckets:
    """Buckets by key, at most ``max_buckets``. What was used longest ago is forgotten first, which is most likely full
    again; one that was not is then full too early."""

    def __init__(self, max_buckets: int) -> None:
        self._max_buckets = max_buckets
        self._full_at: OrderedDict[tuple[str, ...], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def missing_ns(self, key: tuple[str, ...], rate: Rate, amount: int, now: int) -> int:
        """How long until ``amount`` requests are there; 0 when they are."""
        full_at = max(self._full_at.get(key, 0), now) + amount * rate.interval_ns
        return max(0, full_at - now - rate.burst * rate.interval_ns)

    def take(self, key: tuple[str, ...], rate: Rate, amount: int, now: int) -> None:
        """Takes ``amount`` requests out, which are known to be there."""
        self._full_at[key] = max(self._full_at.pop(key, 0), now) + amount * rate.interval_ns
        if len(self._full_at) > self._max_buckets:
            self._full_at.popitem(last=False)


class RateLimits:
    """Counts in this process: where several gateways run, each admits this much.

    Args:
        users: Rates of one subject of a tenant, by spending.
        tenants: Rates of all subjects of a tenant together; without an entry there is no such limit.
        addresses: Rates of one client address, whoever calls; without an entry there is no such limit.
        proxies: Whose word on a client's address is believed.
        max_buckets: Most users, tenants and addresses that are remembered, each.
        clock: Monotonic nanoseconds.
    """

    def __init__(
        self,
        users: Mapping[Spending, str],
        *,
        tenants: Mapping[Spending, str] | None = None,
        addresses: Mapping[Spending, str] | None = None,
        proxies: Networks = (),
        max_buckets: int = MAX_BUCKETS,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        rates = {LimitOf.USER: users, LimitOf.TENANT: tenants or {}, LimitOf.ADDRESS: addresses or {}}
        self._rates = {of: {kind: rates_of(text) for kind, text in each.items()} for of, each in rates.items()}
        # Apart from each other, so that a flood of addresses can't make the gateway forget a tenant.
        self._buckets = {of: Buckets(max_buckets) for of in LimitOf}
        self._proxies = proxies
        self._clock = clock

    def spend(self, spending: Spending, caller: Caller, amount: int = 1) -> None:
        """Counts ``amount`` requests against every limit, or against none.

        Raises:
            Overloaded: RATE_LIMITED, TENANT_RATE_LIMITED or ADDRESS_RATE_LIMITED, with the delay until there is room
                again.
            InvalidRequest: BATCH_OVER_RATE, for more than a limit ever admits at once.
        """
        now = self._clock()
        charges = [
            (of, key, rate)
            for of, rates in self._applying(spending)
            for rate, key in self._keys(of, spending, caller, rates)
        ]
        waits = [(self._buckets[of].missing_ns(key, rate, amount, now), of, rate) for of, key, rate in charges]
        longest = max(waits, key=lambda wait: wait[0], default=None)
        if longest is not None and longest[0]:
            raise _refusal(*longest, spending, amount)
        for of, key, rate in charges:
            self._buckets[of].take(key, rate, amount, now)

    def _applying(self, spending: Spending) -> Sequence[tuple[LimitOf, tuple[Rate, ...]]]:
        return [(of, rates[spending]) for of, rates in self._rates.items() if rates.get(spending)]

    def _keys(
        self, of: LimitOf, spending: Spending, caller: Caller, rates: tuple[Rate, ...]
    ) -> Sequence[tuple[Rate, tuple[str, ...]]]:
        match of:
            case LimitOf.USER:
                who: tuple[str, ...] = (caller.tenant_id, caller.subject)
            case LimitOf.TENANT:
                who = (caller.tenant_id,)
            case LimitOf.ADDRESS:
                who = (client_address(current_peer(), self._proxies),)
        return [(rate, (spending.value, rate.text, *who)) for rate in rates]


def _refusal(missing_ns: int, of: LimitOf, rate: Rate, spending: Spending, amount: int) -> Overloaded | InvalidRequest:
    metrics.GATEWAY_RATE_LIMITED.add(limit=of.value)
    metadata = {"limit": rate.text, "kind": spending.value, "limit_of": of.value}
    if amount > rate.burst:
        return InvalidRequest(
            f"At most {rate.burst} requests of this kind are taken at once: send them in smaller batches.",
            reason="BATCH_OVER_RATE",
            metadata=metadata,
        )
    return Overloaded(
        f"{_WHO[of]} sent more than {rate.text} of this kind: wait before the next one.",
        reason=_REASONS[of],
        metadata=metadata,
        retry_after_seconds=max(0.05, missing_ns / _SECOND_NS),
    )
