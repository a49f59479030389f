"""Documents on hold: what holds them, what does not end it, and who may know."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.ingest.test_rebuild import heads_of
from tests.unit.ingest.world import READER, STAFF, START, TENANT, WRITER, World

from chassis.clock import HybridLogicalClock, ManualClock
from chassis.errors import DependencyUnavailable, FailedPrecondition, InvalidRequest, NotFound, PermissionDenied
from chassis.identity import Scope
from corpus.domain import Announcement, CalledOff, DocumentKey, HeadState, Hold
from corpus.feed import HEADS_TOPIC, decode_announcement, decode_hold, held_document, read_record_key
from headwater.ingest.v1 import ingest_pb2
from ingest.domain import Delete, SetAccess
from ingest.handle import pending_record
from ingest.messages import document
from ingest.reviews.holds import HoldDocuments

KEY = DocumentKey(TENANT, "guide")
REVIEWER = replace(READER, subject="rita", scopes=frozenset({Scope.READ, Scope.REVIEW}))
WRITING_REVIEWER = replace(REVIEWER, scopes=REVIEWER.scopes | {Scope.WRITE})
OUTSIDER = replace(REVIEWER, subject="otto", groups=frozenset())


def holds(world: World) -> HoldDocuments:
    return HoldDocuments(
        world.stores.tenants,
        world.apply.heads,
        world.apply.feed,
        HybridLogicalClock(world.clock),
        world.clock,
    )


async def is_held(world: World) -> bool:
    head = await world.head("guide")
    assert head is not None
    return head.held


async def last_said_of_the_hold(world: World) -> tuple[Announcement | CalledOff | None, Hold | None]:
    """What compaction keeps under the hold's key."""
    found = None
    reader = world.stores.log.reader(HEADS_TOPIC)
    await reader.start()
    while records := await reader.poll(1000, 0.0):
        for record in records:
            name = read_record_key(record.key)
            if name is not None and held_document(name[1]) and record.value:
                found = record.value
    await reader.stop()
    if found is None:
        return None, None
    try:
        return decode_announcement(found), decode_hold(found)
    except InvalidRequest:
        return decode_announcement(found), None


async def test_a_held_document_is_shown_to_writers_and_to_no_reader() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        held = await holds(world).hold(REVIEWER, "guide", "two prices")
        assert (held.hold.by, held.hold.reason, held.hold.held) == ("rita", "two prices", True)
        assert await is_held(world)
        with pytest.raises(NotFound):
            await world.look.get(READER, "guide")
        assert await world.look.list(READER, after="", prefix="", page_size=10, include_deleted=False) == ([], "")
        view = await world.look.get(WRITER, "guide")
        shown = document("guide", view.head, view.changes, WRITER)
        assert shown.state == ingest_pb2.DOCUMENT_STATE_HELD
        await holds(world).release(REVIEWER, "guide")
        assert (await world.look.get(READER, "guide")).document_id == "guide"


CHANGES = ["a new version", "another reader", "the same again", "a delete and a new document"]


@pytest.mark.parametrize("change", CHANGES)
async def test_no_change_of_the_document_ends_a_hold(change: str) -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        await holds(world).hold(REVIEWER, "guide")
        match change:
            case "a new version":
                await world.apply.apply(await world.upsert("guide", 6, "other text"))
            case "another reader":
                await world.apply.apply(world.event("guide", 6, SetAccess(("public",), 0)))
            case "the same again":
                await world.apply.apply(await world.upsert("guide", 6, "text"))
            case _:
                await world.apply.apply(world.event("guide", 6, Delete()))
                await world.apply.apply(await world.upsert("guide", 7, "text"))
        assert await is_held(world)
        head = await world.head("guide")
        assert head is not None
        assert head.state is HeadState.LIVE


async def test_a_change_that_was_under_way_when_the_hold_came_does_not_end_it() -> None:
    holder: list[HoldDocuments] = []

    async def held_before_the_head_is_written(name, call):
        if name == "heads.put" and holder:
            await holder.pop().hold(REVIEWER, "guide")
        return await call()

    async with World(held_before_the_head_is_written) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        event = await world.upsert("guide", 6, "other text")
        holder.append(holds(world))
        await world.apply.apply(event)
        head = await world.head("guide")
        assert head is not None
        assert (head.version, head.held) == (6, True)


async def test_a_hold_takes_no_version_of_the_document() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        await holds(world).hold(REVIEWER, "guide")
        head = await world.head("guide")
        assert head is not None
        assert head.version == 5


async def test_holding_and_releasing_again_change_nothing() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        first = await holds(world).hold(REVIEWER, "guide", "first")
        world.clock.advance(5)
        assert (await holds(world).hold(WRITER, "guide", "second")).hold == first.hold
        await holds(world).release(REVIEWER, "guide")
        released = await world.stores.heads.hold(KEY)
        assert released is not None
        assert (released.held, released.version > first.hold.version) == (False, True)
        world.clock.advance(5)
        await holds(world).release(REVIEWER, "guide")
        assert await world.stores.heads.hold(KEY) == released
        assert await world.stores.heads.holds(TENANT) == []


