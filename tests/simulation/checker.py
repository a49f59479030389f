"""Compares what the stores hold with what the log says; knows nothing of how ingestion works."""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.oracle import BAD_LEVEL, Expected, chunk_hashes, fold
from tests.simulation.stores import SimulatedStores
from tests.unit.ingest.world import World

from corpus.access import access_tokens
from corpus.domain import ChangeState, DocumentKey, HeadState
from corpus.ids import chunk_id
from ingest.codec import CHANGES_TOPIC, decode_change
from ingest.domain import DocumentChange, Receipt, Upsert

DOCUMENTS = ("a", "b", "c", "d", "e")
GROUPS = ("group:x", "group:y", "public")
GRACE_SECONDS = 3600.0

Row = tuple[str, int, str]
"""chunk_id, chunks_version, content_sha256."""


class Checker:
    """Looks at the end, when all is quiet."""

    rows_are_known = True
    """Whether the order in which changes were handled, and so which of them brought the chunks, is that of the log."""

    def __init__(self, world: World, stores: SimulatedStores, receipts: Sequence[Receipt]) -> None:
        self.world, self.stores, self.receipts = world, stores, receipts
        self.generation = world.generation.current().name
        self.tenant_id = ""

    async def check(self) -> None:
        self.tenant_id = await self.stores.tenant_id()
        events = await self.events()
        expected = fold(events)
        await self._check_acceptance(events)
        await self._check_heads(expected, events)
        live = {name: one for name, one in expected.items() if one.content is not None}
        await self._check_rows(live, swept=False)
        await self._check_access(live)
        self.world.clock.advance(2 * GRACE_SECONDS)
        await self.world.sweeper(GRACE_SECONDS).sweep()
        await self._check_rows(live, swept=True)
        await self._check_access(live)

    async def events(self) -> list[DocumentChange]:
        """What the log holds, in the order that counts."""
        return [decode_change(value) for value in await self.world.values(CHANGES_TOPIC)]

    async def _check_acceptance(self, events: list[DocumentChange]) -> None:
        ids = {event.event_id for event in events}
        assert {receipt.event_id for receipt in self.receipts} <= ids, "an accepted change is not in the log"
        for event in events:
            newest = await self.stores.ledger.newest(event.key, 100)
            states = [record.state for record in newest if record.version == event.version]
            assert len(states) == 1, "not exactly one ledger row"
            assert states[0] is not ChangeState.PENDING, "a change has not ended"
            is_bad = isinstance(event.change, Upsert) and event.change.draft.security_level == BAD_LEVEL
            assert is_bad or states[0] is not ChangeState.DEAD_LETTERED, "a good change is a dead letter"
        letters = {letter.event_id for letter in await self.world.dead_letters()} & ids
        dead = {record.event_id for record in await self.stores.ledger.newest_dead_letters(self.tenant_id, 1000)}
        assert dead <= letters, "a change is dead-lettered, and has no letter"
        # Whose letter was written, without an answer, and was overtaken before it could be written again.
        others = await self.stores.ledger.get_many(self.tenant_id, letters - dead)
        assert {record.state for record in others.values()} <= {ChangeState.SUPERSEDED}, "a letter of a good change"

    async def _check_heads(self, expected: dict[str, Expected], events: list[DocumentChange]) -> None:
        found = await self.stores.heads.list(self.tenant_id, include_deleted=True)
        heads = {head.key.document_id: head for head in found}
        assert {name: head.version for name, head in heads.items()} == {
            name: one.version for name, one in expected.items()
        }
        for name, one in expected.items():
            head = heads[name]
            assert (head.state is HeadState.LIVE) == (one.content is not None), name
            if one.content is not None:
                assert head.content_sha256 == one.content.content.sha256
                assert head.doc_type == one.content.draft.doc_type
                assert head.access.tokens == access_tokens(self.tenant_id, one.readers)
                assert head.access.security_level == one.level
                rows = {one.rows} if self.rows_are_known else _upserts_of(one.content, events, name)
                assert head.chunks_version in rows, f"the chunks of {name} are of {head.chunks_version}"

    async def _check_rows(self, live: dict[str, Expected], *, swept: bool) -> None:
        """Exact set equality of (chunk_id, chunks_version, content_sha256); before the sweep, nothing may lack."""
        wanted: set[Row] = set()
        for name, one in live.items():
            head = await self.world.head(name)
            assert head is not None
            assert one.content is not None
            version = head.chunks_version
            for ordinal, sha256 in enumerate(await chunk_hashes(one.content.content.sha256)):
                wanted.add((chunk_id(self.tenant_id, name, version, ordinal, self.generation), version, sha256))
        stored: set[Row] = set()
        for name in DOCUMENTS:
            for version, generation in await self.stores.chunks.versions_of(DocumentKey(self.tenant_id, name)):
                chunks = await self.stores.chunks.chunks_of(DocumentKey(self.tenant_id, name), version, generation)
                stored |= {(chunk.chunk_id, chunk.chunks_version, chunk.content_sha256) for chunk in chunks}
        payload = {identity: sha256 for identity, _, sha256 in stored}
        vectors, terms = [
            {(each, version, payload.get(each, "")) for each, version in found.items()}
            for found in (
                await self.stores.vectors.chunk_ids(self.generation, self.tenant_id),
                await self.stores.lexical.chunk_ids(self.generation, self.tenant_id),
            )
        ]
        for what, rows in (("chunk store", stored), ("vector index", vectors), ("lexical index", terms)):
            missing, extra = sorted(wanted - rows), sorted(rows - wanted)
            assert not missing, f"the {what} lacks {missing}"
            assert not (swept and extra), f"the {what} holds {extra}, which no head names"

    async def _check_access(self, live: dict[str, Expected]) -> None:
        for group in GROUPS:
            for clearance in (0, 1):
                allowed = {name for name, one in live.items() if one.readable_by(group, clearance)}
                for found in (self.world.found_by, self.world.found_by_terms):
                    shown = await found(group, clearance=clearance)
                    assert await self._by_live_rows(shown) == allowed, f"{group} at {clearance}: index and head differ"

    async def _by_live_rows(self, shown: set[tuple[str, int]]) -> set[str]:
        heads = {name: await self.world.head(name) for name, _ in shown}
        return {
            name
            for name, version in shown
            if (head := heads[name]) is not None and head.state is HeadState.LIVE and head.chunks_version == version
        }


def _upserts_of(content: Upsert, events: Sequence[DocumentChange], name: str) -> set[int]:
    return {
        event.version
        for event in events
        if event.key.document_id == name
        and isinstance(event.change, Upsert)
        and event.change.content.sha256 == content.content.sha256
    }
