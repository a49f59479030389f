"""Rebuilt heads give nobody back what was taken, and no document of a tenant that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.ingest.audits import audit, counts
from tests.unit.ingest.generations_world import GenerationsWorld, passing
from tests.unit.ingest.test_rebuild import applied, heads_of
from tests.unit.ingest.world import STAFF, TENANT, WRITER, World, stop, until

from chassis.errors import NotFound
from corpus.access import access_tokens
from corpus.domain import ChangeState, DocumentKey, HeadState
from ingest.codec import BULK_CHANGES_TOPIC, CHANGES_TOPIC
from ingest.domain import Draft, Lane, SetAccess
from ingest.fold import Known, fold
from ingest.handle import pending_record


@asynccontextmanager
async def consuming(*consumers: Any) -> Any:
    tasks = [asyncio.create_task(consumer.run()) for consumer in consumers]
    try:
        yield
    finally:
        for task in tasks:
            await stop(task)


async def put(
    world: World, name: str, version: int, text: str, readers: tuple[str, ...] = STAFF, lane: Lane = Lane.LIVE
) -> str:
    draft = Draft(name, version, filename="a.txt", principals=readers)
    return (await world.accept.put(WRITER, draft, text.encode(), lane)).event_id


async def until_state(world: World, event_id: str, wanted: ChangeState) -> None:
    async def is_so() -> bool:
        record = await world.record(event_id)
        return record is not None and record.state is wanted

    await until(is_so)


async def until_lag(world: World, lane: Lane, lag: int) -> None:
    async def is_so() -> bool:
        return await world.lag(lane) == lag

    await until(is_so)


@pytest.mark.parametrize("refused_first", [True, False])
@pytest.mark.parametrize("refused", [Lane.LIVE, Lane.BULK])
async def test_of_two_changes_with_one_version_the_one_that_the_ledger_took_comes_back(
    refused: Lane, refused_first: bool
) -> None:
    async with World() as world:
        other = Lane.BULK if refused is Lane.LIVE else Lane.LIVE
        wide = replace(await world.upsert("d", 7, "text", ("public",)), event_id="refused")
        taken = await world.upsert("d", 7, "text", ("group:a",))
        await world.stores.ledger.accept(pending_record(taken))
        for event, lane in [(wide, refused), (taken, other)][:: 1 if refused_first else -1]:
            await world.change_log.append(event, lane)
        async with consuming(*world.lanes()):
            await until_lag(world, Lane.LIVE, 0)
            await until_lag(world, Lane.BULK, 0)
        before = await world.head("d")
        assert before is not None
        assert (before.principals, before.event_id) == (("group:a",), taken.event_id)
        await world.stores.heads.drop_tenant(TENANT)
        await (await heads_of(world)).rebuild(TENANT)
        head = await world.head("d")
        assert head is not None
        assert (head.access, head.principals, head.event_id) == (before.access, before.principals, before.event_id)


async def test_an_applied_change_that_the_log_has_lost_is_not_passed_over() -> None:
    async with World() as world:
        old, lost = await world.upsert("d", 1, "old"), await world.upsert("d", 2, "new")
        access = world.event("d", 3, SetAccess(("public",), 0))
        known = Known(said={1: [old], 3: [access]})
        finished = [replace(pending_record(each), state=ChangeState.APPLIED) for each in (access, lost, old)]
        known.settle(finished)
        assert fold(known, "g") is None
        known.said[2] = [lost]
        known.settle(finished)
        folded = fold(known, "g")
        assert folded is not None
        assert (folded.upsert, folded.principals) == (lost.change, ("public",))
        # Two changes that nothing tells apart any more.
        known.said[2].append(replace(await world.upsert("d", 2, "other"), event_id="e"))
        known.settle(finished[:1])
        assert fold(known, "g") is None


async def test_documents_of_an_earlier_tenant_of_the_same_name_stay_gone() -> None:
    async with World() as world, consuming(world.consumer()):
        await put(world, "old", 9, "text", ("public",))
        await put(world, "deleted", 3, "text")
        await applied(world)
        await world.accept.delete(WRITER, "deleted", 8)
        await applied(world)
        world.clock.advance(10)
        await world.manage.delete(WRITER, TENANT)
        await world.manage.create(WRITER, TENANT, {})
        world.clock.advance(10)
        await put(world, "new", 1, "text")
        await applied(world)
        tenant_id = await world.stores.tenant_id()
        await world.stores.heads.drop_tenant(tenant_id)
        made = await (await heads_of(world)).rebuild(tenant_id)
        heads = await world.stores.heads.list(tenant_id, include_deleted=True)
        assert [head.key.document_id for head in heads] == ["new"]
        assert (made.written, made.lost) == (1, [])
        await until_state(world, await put(world, "deleted", 7, "again"), ChangeState.APPLIED)


@pytest.mark.parametrize("forgotten", [(), (CHANGES_TOPIC, BULK_CHANGES_TOPIC)])
async def test_a_revocation_that_waits_behind_a_backfill_stays_in_effect(forgotten: tuple[str, ...]) -> None:
    async with World() as world:
        live, _ = world.lanes()
        async with consuming(live):
            await until_state(world, await put(world, "d", 1, "one", ("public", "group:a")), ChangeState.APPLIED)
            await put(world, "d", 2, "two", ("public", "group:a"), Lane.BULK)
            await world.accept.set_access(WRITER, "d", 3, ("group:a", "group:b"), 2)
            await until_lag(world, Lane.BULK, 2)
            before = await world.head("d")
            assert before is not None
            assert before.access.tokens == access_tokens(TENANT, ("group:a",))
            await world.stores.heads.drop_tenant(TENANT)
            await (await heads_of(world, *forgotten)).rebuild(TENANT)
            head = await world.head("d")
            assert head is not None
            assert head.version == 1
            assert head.access.tokens <= before.access.tokens
            if not forgotten:
                assert head.access == before.access


async def test_a_revocation_that_comes_while_its_document_has_no_head_takes_effect_with_the_head() -> None:
    async with World() as world:
        async with consuming(world.consumer()):
            await put(world, "d", 1, "one", ("public",))
            await applied(world)
        rebuild = await heads_of(world)
        await world.stores.heads.drop_tenant(TENANT)
        heads, late = world.stores.heads, world.event("d", 3, SetAccess((), 0))

        class Heads:
            def __getattr__(self, name: str) -> Any:
                return getattr(heads, name)

            async def put(self, head: Any) -> Any:
                if await heads.get(head.key) is None:
                    # It waits in the bulk lane, and there was no head yet to take readers from.
                    await world.stores.ledger.accept(pending_record(late))
                    await world.apply.take_readers(late)
                return await heads.put(head)

        rebuild.heads = Heads()  # type: ignore[assignment]
        await rebuild.rebuild(TENANT)
        head = await world.head("d")
        assert head is not None
        assert (head.state, head.access.tokens) == (HeadState.LIVE, frozenset())


async def test_without_the_log_documents_of_a_dropped_generation_come_back_in_the_one_that_is_searched() -> None:
    async with GenerationsWorld() as world:
        async with consuming(world.consumer()):
            await put(world, "d", 1, "text of d")
            await applied(world)
        first = world.generation.current().name
        plan = await world.operate.create(WRITER, chunk_target_tokens=40)
        assert plan.beside is not None
        name = plan.beside.generation.name
        await world.keeper().once()
        await world.operate.record_comparison(WRITER, name, passing(first))
        await world.operate.promote(WRITER, name)
        await world.operate.drop(WRITER, first)
        world.clock.advance(60)
        await world.keeper().once()
        assert await world.stores.chunks.versions_of(DocumentKey(TENANT, "d")) == [(1, name)]
        await world.stores.heads.drop_tenant(TENANT)
        made = await (await heads_of(world, CHANGES_TOPIC, BULK_CHANGES_TOPIC)).rebuild(TENANT)
        assert (made.lost, made.without_readers) == ([], [])
        assert await world.served() == {"d": "text of d"}
        assert counts(await audit(world)) == {}


async def test_what_the_feed_tells_and_no_store_holds_comes_back_older_and_for_nobody() -> None:
    async with World() as world:
        async with consuming(world.consumer()):
            await put(world, "d", 1, "one", ("public",))
            await applied(world)
            await put(world, "d", 2, "two", ("public",))
            await applied(world)
        head = await world.head("d")
        assert head is not None
        await world.stores.chunks.delete(head.key, 2, head.generation)
        await world.stores.heads.drop_tenant(TENANT)
        made = await (await heads_of(world, CHANGES_TOPIC, BULK_CHANGES_TOPIC)).rebuild(TENANT)
        assert (made.lost, made.without_readers) == ([], ["d"])
        back = await world.head("d")
        assert back is not None
        assert (back.version, back.chunks_version, back.access.tokens) == (2, 1, frozenset())


@pytest.mark.parametrize("created_again", [False, True])
@pytest.mark.parametrize("chunks_lost", [False, True])
async def test_a_tenant_that_is_deleted_meanwhile_gets_no_heads(created_again: bool, chunks_lost: bool) -> None:
    moments: list[Callable[[], Any]] = []
    async with AsyncExitStack() as exits:
        world = await exits.enter_async_context(World())
        async with consuming(world.consumer()):
            await put(world, "a", 5, "text")
            await put(world, "b", 5, "text")
            await applied(world)
        await world.stores.heads.drop_tenant(TENANT)
        if chunks_lost:
            await world.stores.chunks.drop_tenant(TENANT)
        rebuild = await heads_of(world)

        async def delete() -> None:
            world.clock.advance(1)
            await world.manage.delete(WRITER, TENANT)
            if created_again:
                await world.manage.create(WRITER, TENANT, {})

        moments.append(delete)
        await _strike(world, rebuild, moments, "chunks" if chunks_lost else "heads")
        with pytest.raises(NotFound) as raised:
            await rebuild.rebuild(TENANT)
        assert raised.value.reason == "UNKNOWN_TENANT"
        assert await world.stores.heads.list(TENANT, include_deleted=True) == []
        assert await world.stores.chunks.stored_versions(TENANT) == []
        if created_again:
            async with consuming(world.consumer()):
                await until_state(world, await put(world, "a", 1, "text"), ChangeState.APPLIED)


async def _strike(world: World, rebuild: Any, moments: list[Callable[[], Any]], port: str) -> None:
    """Has the first of the moments come just before the first write through the port."""

    class Struck:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        async def put(self, what: Any) -> Any:
            if moments:
                await moments.pop()()
            return await self._inner.put(what)

    if port == "heads":
        rebuild.heads = Struck(rebuild.heads)
    else:
        rows = replace(world.rows, chunks=Struck(world.rows.chunks))
        assert isinstance(rebuild.index.rows, type(rows))
        rebuild.index = replace(rebuild.index, rows=rows)