async def test_what_was_never_held_can_be_released() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        await holds(world).release(REVIEWER, "guide")
        assert await world.stores.heads.hold(KEY) is None


async def test_replicas_are_in_doubt_from_before_the_write_until_after_it() -> None:
    seen: list[str] = []

    async def note(name, call):
        seen.append(name)
        return await call()

    async with World(note) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        seen.clear()
        await holds(world).hold(REVIEWER, "guide")
        writes = [name for name in seen if name in ("heads.set_hold", "log.append")]
        assert writes == ["log.append", "heads.set_hold", "log.append"]
        assert await last_said_of_the_hold(world) == (None, await world.stores.heads.hold(KEY))


@pytest.mark.parametrize("release", [False, True])
@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_a_change_of_a_hold_that_was_cut_off_is_made_whole_by_repeating_it(failing: int, release: bool) -> None:
    steps = 0
    armed = False

    async def fail(name, call):
        nonlocal steps
        if armed and name in ("heads.set_hold", "log.append"):
            steps += 1
            if steps == failing:
                raise DependencyUnavailable("Down.", reason="DOWN")
        return await call()

    async with World(fail) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        if release:
            await holds(world).hold(REVIEWER, "guide")
        change = holds(world).release if release else holds(world).hold
        armed = True
        with pytest.raises(DependencyUnavailable):
            await change(REVIEWER, "guide")
        assert await is_held(world) is (release != (failing == 3))
        announced, kept = await last_said_of_the_hold(world)
        assert (announced is not None) is (failing > 1)
        # Nothing that was said before is lost from the feed by the announcement.
        assert (kept is not None and kept.held) is release
        await change(REVIEWER, "guide")
        assert await is_held(world) is not release
        assert await last_said_of_the_hold(world) == (None, await world.stores.heads.hold(KEY))


async def test_whoever_stood_still_before_he_could_publish_leaves_the_newest_word_on_the_feed() -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()
    appended = 0

    async def stand_still(name, call):
        nonlocal appended
        if armed and name == "log.append":
            appended += 1
            if appended == 2:
                reached.set()
                await go_on.wait()
        return await call()

    armed = False
    async with World(stand_still) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        await holds(world).hold(REVIEWER, "guide")
        armed = True
        releasing = asyncio.create_task(holds(world).release(REVIEWER, "guide"))
        await reached.wait()
        await holds(world).hold(REVIEWER, "guide", "no")
        go_on.set()
        await releasing
        assert await last_said_of_the_hold(world) == (None, await world.stores.heads.hold(KEY))
        assert await is_held(world)


async def test_of_two_reviewers_at_the_same_moment_both_are_heard_one_after_the_other() -> None:
    waiting = asyncio.Event()
    met = 0

    async def meet(name, call):
        nonlocal met
        if name == "heads.set_hold" and met < 2:
            met += 1
            if met == 2:
                waiting.set()
            await waiting.wait()
        return await call()

    async with World(meet) as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        await world.stores.heads.set_hold(Hold(KEY, 1, False, START))
        fixed = ManualClock(START)
        one, other = (replace(holds(world), versions=HybridLogicalClock(fixed)) for _ in range(2))
        held, _ = await asyncio.gather(one.hold(REVIEWER, "guide"), other.impose(KEY, "rule:stale", "stale"))
        assert held.hold.held
        assert await is_held(world)


async def test_holds_that_were_lost_with_the_heads_come_back_with_them() -> None:
    async with World() as world:
        receipt = await world.upsert("guide", 5, "text")
        await world.change_log.append(receipt)
        await world.stores.ledger.accept(pending_record(receipt))
        consumer = asyncio.create_task(world.consumer().run())
        while await world.head("guide") is None or await world.lag():
            await asyncio.sleep(0.001)
        consumer.cancel()
        await asyncio.gather(consumer, return_exceptions=True)
        reviewing = holds(world)
        await reviewing.hold(REVIEWER, "guide", "two prices")
        await reviewing.release(REVIEWER, "guide")
        await reviewing.hold(REVIEWER, "guide", "three prices")
        # A release that was announced and never came.
        await world.apply.feed.announce_hold(Hold(KEY, 2**62, False, START), await world.stores.heads.hold(KEY))
        before = await world.stores.heads.hold(KEY)
        await world.stores.heads.drop_tenant(TENANT)
        await (await heads_of(world)).rebuild(TENANT)
        assert await world.stores.heads.hold(KEY) == before
        assert await is_held(world)


async def test_with_its_tenant_a_hold_is_forgotten_on_the_feed() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        await holds(world).hold(REVIEWER, "guide")
        await world.manage.delete(WRITER, TENANT)
        assert await world.stores.heads.hold(KEY) is None
        last: dict[bytes, bytes | None] = {}
        reader = world.stores.log.reader(HEADS_TOPIC)
        await reader.start()
        while records := await reader.poll(1000, 0.0):
            last |= {record.key: record.value for record in records}
        await reader.stop()
        assert [value for value in last.values() if value is not None] == []


