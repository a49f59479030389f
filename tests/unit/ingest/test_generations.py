"""A second generation is built, kept, promoted, rolled back and dropped while changes go on."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.ingest.generations_world import GenerationsWorld, passing, promoted, shadow
from tests.unit.ingest.world import READER, START, TENANT, WRITER, Stores

from chassis.clock import ManualClock
from chassis.errors import DependencyUnavailable, FailedPrecondition, HeadwaterError, InvalidRequest
from corpus.domain import ChangeState, DocumentKey
from ingest.domain import Delete, SetAccess
from ingest.generation import ActiveGeneration

LONG = "\n".join(f"text number {n} of the long one is here" for n in range(30))


async def test_a_shadow_is_built_from_what_is_there_while_searches_go_on() -> None:
    async with GenerationsWorld() as world:
        await world.put("a", 1, LONG)
        await world.put("b", 1, "text of b")
        before = await world.served()
        name = await shadow(world)
        assert (await world.operate.status(WRITER)).missing == 2
        await world.keeper().once()
        status = await world.operate.status(WRITER)
        assert status.missing == 0
        assert status.progress is not None
        assert (status.progress.documents, status.progress.done, status.progress.failed) == (2, 2, 0)
        assert status.progress.complete_at is not None
        assert await world.served() == before
        assert (await world.served_by(name)).keys() == before.keys()
        key = DocumentKey(TENANT, "a")
        chunks = [await world.stores.chunks.chunks_of(key, 1, made) for made in (world.generation.current().name, name)]
        assert len(chunks[1]) > len(chunks[0])


async def test_changes_reach_both_generations_before_their_heads_name_them() -> None:
    async with GenerationsWorld() as world:
        await world.put("a", 1, "text one")
        await world.put("gone", 1, "text of what will be gone")
        name = await shadow(world)
        await world.keeper().once()
        await world.put("a", 2, "text two")
        await world.put("new", 1, "text of a new one")
        await world.apply.apply(world.event("gone", 2, Delete()))
        expected = {"a": "text two", "new": "text of a new one"}
        assert await world.served() == await world.served_by(name) == expected
        assert (await world.operate.status(WRITER)).missing == 0


async def test_a_revocation_holds_in_both_generations() -> None:
    async with GenerationsWorld() as world:
        await world.put("a", 1, "text one", "group:staff", "group:eng")
        name = await shadow(world)
        await world.keeper().once()
        await world.apply.apply(world.event("a", 2, SetAccess(("group:eng",), 0)))
        await world.apply.apply(world.event("a", 3, SetAccess(("group:eng", "group:ops"), 0)))
        for generation in (world.generation.current().name, name):
            assert await world.served_by(generation) == {}
            assert (await world.served_by(generation, "group:eng")).keys() == {"a"}
            assert (await world.served_by(generation, "group:ops")).keys() == {"a"}
        for index in (world.stores.vectors, world.stores.lexical):
            rows = [row async for page in index.scan(name, TENANT) for row in page]
            others = [row async for page in index.scan(world.generation.current().name, TENANT) for row in page]
            assert {row.access for row in rows} == {row.access for row in others}


async def test_a_promotion_and_a_rollback_lose_nothing_that_changed_meanwhile() -> None:
    async with GenerationsWorld() as world:
        first = world.generation.current().name
        await world.put("a", 1, LONG)
        name = await promoted(world)
        assert world.generation.current().name == first
        await world.put("a", 2, "text two")
        await world.put("b", 1, "text of b")
        assert world.generation.current().name == name
        expected = {"a": "text two", "b": "text of b"}
        assert await world.served() == await world.served_by(first) == expected
        plan = await world.operate.roll_back(WRITER)
        assert plan.active.name == first
        await world.put("b", 2, "text of b again")
        assert await world.served() == {"a": "text two", "b": "text of b again"}
        # It may be promoted again: it was kept up to date.
        await world.operate.promote(WRITER, name)
        assert await world.served() == {"a": "text two", "b": "text of b again"}


async def test_nothing_is_promoted_without_a_passing_verdict_unless_forced_with_a_reason() -> None:
    async with GenerationsWorld() as world:
        await world.put("a", 1, "text one")
        name = await shadow(world)
        await world.keeper().once()
        with pytest.raises(FailedPrecondition) as refused:
            await world.operate.promote(WRITER, name)
        assert refused.value.reason == "VERDICT_FAILED"
        worse = replace(passing(world.generation.current().name), hit_beside=0.7)
        assert await world.operate.record_comparison(WRITER, name, worse)
        with pytest.raises(FailedPrecondition) as refused:
            await world.operate.promote(WRITER, name)
        assert "Hit@10" in refused.value.message
        with pytest.raises(InvalidRequest):
            await world.operate.promote(WRITER, name, force=True, reason=" ")
        plan = await world.operate.promote(WRITER, name, force=True, reason="the old model is withdrawn")
        assert plan.reason == "promoted, forced: the old model is withdrawn"


async def test_an_incomplete_generation_is_never_promoted() -> None:
    async with GenerationsWorld() as world:
        await world.put("a", 1, "text one")
        name = await shadow(world)
        await world.operate.record_comparison(WRITER, name, passing(world.generation.current().name))
        with pytest.raises(FailedPrecondition) as refused:
            await world.operate.promote(WRITER, name, force=True, reason="now")
        assert refused.value.reason == "GENERATION_INCOMPLETE"
        plan = await world.stores.generations.plan()
        assert plan is not None
        assert plan.beside is not None
        assert not plan.beside.required


async def test_another_model_is_built_by_the_second_embedder() -> None:
    async with GenerationsWorld() as world:
        await world.put("a", 1, "text one")
        name = await shadow(world, second_embedder=True)
        await world.keeper().once()
        assert world.second.texts
        assert await world.served_by(name) == {"a": "text one"}


async def test_a_shadow_that_is_down_holds_up_no_change_and_its_gaps_are_filled() -> None:
    async with GenerationsWorld() as world:
        name = await shadow(world, second_embedder=True)
        world.second.down = True
        await world.put("a", 1, "text one")
        assert await world.served() == {"a": "text one"}
        assert (await world.operate.status(WRITER)).missing == 1
        await world.keeper().once()
        progress = (await world.operate.status(WRITER)).progress
        assert progress is not None
        assert (progress.failed, progress.complete_at) == (1, None)
        world.second.down = False
        await world.keeper().once()
        assert (await world.operate.status(WRITER)).missing == 0
        assert await world.served_by(name) == {"a": "text one"}


async def test_a_required_generation_holds_a_change_back_until_it_is_written_there() -> None:
    async with GenerationsWorld() as world:
        await shadow(world, second_embedder=True)
        plan = await world.stores.generations.plan()
        assert plan is not None
        assert await world.stores.generations.change(plan.requiring(True))
        world.second.down = True
        event = await world.upsert("a", 1, "text one")
        with pytest.raises(DependencyUnavailable):
            await world.apply.apply(event)
        assert await world.head("a") is None
        world.second.down = False
        assert (await world.apply.apply(event, again=True)).state is ChangeState.APPLIED


async def test_a_change_that_began_before_the_shadow_was_created_is_written_to_it_as_well() -> None:
    made: list[str] = []

    async def create_meanwhile(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if name == "vectors.write" and not made:
            made.append("")
            made.append(await shadow(world))
        return await call()

    async with GenerationsWorld(create_meanwhile) as world:
        await world.put("a", 1, "text one")
        assert await world.served_by(made[1]) == await world.served() == {"a": "text one"}
        assert (await world.operate.status(WRITER)).missing == 0


async def test_a_document_that_changes_while_it_is_built_is_built_as_it_is_then() -> None:
    changed: list[str] = []

    async def change_meanwhile(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if name == "vectors.write" and building and not changed:
            changed.append("")
            await world.put("a", 2, "text two")
            await world.apply.apply(world.event("a", 3, SetAccess(("group:eng",), 0)))
        return await call()

    building = False
    async with GenerationsWorld(change_meanwhile) as world:
        await world.put("a", 1, "text one")
        name = await shadow(world)
        building = True
        await world.keeper().once()
        assert await world.served_by(name) == {}
        assert await world.served_by(name, "group:eng") == {"a": "text two"}
        assert (await world.operate.status(WRITER)).missing == 0


async def test_a_build_that_dies_at_any_call_goes_on_in_another_worker() -> None:
    for dies_at in itertools.count():
        calls = 0

        async def die(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
            nonlocal calls
            calls += 1
            if building and calls > dies_at:  # noqa: B023
                raise DependencyUnavailable("killed")
            return await call()

        building = False
        clock = ManualClock(START)
        stores = Stores(clock)
        async with GenerationsWorld(stores=stores, clock=clock) as world:
            await world.put("a", 1, LONG)
            await world.put("b", 1, "text of b")
            name = await shadow(world)
            expected = await world.served()
            async with GenerationsWorld(die, stores, clock) as doomed:
                calls, building = 0, True
                with contextlib.suppress(HeadwaterError):
                    await doomed.keeper("doomed").once()
                survived = calls <= dies_at
                building = False
            assert await world.served() == expected
            clock.advance(60.0)
            await world.keeper().once()
            assert (await world.operate.status(WRITER)).missing == 0
            assert (await world.served_by(name)).keys() == expected.keys()
            for index in (stores.vectors, stores.lexical):
                chunks = {row.chunk_id async for page in index.scan(name, TENANT) for row in page}
                made = [await stores.chunks.chunks_of(DocumentKey(TENANT, each), 1, name) for each in expected]
                assert chunks == {chunk.chunk_id for of_document in made for chunk in of_document}
        await stores.log.close()
        if survived:
            assert dies_at > 10
            return


async def test_a_second_worker_leaves_a_build_to_the_first_while_it_lives() -> None:
    async with GenerationsWorld() as world:
        await world.put("a", 1, "text one")
        name = await shadow(world)
        await world.keeper("one").once()
        await world.keeper("two").once()
        progress = (await world.operate.status(WRITER)).progress
        assert progress is not None
        assert progress.worker == "one"
        world.clock.advance(60.0)
        await world.keeper("two").once()
        progress = (await world.operate.status(WRITER)).progress
        assert progress is not None
        assert progress.worker == "two"
        assert await world.served_by(name) == {"a": "text one"}


async def test_nothing_is_left_of_a_dropped_generation_and_its_name_never_comes_back() -> None:
    async with GenerationsWorld() as world:
        await world.put("a", 1, LONG)
        name = await shadow(world)
        await world.keeper().once()
        await world.operate.drop(WRITER, name)
        await world.put("b", 1, "text of b")
        await world.keeper().once()
        plan = await world.stores.generations.plan()
        assert plan is not None
        assert (plan.beside, plan.leaving) == (None, (name,))
        # Some may still search or write it.
        assert [page async for page in world.stores.vectors.scan(name, TENANT)]
        world.clock.advance(10.0)
        await world.keeper().once()
        plan = await world.stores.generations.plan()
        assert plan is not None
        assert plan.leaving == ()
        assert not [page async for page in world.stores.vectors.scan(name, TENANT)]
        assert not [page async for page in world.stores.lexical.scan(name, TENANT)]
        assert {each.generation for each in await world.stores.chunks.stored_versions(TENANT)} == {plan.active.name}
        assert (await world.served()).keys() == {"a", "b"}
        assert await shadow(world) != name


async def test_the_generation_before_is_dropped_once_the_new_one_lacks_nothing() -> None:
    async with GenerationsWorld() as world:
        first = world.generation.current().name
        await world.put("a", 1, LONG)
        await promoted(world)
        expected = await world.served()
        await world.operate.drop(WRITER, first)
        world.clock.advance(10.0)
        await world.keeper().once()
        assert not [page async for page in world.stores.vectors.scan(first, TENANT)]
        await world.apply.apply(world.event("a", 2, SetAccess(("group:eng",), 0)))
        assert await world.served() == {}
        assert await world.served("group:eng") == expected
        await world.put("a", 3, "text three")
        world.clock.advance(10 * 3600.0)
        sweeper = replace(world.sweeper(), generations=world.stores.generations)
        await sweeper.sweep()
        assert await world.served() == {"a": "text three"}


async def test_the_sweeper_keeps_what_a_head_names_in_either_generation() -> None:
    async with GenerationsWorld() as world:
        await world.put("a", 1, "text one")
        name = await shadow(world)
        await world.keeper().once()
        world.clock.advance(10 * 3600.0)
        sweeper = replace(world.sweeper(), generations=world.stores.generations)
        assert await sweeper.sweep() == 0
        await world.put("a", 2, "text two")
        world.clock.advance(10 * 3600.0)
        assert await sweeper.sweep() == 2
        assert await world.served_by(name) == await world.served() == {"a": "text two"}


async def test_a_worker_starts_with_the_generation_that_was_promoted() -> None:
    async with GenerationsWorld() as world:
        await world.put("a", 1, "text one")
        name = await promoted(world)
        restarted = ActiveGeneration(world.stores.generations, world.embedder, 200)
        assert (await restarted.settle()).name == name


async def test_settings_that_ask_for_another_generation_are_refused_while_none_was_promoted() -> None:
    async with GenerationsWorld() as world:
        with pytest.raises(FailedPrecondition) as refused:
            await ActiveGeneration(world.stores.generations, world.embedder, 100).settle()
        assert refused.value.reason == "MODEL_MISMATCH"


async def test_only_administrators_operate_generations() -> None:
    async with GenerationsWorld() as world:
        operate = world.operate
        for call in (
            operate.status(READER),
            operate.create(READER),
            operate.promote(READER, "g1"),
            operate.roll_back(READER),
            operate.drop(READER, "g1"),
            operate.record_comparison(READER, "g1", passing("g")),
        ):
            with pytest.raises(HeadwaterError) as refused:
                await call
            assert refused.value.grpc_status == "PERMISSION_DENIED"


@pytest.mark.parametrize("wanted", [{"chunk_target_tokens": 5}, {"chunk_target_tokens": 5_000}, {}])
async def test_a_shadow_must_be_possible_and_another_one(wanted: dict[str, int]) -> None:
    async with GenerationsWorld() as world:
        with pytest.raises(HeadwaterError) as refused:
            await world.operate.create(WRITER, **wanted)
        assert refused.value.reason in ("BAD_CHUNK_SIZE", "SAME_GENERATION")
        await shadow(world)
        with pytest.raises(FailedPrecondition) as there:
            await shadow(world)
        assert there.value.reason == "GENERATION_BESIDE"


async def test_readers_who_come_while_a_document_is_built_find_it_there() -> None:
    building = False
    widened, built = asyncio.Event(), asyncio.Event()
    changes: list[asyncio.Task[Any]] = []

    async def widen_meanwhile(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if building and name == "chunks.put" and not changes:
            # The change finds no rows to widen beside yet, and the build no wider head.
            event = world.event("a", 2, SetAccess(("group:staff", "group:ops"), 0))
            changes.append(asyncio.create_task(world.apply.apply(event)))
            await widened.wait()
        if building and name == "heads.put":
            widened.set()
            await built.wait()
        return await call()

    async with GenerationsWorld(widen_meanwhile) as world, asyncio.timeout(10):
        await world.put("a", 1, "text one")
        name = await shadow(world)
        building = True
        await world.keeper().once()
        built.set()
        await changes[0]
        assert await world.served_by(name, "group:ops") == await world.served("group:ops") == {"a": "text one"}
