"""Applying changes: one head per document decides, and a crash anywhere leaves the same end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.ingest.world import START, TENANT, WRITER, World

from chassis.errors import DependencyUnavailable, DocumentRejected
from corpus.access import access_tokens
from corpus.domain import ChangeState, Head, HeadState
from ingest.domain import Delete, Outcome, SetAccess

APPLIED = Outcome(ChangeState.APPLIED)
SUPERSEDED = Outcome(ChangeState.SUPERSEDED)
PUBLIC = ("public",)
WRITES = ("chunks.put", "vectors.", "lexical.", "heads.put", "log.append")


async def live(world: World, document_id: str = "guide") -> bool:
    head = await world.head(document_id)
    return head is not None and head.state is HeadState.LIVE


async def test_an_upsert_makes_a_document_live_with_what_was_said_of_it() -> None:
    async with World() as world:
        event = await world.upsert("guide", 5, "Install the pump.\nOpen the valve.", title="Guide", doc_type="manual")
        assert await world.apply.apply(event) == APPLIED
        head = await world.head("guide")
        assert head is not None
        assert (head.version, head.chunks_version, head.event_id) == (5, 5, event.event_id)
        assert (head.title, head.doc_type, head.language, head.filename) == ("Guide", "manual", "en", "a.txt")
        assert head.updated_at == event.accepted_at
        stored, vectors, terms = await world.rows_of("guide")
        assert len(stored) == head.chunk_count
        assert stored == vectors == terms
        assert await world.text("guide") == "Install the pump.\nOpen the valve."


async def test_payload_is_written_before_index_rows_and_the_head_after_all_of_them() -> None:
    names: list[str] = []

    async def note(name, call):
        names.append(name)
        return await call()

    async with World(note) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        wrote = [name for name in names if name.startswith(WRITES)]
        assert wrote[0] == "chunks.put"
        assert sorted(wrote[1:3]) == ["lexical.write", "vectors.write"]
        assert wrote[3:] == ["heads.put", "log.append"]


async def test_a_stale_version_changes_nothing() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "new"))
        for stale in (
            await world.upsert("guide", 4, "old"),
            world.event("guide", 3, Delete()),
            world.event("guide", 2, SetAccess(PUBLIC, 0)),
        ):
            assert await world.apply.apply(stale) == SUPERSEDED
        assert await world.text("guide") == "new"
        assert await world.found_by("public") == set()


async def test_the_same_event_again_is_applied_and_another_one_of_its_version_is_a_duplicate() -> None:
    async with World() as world:
        event = await world.upsert("guide", 5, "new")
        assert await world.apply.apply(event) == APPLIED
        assert await world.apply.apply(event) == APPLIED
        assert len(world.embedder.calls) == 1
        twin = replace(await world.upsert("guide", 5, "other"), event_id="twin")
        assert await world.apply.apply(twin) == Outcome(ChangeState.DUPLICATE)
        assert await world.text("guide") == "new"


async def test_a_late_upsert_after_a_delete_stays_deleted_and_a_newer_one_lives_again() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        await world.apply.apply(world.event("guide", 7, Delete()))
        assert await world.apply.apply(await world.upsert("guide", 6, "late")) == SUPERSEDED
        assert not await live(world)
        assert await world.apply.apply(await world.upsert("guide", 8, "text")) == APPLIED
        assert await live(world)
        assert await world.text("guide") == "text"


async def test_a_delete_of_what_was_never_there_counts() -> None:
    async with World() as world:
        assert await world.apply.apply(world.event("guide", 7, Delete())) == APPLIED
        assert await world.apply.apply(await world.upsert("guide", 6, "late")) == SUPERSEDED
        assert not await live(world)


async def test_an_access_change_before_any_content_keeps_older_readers_out() -> None:
    async with World() as world:
        assert await world.apply.apply(world.event("guide", 6, SetAccess(("group:few",), 3))) == APPLIED
        assert await world.apply.apply(await world.upsert("guide", 5, "text", PUBLIC)) == SUPERSEDED
        assert not await live(world)


async def test_an_access_change_after_a_delete_brings_nothing_back() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        await world.apply.apply(world.event("guide", 6, Delete()))
        await world.apply.apply(world.event("guide", 7, SetAccess(PUBLIC, 0)))
        assert not await live(world)


async def access_steps(world: World, names: list[str], event) -> list[str]:
    names.clear()
    await world.apply.apply(event)
    return [name for name in names if name in ("vectors.set_access", "heads.put")]


async def test_a_grant_widens_rows_first_and_a_revoke_narrows_them_after() -> None:
    names: list[str] = []

    async def note(name, call):
        names.append(name)
        return await call()

    async with World(note) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", ("group:a",)))
        grant = await access_steps(world, names, world.event("guide", 6, SetAccess(("group:a", "group:b"), 0)))
        assert grant[:2] == ["vectors.set_access", "heads.put"]
        assert await world.found_by("group:b") == {("guide", 5)}
        revoke = await access_steps(world, names, world.event("guide", 7, SetAccess(("group:b",), 0)))
        assert revoke == ["heads.put", "vectors.set_access"]
        assert await world.found_by("group:a") == set()
        swap = await access_steps(world, names, world.event("guide", 8, SetAccess(("group:c",), 0)))
        assert swap == ["heads.put", "vectors.set_access", "heads.put", "vectors.set_access"]
        assert await world.found_by("group:b") == set()
        assert await world.found_by("group:c") == {("guide", 5)}


async def test_a_change_that_gives_and_takes_takes_before_rows_are_widened_and_is_applied_after_a_crash_there() -> None:
    armed = False

    async def crash(name, call):
        if armed and name == "vectors.set_access":
            raise DependencyUnavailable("the disk is gone")
        return await call()

    async with World(crash) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", ("group:a", "group:b")))
        swap = world.event("guide", 6, SetAccess(("group:b", "group:c"), 0))
        armed = True
        with pytest.raises(DependencyUnavailable):
            await world.apply.apply(swap)
        head = await world.head("guide")
        assert head is not None
        assert head.version == 5
        assert head.access.tokens == access_tokens(TENANT, ["group:b"])
        armed = False
        assert (await world.apply.apply(swap)).state is ChangeState.APPLIED
        assert await world.found_by("group:a") == set()
        assert await world.found_by("group:b") == await world.found_by("group:c") == {("guide", 5)}


async def test_at_every_moment_of_an_access_change_the_index_shows_what_the_head_allows() -> None:
    seen: list[tuple[set[str], set[str]]] = []

    async def look(name, call):
        result = await call()
        head = await world.head("guide")
        if head is not None:
            allowed = {p for p in ("group:a", "group:b") if access_tokens(TENANT, [p]) <= head.access.tokens}
            seen.append((allowed, {p for p in ("group:a", "group:b") if await world.found_by(p, clearance=9)}))
        return result

    async with World(look) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", ("group:a",)))
        await world.apply.apply(world.event("guide", 6, SetAccess(("group:b",), 5)))
        await world.apply.apply(world.event("guide", 7, SetAccess(("group:a", "group:b"), 1)))
        assert all(allowed <= found for allowed, found in seen)
        assert len(seen) > 8
        assert await world.found_by("group:a", clearance=0) == set()


async def test_unchanged_content_writes_the_head_only() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        expiry = START + timedelta(days=1)
        assert await world.apply.apply(await world.upsert("guide", 6, "text", expires_at=expiry)) == APPLIED
        head = await world.head("guide")
        assert head is not None
        assert (head.version, head.chunks_version, head.expires_at) == (6, 5, expiry)
        assert len(world.embedder.calls) == 1
        assert len((await world.rows_of("guide"))[0]) == 1


async def test_a_changed_description_makes_new_rows_without_embedding_unchanged_text_again() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", doc_type="manual"))
        await world.apply.apply(await world.upsert("guide", 6, "text", doc_type="policy"))
        head = await world.head("guide")
        assert head is not None
        assert (head.chunks_version, head.doc_type) == (6, "policy")
        assert len(world.embedder.texts) == 1


async def test_an_edit_embeds_the_chunks_that_changed_and_no_other() -> None:
    pages = [" ".join(f"word{page}x{n}" for n in range(120)) for page in range(4)]
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "\n".join(pages)))
        before = len(world.embedder.texts)
        pages[2] += " edited"
        await world.apply.apply(await world.upsert("guide", 6, "\n".join(pages)))
        fresh = world.embedder.texts[before:]
        assert before >= 4
        assert 1 <= len(fresh) < before
        assert all("word2x" in text for text in fresh)


async def test_a_bad_document_is_rejected_and_the_good_version_stays() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "good"))
        with pytest.raises(DocumentRejected):
            await world.apply.apply(await world.upsert("guide", 6, "BAD"))
        assert await world.text("guide") == "good"


async def test_bytes_that_vanished_are_a_rejection_with_a_reason() -> None:
    async with World() as world:
        event = await world.upsert("guide", 5, "text")
        world.stores.objects.objects.clear()
        with pytest.raises(DocumentRejected) as raised:
            await world.apply.apply(event)
        assert raised.value.reason == "CONTENT_MISSING"


async def test_too_many_chunks_are_a_rejection_before_anything_is_embedded() -> None:
    text = "\n".join(" ".join(f"word{page}x{n}" for n in range(150)) for page in range(60))
    async with World() as world:
        with pytest.raises(DocumentRejected) as raised:
            await world.apply.apply(await world.upsert("guide", 5, text))
        assert raised.value.reason == "TOO_MANY_CHUNKS"
        assert world.embedder.calls == []


async def test_rows_that_an_earlier_attempt_wrote_from_other_text_do_not_stay() -> None:
    pages = "\n".join(" ".join(f"word{page}x{n}" for n in range(120)) for page in range(4))
    async with World() as world:
        event = await world.upsert("guide", 5, pages)
        await world.apply.index.index(event, event.change, world.generation.current())
        # The next attempt is a newer release, whose parser finds less text in the same bytes.
        await world.stores.objects.put(event.change.content.object_key, b"short")
        assert await world.apply.apply(event) == APPLIED
        stored, vectors, terms = await world.rows_of("guide")
        assert stored == vectors == terms
        assert len(stored) == 1


# -- crashes ------------------------------------------------------------------------------------------------------


async def _a_life(world: World, apply) -> None:
    """Every kind of change, each applied by ``apply``."""
    for event in (
        await world.upsert("guide", 1, "first"),
        world.event("guide", 2, SetAccess(("group:b",), 1)),
        await world.upsert("guide", 3, "second", ("group:a",)),
        await world.upsert("guide", 4, "second", ("group:a", "group:b")),
        world.event("guide", 5, SetAccess(("group:c",), 0)),
        world.event("other", 1, Delete()),
        await world.upsert("other", 2, "third"),
    ):
        await apply(event)


async def _state(world: World) -> object:
    heads = [replace(head, ingest_trace_id="") for head in await world.stores.heads.list(TENANT, include_deleted=True)]
    rows = [await world.rows_of(document_id) for document_id in ("guide", "other")]
    found = [await world.found_by(p, clearance=c) for p in ("group:a", "group:b", "group:c") for c in (0, 1)]
    return heads, rows, found


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("crash", [False, True], ids=["error", "crash"])
async def test_a_failure_between_any_two_steps_and_a_redelivery_end_as_if_nothing_had_happened(
    after: bool, crash: bool
) -> None:
    calls = 0

    async def count(name, call):
        nonlocal calls
        calls += 1
        return await call()

    async with World(count) as world:
        await _a_life(world, world.apply.apply)
        expected, steps = await _state(world), calls
    assert steps > 60

    for step in range(1, steps + 1):
        left = step

        async def fail_once(name, call):
            nonlocal left
            left -= 1
            if left == 0 and not after:
                raise asyncio.CancelledError if crash else DependencyUnavailable("away")
            result = await call()
            if left == 0:
                raise asyncio.CancelledError if crash else DependencyUnavailable("away")
            return result

        async def deliver(event):
            # A crash ends the task that applies the event; somebody else applies it again.
            (ended,) = await asyncio.gather(asyncio.create_task(world.apply.apply(event)), return_exceptions=True)
            if isinstance(ended, BaseException):
                assert await world.apply.apply(event) == APPLIED

        async with World(fail_once) as world:
            await _a_life(world, deliver)
            assert await _state(world) == expected, f"step {step}"


# -- others at work -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", ["chunks.put", "vectors.write", "heads.put"])
async def test_a_worker_that_wakes_up_late_neither_moves_the_head_nor_spoils_rows(held: str) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()

    async def hold(name, call):
        if name == held and not reached.is_set():
            reached.set()
            await gate.wait()
        return await call()

    async with World(hold) as world:
        first = await world.upsert("guide", 5, "text", ("group:a",))
        sleeper = asyncio.create_task(world.apply.apply(first))
        await reached.wait()
        # Its partition went to another worker, which applies this event again and the next one.
        assert await world.apply.apply(first) == APPLIED
        assert await world.apply.apply(world.event("guide", 6, SetAccess(("group:b",), 0))) == APPLIED
        gate.set()
        assert await sleeper == SUPERSEDED
        head = await world.head("guide")
        assert head is not None
        assert head.version == 6
        assert await world.found_by("group:b") == {("guide", 5)}
        assert await world.found_by("group:a") == set()


async def test_a_late_widening_of_rows_does_not_hide_the_document_from_its_newest_readers() -> None:
    gate, reached = asyncio.Event(), asyncio.Event()
    armed = False

    async def hold(name, call):
        nonlocal armed
        if armed and name == "vectors.set_access":
            armed = False
            reached.set()
            await gate.wait()
        return await call()

    async with World(hold) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text", ("group:a",)))
        armed = True
        second = world.event("guide", 6, SetAccess(("group:b",), 0))
        sleeper = asyncio.create_task(world.apply.apply(second))
        await reached.wait()
        await world.apply.apply(second)
        await world.apply.apply(world.event("guide", 7, SetAccess(("group:c",), 0)))
        gate.set()
        assert await sleeper == SUPERSEDED
        assert await world.found_by("group:c") == {("guide", 5)}
        assert await world.found_by("group:a", "group:b") == set()


@pytest.mark.parametrize("recreate", [False, True])
async def test_a_tenant_deleted_midway_keeps_nothing_for_the_next_one_of_its_name(recreate: bool) -> None:
    deleted: list[str] = []

    async def delete_before_commit(name, call):
        if name == "heads.put" and not deleted:
            deleted.append(name)
            world.clock.advance(1)
            await world.manage.delete(WRITER, TENANT)
            if recreate:
                await world.manage.create(WRITER, TENANT, {})
        return await call()

    async with World(delete_before_commit) as world:
        outcome = await world.apply.apply(await world.upsert("guide", 5, "text"))
        assert (outcome.state, outcome.reason) == (ChangeState.SUPERSEDED, "UNKNOWN_TENANT")
        assert not await live(world)
        assert await world.rows_of("guide") == (set(), set(), set())


async def test_changes_of_a_deleted_tenant_are_not_applied_to_a_new_one_of_its_name() -> None:
    async with World() as world:
        event = await world.upsert("guide", 5, "text")
        world.clock.advance(1)
        await world.manage.delete(WRITER, TENANT)
        await world.manage.create(WRITER, TENANT, {})
        assert (await world.apply.apply(event)).reason == "UNKNOWN_TENANT"
        assert await world.head("guide") is None


async def test_who_gives_up_a_change_of_a_deleted_tenant_takes_back_what_he_had_written() -> None:
    """Whoever goes on with the event passes it over, and does not look for what was written late."""

    async def die_after_commit(name, call):
        result = await call()
        if name == "heads.put" and await world.stores.tenants.get(TENANT) is not None:
            await world.manage.delete(WRITER, TENANT)
            await world.stores.heads.put(written[0])  # it was written late
            raise DependencyUnavailable("no answer")
        return result

    written: list[Head] = []
    async with World() as first:
        event = await first.upsert("guide", 5, "text")
        await first.apply.apply(event)
        head = await first.head("guide")
        assert head is not None
        written.append(head)
    async with World(die_after_commit) as world:
        with pytest.raises(DependencyUnavailable):
            await world.apply.apply(await world.upsert("guide", 5, "text"))
        assert await world.head("guide") is not None
        await world.apply.give_up(event)
        assert await world.head("guide") is None
