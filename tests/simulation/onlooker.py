"""Who searches all the time during a history, and notices what may not be served.

What the ledger has reported as applied is in effect: no older content is served, nothing deleted, and nobody sees what
was taken from him, whatever late writers do. What is still pending may be in effect or not.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator

import numpy as np
from tests.simulation.checker import GROUPS
from tests.simulation.oracle import BAD_LEVEL, fold, same_content
from tests.simulation.stores import SimulatedStores
from tests.unit.ingest.world import DIMENSIONS, TENANT

from chassis.clock import Clock
from corpus.access import access_tokens
from corpus.analysis import analyse
from corpus.domain import Candidate, DocumentKey
from corpus.ports import Prefilter
from ingest.domain import Delete, DocumentChange, SetAccess, Upsert
from retriever.stages.head_check import Reader, rejection

_QUERY = np.ones((1, DIMENSIONS), np.float32)
_TERMS = analyse("one valve two pumps three filters text", "en")
_MANY = 1000


class Onlooker:
    """Reads what a searcher would: the index's prefilter, then the head check."""

    def __init__(
        self, stores: SimulatedStores, generation: str, dice: random.Random, clock: Clock, *, by_version: bool
    ) -> None:
        self.stores, self.generation, self.dice, self.clock = stores, generation, dice, clock
        self.by_version = by_version
        """Whether changes count by their versions, whatever their order in the log."""
        self.looks = 0
        self.served = 0

    async def watch(self) -> None:
        """Looks again and again, until cancelled."""
        while True:
            await asyncio.sleep(self.dice.choice((0.05, 0.5, 4.0)))
            await self.look()

    async def look(self) -> None:
        """One look. Nothing else goes on meanwhile: the adapters of a simulation never give way."""
        tenant = await self.stores.tenants.named(TENANT)
        if tenant is None:
            return
        self.looks += 1
        tenant_id = tenant.tenant_id
        group, clearance = self.dice.choice(GROUPS), self.dice.choice((0, 1))
        tokens = access_tokens(tenant_id, [group])
        prefilter = Prefilter(tenant_id, tokens, clearance)
        if self.dice.random() < 0.7:
            (found,) = await self.stores.vectors.search(self.generation, _QUERY, _MANY, prefilter)
        else:
            (found,) = await self.stores.lexical.search(self.generation, [_TERMS], _MANY, prefilter)
        heads = await self.stores.heads.get_many(tenant_id, {each.document_id for each in found})
        reader, now = Reader(tenant_id, tokens, clearance), self.clock.now()
        for each in found:
            if rejection(heads.get(each.document_id), each.chunks_version, reader, now) is None:
                self.served += 1
                wrong = await self._what_is_wrong(tenant_id, each, group, clearance)
                if wrong:
                    self.stores.violations.append(f"{each.document_id}@{each.chunks_version} for {group}: {wrong}")

    async def _what_is_wrong(self, tenant_id: str, served: Candidate, group: str, clearance: int) -> str:
        events = await self.events(served.document_id)
        if not any(event.version == served.chunks_version and _is_good(event) for event in events):
            return "no accepted change has such content"
        newest = self.stores.ledger.newest_applied.get(DocumentKey(tenant_id, served.document_id), 0)
        # Of older ones the ledger may not say yet that they were applied, or say that they were superseded since.
        reported = fold(event for event in events if event.version <= newest).get(served.document_id)
        if reported is None:
            return ""
        later = [event for event in events if event.version > reported.version]
        if reported.content is None:
            return "" if served.chunks_version > reported.version else "its deletion was reported"
        if served.chunks_version <= reported.version:
            content = next(_upserts(events, served.chunks_version))
            if not same_content(content, reported.content):
                return "newer content was reported"
            opened = any(_opens(event, group, clearance) for event in later)
            if not reported.readable_by(group, clearance) and not opened:
                return "its reader was reported to have lost access"
        return ""

    async def events(self, document_id: str) -> list[DocumentChange]:
        """What the log holds of a document, in the order that counts."""
        all_tenants = [event for event in self.stores.log.changes if event.key.document_id == document_id]
        events = await self.stores.of_this_tenant(all_tenants)
        return sorted(events, key=lambda event: event.version) if self.by_version else events


def _is_good(event: DocumentChange) -> bool:
    return isinstance(event.change, Upsert) and event.change.draft.security_level != BAD_LEVEL


def _upserts(events: Iterable[DocumentChange], version: int) -> Iterator[Upsert]:
    return (event.change for event in events if event.version == version and isinstance(event.change, Upsert))


def _opens(event: DocumentChange, group: str, clearance: int) -> bool:
    match event.change:
        case Upsert(draft=draft):
            return group in draft.principals and draft.security_level <= clearance
        case SetAccess(principals=principals, security_level=level):
            return group in principals and level <= clearance
        case Delete():
            return False
