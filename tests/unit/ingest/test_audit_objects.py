"""Audits of documents' bytes, while names for them come and go."""

from __future__ import annotations

from tests.unit.ingest.audits import SAFETY_AGE, audit, audits, counts
from tests.unit.ingest.world import TENANT, World

from corpus.adapters.memory.dead_letters import MemoryDeadLetterStore
from ingest.audit.survey import Pace
from ingest.domain import Upsert


async def test_bytes_whose_replay_settles_while_names_are_looked_for_are_kept() -> None:
    async with World() as world:
        event = await world.upsert("guide", 1, "text")
        assert isinstance(event.change, Upsert)
        key = event.change.content.object_key
        world.clock.advance(SAFETY_AGE + 1)

        class Letters(MemoryDeadLetterStore):
            async def list(self, *args, **kwargs):
                found = await super().list(*args, **kwargs)
                if not found and await world.head("guide") is None:
                    await world.apply.apply(event)
                return found

        report = await audits(world, letters=Letters()).audit(TENANT, repair=True)
        assert counts(report) == {}
        assert await world.stores.objects.exists(key)


async def test_bytes_that_are_needed_again_before_they_are_collected_stay() -> None:
    async with World() as world:
        event = await world.upsert("replayed", 1, "text")
        again = await world.upsert("again", 1, "other")
        assert isinstance(event.change, Upsert)
        assert isinstance(again.change, Upsert)
        world.clock.advance(SAFETY_AGE + 1)
        objects = audits(world).objects
        surveyed = await objects.survey(TENANT, Pace())
        assert len(await objects.confirm(TENANT, surveyed)) == 2
        await world.apply.apply(event)
        await world.apply.apply(await world.upsert("again", 2, "other"))
        assert await objects.collect(TENANT, surveyed, Pace()) == 0
        assert await objects.confirm(TENANT, surveyed) == []
        for change in (event.change, again.change):
            assert await world.stores.objects.exists(change.content.object_key)


async def test_bytes_that_are_put_again_while_they_are_set_aside_stay() -> None:
    async with World() as world:
        await world.upsert("guide", 1, "text")
        world.clock.advance(SAFETY_AGE + 1)
        objects = world.stores.objects
        put = objects.put

        async def meanwhile(key, data):
            await put(key, data)
            if key.startswith("collected/"):
                await world.apply.apply(await world.upsert("guide", 2, "text"))

        objects.put = meanwhile  # type: ignore[assignment,method-assign]
        await audit(world, repair=True)
        head = await world.head("guide")
        assert head is not None
        assert await objects.exists(head.object_key)


async def test_bytes_that_lie_aside_and_are_needed_are_missing_and_put_back_and_never_purged() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 1, "text"))
        head = await world.head("guide")
        assert head is not None
        objects = world.stores.objects
        await objects.put(f"collected/{head.object_key}", await objects.get(head.object_key))
        await objects.delete(head.object_key)
        assert counts(await audit(world)) == {"missing objects": 1}
        world.clock.advance(SAFETY_AGE + 1)
        report = await audit(world, repair=True)
        assert (counts(report), report.left, report.unrepairable) == ({"missing objects": 1}, [], {})
        assert await objects.exists(head.object_key)
        assert counts(await audit(world)) == {}


async def test_what_was_set_aside_is_removed_although_nothing_else_differs() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("other", 1, "other"))
        await world.upsert("guide", 1, "text")
        world.clock.advance(SAFETY_AGE + 1)
        await audit(world, repair=True)
        assert len([key async for key in world.stores.objects.list("collected/")]) == 1
        world.clock.advance(SAFETY_AGE + 1)
        assert counts(await audit(world)) == {}
        assert len([key async for key in world.stores.objects.list("collected/")]) == 1
        report = await audit(world, repair=True)
        assert counts(report) == {}
        assert [key async for key in world.stores.objects.list("collected/")] == []
