"""Histories in which the tenant is deleted, with everything that waits and is under way, and created again under its
name, while workers stand still that will go on: of the earlier one nothing is served, and the later one has whatever
it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.simulation.checker import Checker
from tests.simulation.histories import History
from tests.simulation.nemesis import Process
from tests.unit.ingest.world import TENANT, WRITER, Through, World

from chassis.errors import DeadlineExceeded, DependencyUnavailable
from ingest.adapters.event_log import EventLogHeadFeed
from ingest.domain import DocumentChange
from ingest.service import ManageTenants


class TenantHistory(History):
    """One run with one deletion or more. Nobody waits for anybody with a name that was used before: a worker may go on
    with a change of the earlier tenant when there is a later one, and a call of it may be done only then."""

    async def _disturb(self) -> None:
        await super()._disturb()
        if self.dice.random() < 0.12:
            manage = self._manage()
            await _until_done(lambda: manage.delete(WRITER, TENANT))
            self.seen["tenants deleted"] += 1
            self.receipts.clear()
            self._changes.clear()
            await asyncio.sleep(self.dice.choice((0.0, 1.0, 30.0)))
            self.seen["stood still since before"] += sum(not process.awake.is_set() for process in self._workers)
            await _until_done(lambda: manage.create(WRITER, TENANT, {}))

    def _manage(self) -> ManageTenants:
        around = self.nemesis.between(Process("admin", mortal=False))
        stores = self.stores

        def through(inner: Any, name: str) -> Any:
            return Through(inner, name, around)

        return ManageTenants(
            through(stores.tenants, "tenants"),
            through(stores.heads, "heads"),
            through(stores.ledger, "ledger"),
            through(stores.chunks, "chunks"),
            through(stores.vectors, "vectors"),
            through(stores.lexical, "lexical"),
            stores.objects,
            EventLogHeadFeed(through(stores.log.producer(), "log"), self.clock, has_replicas=True),
            self.clock,
        )

    def checker(self, api: World) -> Checker:
        return TenantChecker(api, self.stores, self.receipts)


class TenantChecker(Checker):
    """Knows that what was accepted for an earlier tenant of the name counts for nothing."""

    async def events(self) -> list[DocumentChange]:
        return await self.stores.of_this_tenant(await super().events())


async def _until_done(call: Callable[[], Awaitable[Any]]) -> None:
    """An administrator who repeats his command until it says that it is done."""
    while True:
        try:
            await call()
        except (DependencyUnavailable, DeadlineExceeded):
            continue
        return
