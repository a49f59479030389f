"""A backfill has a lane of its own: it delays nobody, and order between the lanes does no harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.unit.ingest.world import STAFF, WRITER, World, stop, until

from corpus.domain import ChangeState, HeadState
from ingest.consumer import ChangeConsumer
from ingest.domain import Draft, Lane

EVERYBODY, NOBODY = ("public",), ()


@asynccontextmanager
async def running(*consumers: ChangeConsumer) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(consumer.run()) for consumer in consumers]
    try:
        yield
    finally:
        for task in tasks:
            await stop(task)


async def put(world: World, document_id: str, version: int, lane: Lane, readers: tuple[str, ...] = STAFF) -> str:
    draft = Draft(document_id, version, filename="a.txt", principals=readers)
    text = f"One valve of version {version}.".encode()
    return (await world.accept.put(WRITER, draft, text, lane)).event_id


async def state(world: World, event_id: str) -> ChangeState | None:
    record = await world.record(event_id)
    return record.state if record else None


async def until_state(world: World, event_id: str, wanted: ChangeState) -> None:
    async def is_so() -> bool:
        return await state(world, event_id) is wanted

    await until(is_so)


async def until_bulk_lag(world: World, lag: int) -> None:
    async def is_so() -> bool:
        return await world.lag(Lane.BULK) == lag

    await until(is_so)


async def slow_parsing(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
    if name == "embedder.embed_passages":
        await asyncio.sleep(0.02)
    return await call()


async def test_a_live_change_passes_a_bulk_backlog() -> None:
    async with World(slow_parsing) as world:
        for i in range(60):
            await put(world, f"old-{i}", 1, Lane.BULK)
        assert await world.lag(Lane.BULK) == 60
        async with running(*world.lanes(max_bulk=2)):
            await until(lambda: _below(world, 58))
            event_id = await put(world, "new", 1, Lane.LIVE)
            await until_state(world, event_id, ChangeState.APPLIED)
            assert await world.lag(Lane.BULK) > 0


async def _below(world: World, lag: int) -> bool:
    return await world.lag(Lane.BULK) < lag


async def test_a_bulk_change_is_applied_as_any_other() -> None:
    async with World() as world, _both(world):
        event_id = await put(world, "d", 1, Lane.BULK)
        await until_state(world, event_id, ChangeState.APPLIED)
        head = await world.head("d")
        assert head is not None
        assert head.state is HeadState.LIVE
        await until_bulk_lag(world, 0)


async def test_the_bulk_lane_takes_less_while_live_changes_are_at_work() -> None:
    async with World() as world:
        live, bulk = world.lanes(max_bulk=8)
        assert bulk._share() == 8
        never = asyncio.get_running_loop().create_future()
        live._running[never] = None  # type: ignore[index,assignment]
        assert bulk._share() == 2


async def test_a_bulk_upsert_that_comes_late_is_superseded() -> None:
    async with World() as world:
        old = await put(world, "d", 1, Lane.BULK)
        live, bulk = world.lanes()
        async with running(live):
            new = await put(world, "d", 2, Lane.LIVE)
            await until_state(world, new, ChangeState.APPLIED)
        async with running(bulk):
            await until_state(world, old, ChangeState.SUPERSEDED)
        assert "version 2" in await world.text("d")


async def test_a_delete_that_overtakes_a_bulk_upsert_wins() -> None:
    async with World() as world:
        old = await put(world, "d", 1, Lane.BULK)
        live, bulk = world.lanes()
        async with running(live):
            gone = (await world.accept.delete(WRITER, "d", 2)).event_id
            await until_state(world, gone, ChangeState.APPLIED)
        async with running(bulk):
            await until_state(world, old, ChangeState.SUPERSEDED)
        head = await world.head("d")
        assert head is not None
        assert head.state is HeadState.DELETED


async def test_a_change_of_access_that_overtakes_a_bulk_upsert_waits_for_it() -> None:
    async with World() as world:
        await put(world, "d", 1, Lane.BULK, EVERYBODY)
        live, bulk = world.lanes()
        async with running(live):
            access = (await world.accept.set_access(WRITER, "d", 2, STAFF, 0)).event_id
            await until(lambda: _bulk_lag_is(world, 2))
            assert await state(world, access) is ChangeState.PENDING
        async with running(bulk):
            await until_state(world, access, ChangeState.APPLIED)
        assert "version 1" in await world.text("d")
        assert await world.found_by(*STAFF) == {("d", 1)}
        assert await world.found_by(*EVERYBODY) == set()
        await until_bulk_lag(world, 0)


async def _bulk_lag_is(world: World, lag: int) -> bool:
    return await world.lag(Lane.BULK) == lag


async def test_a_revocation_that_waits_for_a_bulk_upsert_takes_effect_at_once_and_stays_in_effect() -> None:
    async with World() as world:
        live, _ = world.lanes()
        async with running(live):
            await until_state(world, await put(world, "d", 1, Lane.LIVE, EVERYBODY), ChangeState.APPLIED)
            upsert = await put(world, "d", 2, Lane.BULK, EVERYBODY)
            for i in range(20):
                await put(world, f"other-{i}", 1, Lane.BULK)
            revoked = (await world.accept.set_access(WRITER, "d", 3, NOBODY, 0)).event_id
            await until(lambda: _bulk_lag_is(world, 22))
            head = await world.head("d")
            assert head is not None
            assert (head.version, head.access.tokens) == (1, frozenset())

        async def unread(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
            result = await call()
            head = await world.head("d")
            assert head is not None
            assert not head.access.tokens, name
            return result

        async with World(unread, world.stores) as watched:
            async with running(watched.lanes(max_bulk=1)[1]):
                await until_state(world, revoked, ChangeState.APPLIED)
            assert await state(world, upsert) is ChangeState.APPLIED
        assert "version 2" in await world.text("d")


async def test_the_same_document_in_another_lane_is_the_same_change() -> None:
    async with World() as world:
        assert await put(world, "d", 1, Lane.BULK) == await put(world, "d", 1, Lane.LIVE)
        assert (await world.lag(Lane.LIVE), await world.lag(Lane.BULK)) == (0, 1)


async def test_status_tells_the_lag_of_each_lane() -> None:
    async with World() as world:
        await put(world, "a", 1, Lane.BULK)
        await put(world, "b", 1, Lane.LIVE)
        status = await world.look.status(WRITER, 0)
        assert status.lag == {Lane.LIVE: 1, Lane.BULK: 1}


@asynccontextmanager
async def _both(world: World) -> AsyncIterator[None]:
    async with running(*world.lanes()):
        yield


async def test_many_changes_of_access_before_their_document_do_not_hide_it() -> None:
    async with World() as world:
        upsert = await put(world, "doc", 1, Lane.BULK)
        ids = [
            (await world.accept.set_access(WRITER, "doc", version, (f"group:g{version}",), 0)).event_id
            for version in range(2, 30)
        ]
        live, bulk = world.lanes()
        async with running(live):

            async def handed_over() -> bool:
                return await world.lag(Lane.LIVE) == 0

            await until(handed_over)
        async with running(bulk):
            await until_bulk_lag(world, 0)
        assert await state(world, upsert) is ChangeState.APPLIED
        assert await state(world, ids[-1]) is ChangeState.APPLIED
        head = await world.head("doc")
        assert head is not None
        assert (head.state, head.version, head.principals) == (HeadState.LIVE, 29, ("group:g29",))
