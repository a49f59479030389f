"""The cost log in Elasticsearch."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from chassis.elasticsearch.bulk import Write, bulk
from chassis.elasticsearch.client import Store, unavailable
from chassis.elasticsearch.documents import document_id, search, search_now
from chassis.elasticsearch.indexes import IndexSpec
from gateway.costs.domain import AMOUNT_DECIMALS, CostEntry, CostQuery, CostRow, Grouping, Stage

ALIAS: Final = "costs"
SPECS: Final = (
    IndexSpec(
        ALIAS,
        {
            "day": {"type": "date", "format": "strict_date"},
            "tenant_id": {"type": "keyword"},
            "subject": {"type": "keyword"},
            "stage": {"type": "keyword"},
            "currency": {"type": "keyword"},
            "quantity": {"type": "long"},
            "unpriced": {"type": "long"},
            "millionths": {"type": "long"},
            "rest": {"type": "long"},
            "questions": {"type": "long"},
        },
        {"index": {"refresh_interval": "5s"}},
    ),
)
TIMEOUT_SECONDS: Final = 5.0
"""Of a question's cost: no answer waits longer for it."""

_REST: Final = 10 ** (AMOUNT_DECIMALS - 6)
_SUMS: Final = ("quantity", "unpriced", "millionths", "rest", "questions")
_GROUPS: Final = {Grouping.STAGE: (), Grouping.TENANT: ("tenant_id",), Grouping.USER: ("tenant_id", "subject")}
_ORDER: Final = {stage.value: place for place, stage in enumerate(Stage)}
_TOTALS_KEPT: Final = 20_000
_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Key:
    day: date
    tenant_id: str
    subject: str
    stage: Stage
    currency: str


@dataclass(slots=True)
class _Total:
    """What one process counted under a key, in a document that nobody else writes."""

    name: str = field(default_factory=lambda: uuid4().hex)
    quantity: int = 0
    unpriced: int = 0
    amount: Decimal = Decimal(0)
    questions: int = 0


class ElasticsearchCostLog:
    """Sums by day, tenant, user, stage and currency; each gateway has documents of its own for them, and a report adds
    up those of all.

    A document is always written with the whole sum so far, in the version that the number of its questions is. So
    writes may come twice or in any order, and one that failed is made good by the next one under the same key. Nobody
    else writes it, so nothing has to be read or locked before. A sum that a gateway no longer remembers goes on in
    another document.

    Amounts are two whole numbers, millionths of the currency and millionths of those. Elasticsearch adds in doubles,
    which are exact to 2^53: nine billion of the currency, and nine billion documents.
    """

    def __init__(self, store: Store, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._store = store
        self._alias = store.name(ALIAS)
        self._timeout_seconds = timeout_seconds
        self._totals: OrderedDict[_Key, _Total] = OrderedDict()

    async def record(self, entry: CostEntry) -> None:
        """Adds a question; see the port."""
        writes = []
        for each in entry.cost.stages:
            if not (each.quantity or each.amount):
                continue
            key = _Key(entry.day, entry.tenant_id, entry.subject, each.stage, entry.cost.currency)
            total = self._total(key)
            total.quantity += each.quantity
            total.unpriced += each.quantity if each.amount is None else 0
            total.amount += each.amount or Decimal(0)
            total.questions += 1
            writes.append(Write(self._alias, document_id(total.name), _row(key, total), version=total.questions))
        if not writes:
            return
        try:
            async with asyncio.timeout(self._timeout_seconds):
                # A conflict is a later sum, which has this one in it.
                await bulk(self._store, writes)
        except TimeoutError as error:
            raise unavailable() from error

    async def report(self, query: CostQuery) -> tuple[CostRow, ...]:
        """Sums; see the port."""
        conditions: list[Mapping[str, Any]] = [
            {"range": {"day": {"gte": query.since.isoformat(), "lte": query.until.isoformat()}}}
        ]
        if query.tenant_id is not None:
            conditions.append({"term": {"tenant_id": query.tenant_id}})
        found = [_row_of(bucket) async for bucket in self._buckets(conditions, _GROUPS[query.by])]
        return tuple(sorted(found, key=lambda row: (row.tenant_id, row.subject, _ORDER[row.stage], row.currency)))

    async def forget_before(self, day: date) -> int:
        """Removes earlier days; see the port. Several gateways may do so at the same time."""
        for key in [key for key in self._totals if key.day < day]:
            del self._totals[key]
        removed = 0
        while True:
            response = await search_now(
                self._store,
                self._alias,
                query={"range": {"day": {"lt": day.isoformat()}}},
                size=_PAGE,
                source=False,
                track_total_hits=False,
            )
            hits = response["hits"]["hits"]
            if not hits:
                return removed
            outcomes = await bulk(self._store, [Write(self._alias, hit["_id"], None) for hit in hits])
            removed += sum(outcome.found for outcome in outcomes)

    def _total(self, key: _Key) -> _Total:
        total = self._totals.setdefault(key, _Total())
        self._totals.move_to_end(key)
        if len(self._totals) > _TOTALS_KEPT:
            self._totals.popitem(last=False)
        return total

    async def _buckets(
        self, conditions: list[Mapping[str, Any]], groups: tuple[str, ...]
    ) -> AsyncIterator[Mapping[str, Any]]:
        sources = [{name: {"terms": {"field": name}}} for name in (*groups, "stage", "currency")]
        composite: dict[str, Any] = {"size": _PAGE, "sources": sources}
        look = search_now
        while True:
            response = await look(
                self._store,
                self._alias,
                size=0,
                track_total_hits=False,
                query={"bool": {"filter": conditions}},
                aggregations={
                    "rows": {
                        "composite": composite,
                        "aggregations": {name: {"sum": {"field": name}} for name in _SUMS},
                    }
                },
            )
            rows = response["aggregations"]["rows"]
            for bucket in rows["buckets"]:
                yield bucket
            if "after_key" not in rows:
                return
            composite["after"] = rows["after_key"]
            look = search


def _row(key: _Key, total: _Total) -> Mapping[str, Any]:
    millionths, rest = divmod(int(total.amount.scaleb(AMOUNT_DECIMALS)), _REST)
    return {
        "day": key.day.isoformat(),
        "tenant_id": key.tenant_id,
        "subject": key.subject,
        "stage": key.stage.value,
        "currency": key.currency,
        "quantity": total.quantity,
        "unpriced": total.unpriced,
        "millionths": millionths,
        "rest": rest,
        "questions": total.questions,
    }


def _row_of(bucket: Mapping[str, Any]) -> CostRow:
    key = bucket["key"]
    quantity, unpriced, millionths, rest, questions = (int(bucket[name]["value"]) for name in _SUMS)
    amount = Decimal(millionths * _REST + rest).scaleb(-AMOUNT_DECIMALS).normalize() + 0
    return CostRow(
        key.get("tenant_id", ""),
        key.get("subject", ""),
        Stage(key["stage"]),
        key["currency"],
        quantity,
        unpriced,
        amount,
        questions,
    )