@pytest.mark.parametrize("caller", [READER, replace(WRITER, scopes=frozenset({Scope.READ, Scope.WRITE}))])
async def test_only_reviewers_and_administrators_hold_release_and_look(caller) -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        for call in (
            holds(world).hold(caller, "guide"),
            holds(world).release(caller, "guide"),
            holds(world).list(caller, "", 10),
        ):
            with pytest.raises(PermissionDenied):
                await call


@pytest.mark.parametrize("case", ["not readable", "above the clearance", "unknown", "deleted"])
async def test_a_reviewer_who_may_not_read_a_document_does_not_learn_that_there_is_one(case: str) -> None:
    async with World() as world:
        level = 1 if case == "above the clearance" else 0
        await world.apply.apply(await world.upsert("guide", 5, "text", STAFF, security_level=level))
        if case == "deleted":
            await world.apply.apply(world.event("guide", 6, Delete()))
        caller = OUTSIDER if case == "not readable" else REVIEWER
        name = "nothing" if case == "unknown" else "guide"
        for call in (holds(world).hold(caller, name), holds(world).release(caller, name)):
            with pytest.raises(NotFound) as caught:
                await call
            assert caught.value.reason == "UNKNOWN_DOCUMENT"
        await holds(world).impose(KEY, "rule:stale", "stale")
        if case != "unknown":
            assert await holds(world).list(caller, "", 10) == ([], "")


async def test_a_release_of_another_version_than_the_one_that_was_looked_at_is_refused() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        await holds(world).hold(REVIEWER, "guide")
        await world.apply.apply(await world.upsert("guide", 6, "other"))
        with pytest.raises(FailedPrecondition) as caught:
            await holds(world).release(REVIEWER, "guide", 5)
        assert caught.value.reason == "DOCUMENT_CHANGED"
        assert await is_held(world)
        await holds(world).release(REVIEWER, "guide", 6)
        assert not await is_held(world)


async def test_holds_are_listed_page_by_page_with_what_they_are_of() -> None:
    async with World() as world:
        for name in ("a", "b", "c"):
            await world.apply.apply(await world.upsert(name, 5, name, title=name.upper()))
            await holds(world).hold(REVIEWER, name)
        first, following = await holds(world).list(REVIEWER, "", 2)
        assert ([each.head.title for each in first if each.head], following) == (["A", "B"], "b")
        rest, following = await holds(world).list(REVIEWER, following, 2)
        assert ([each.hold.key.document_id for each in rest], following) == (["c"], "")


async def test_a_reason_has_a_length_and_a_tenant_has_to_be_there() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        with pytest.raises(InvalidRequest):
            await holds(world).hold(REVIEWER, "guide", "x" * 301)
        with pytest.raises(NotFound):
            await holds(world).hold(replace(REVIEWER, tenant_id="nobody"), "guide")


async def test_pages_of_holds_name_no_document_that_the_caller_may_not_know_of() -> None:
    async with World() as world:
        for document_id in ("a-secret", "guide", "m-secret", "note", "z-secret"):
            await world.apply.apply(await world.upsert(document_id, 5, f"text of {document_id}"))
            await holds(world).impose(DocumentKey(TENANT, document_id), "ada", "")
        for document_id in ("a-secret", "m-secret", "z-secret"):
            await world.apply.apply(world.event(document_id, 6, SetAccess(("group:board",), 0)))
        first, following = await holds(world).list(REVIEWER, "", 1)
        assert ([each.hold.key.document_id for each in first], following) == (["guide"], "guide")
        second, following = await holds(world).list(REVIEWER, following, 1)
        assert ([each.hold.key.document_id for each in second], following) == (["note"], "")


async def test_of_an_expired_document_a_reviewer_who_does_not_write_knows_as_little_as_every_reader() -> None:
    async with World() as world:
        soon = world.clock.now() + timedelta(days=1)
        await world.apply.apply(await world.upsert("guide", 5, "text", STAFF, expires_at=soon))
        await holds(world).hold(REVIEWER, "guide")
        world.clock.advance(2 * 86_400.0)
        assert await holds(world).list(REVIEWER, "", 10) == ([], "")
        with pytest.raises(NotFound):
            await holds(world).release(REVIEWER, "guide")
        assert len((await holds(world).list(WRITING_REVIEWER, "", 10))[0]) == 1


async def test_a_person_takes_over_what_a_rule_holds_and_no_rule_what_a_person_holds() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, "text"))
        await holds(world).impose(KEY, "rule:stale", "stale")
        held = await holds(world).hold(REVIEWER, "guide", "two prices")
        assert (held.hold.by, held.hold.reason) == ("rita", "two prices")
        assert (await holds(world).impose(KEY, "rule:stale", "stale")).by == "rita"
        assert await last_said_of_the_hold(world) == (None, held.hold)
