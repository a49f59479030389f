"""Audits: every kind of damage is found, counted exactly and mended, and nothing else is."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.ingest.audits import GRACE, SAFETY_AGE, audit, audits, counts
from tests.unit.ingest.world import DIMENSIONS, STAFF, TENANT, WRITER, World, stop, until

from chassis.errors import DependencyUnavailable
from corpus.access import access_tokens
from corpus.adapters.memory.dead_letters import MemoryDeadLetterStore
from corpus.domain import AccessPolicy, ChangeState, DocumentKey, LexicalRow, VectorRow
from ingest.audit.differences import StoreName
from ingest.domain import Delete, Draft, SetAccess, Upsert

TEXT = "".join(f"{word} " * 160 + "\n" for word in ("one", "two", "three"))
"""Three chunks."""


async def filled(world: World, documents: int = 5) -> None:
    for n in range(documents):
        await world.apply.apply(await world.upsert(f"d{n:03}", 1, TEXT + f"number {n}"))


async def indexed(world: World, store: str) -> list[str]:
    index = getattr(world.stores, store)
    return sorted(await index.chunk_ids(world.generation.current().name, TENANT))


async def clean(world: World) -> None:
    report = await audit(world)
    assert counts(report) == {}
    assert report.unsettled == 0


async def test_stores_that_agree_have_no_differences() -> None:
    async with World() as world:
        await clean(world)
        await filled(world)
        await world.apply.apply(world.event("d001", 2, SetAccess(("user:eve",), 2)))
        await world.apply.apply(world.event("d002", 2, Delete()))
        await world.apply.apply(await world.upsert("d003", 2, "other text"))
        report = await audit(world)
        assert counts(report) == {}
        assert report.documents == 5
        assert report.rows[StoreName.VECTOR] == report.rows[StoreName.LEXICAL] == report.rows[StoreName.CHUNKS] > 5


@pytest.mark.parametrize("store", ["vectors", "lexical"])
async def test_fifty_chunks_deleted_behind_our_back_are_reported_and_mended(store: str) -> None:
    async with World() as world:
        await filled(world, 40)
        before = await indexed(world, store)
        lost = sorted(random.Random(7).sample(before, 50))
        await getattr(world.stores, store).delete(world.generation.current().name, TENANT, lost)
        report = await audit(world)
        assert sorted(each.chunk_id for each in report.found) == lost
        assert counts(report) == {f"missing {'vector' if store == 'vectors' else 'lexical'}": 50}
        world.embedder.calls.clear()
        repaired = await audit(world, repair=True)
        assert (len(repaired.found), repaired.left, repaired.unrepairable) == (50, [], {})
        assert await indexed(world, store) == before
        assert world.embedder.calls == []  # the vectors were known
        await clean(world)


async def test_an_index_that_is_lost_as_a_whole_is_mended_by_several_audits_of_bounded_size() -> None:
    async with World() as world:
        await filled(world, 40)
        before = await indexed(world, "vectors")
        await world.stores.vectors.delete(world.generation.current().name, TENANT, before)
        made = audits(world)
        small = replace(made, survey=replace(made.survey, rows_listed_at_once=20, most_suspect_rows=30))
        reports = [await small.audit(TENANT, repair=True)]
        while reports[-1].buckets_left:
            reports.append(await small.audit(TENANT, repair=True))
        assert len(reports) > 2
        assert all(0 < len(report.found) <= 50 for report in reports)
        assert sum(len(report.found) for report in reports) == len(before)
        assert await indexed(world, "vectors") == before
        await clean(world)


async def test_what_was_mended_is_found_by_the_same_searches_as_before() -> None:
    async with World() as world:
        await filled(world)
        by_vector, by_terms = await world.found_by(*STAFF), await world.found_by_terms(*STAFF)
        for store in ("vectors", "lexical"):
            await getattr(world.stores, store).drop_tenant(TENANT)
        report = await audit(world, repair=True)
        assert counts(report).keys() == {"missing vector", "missing lexical"}
        assert await world.found_by(*STAFF) == by_vector
        assert await world.found_by_terms(*STAFF) == by_terms


async def test_lost_text_is_made_again_from_the_documents_bytes_by_whoever_can_parse() -> None:
    async with World() as world:
        await filled(world, 3)
        head = await world.head("d001")
        assert head is not None
        text = await world.text("d001")
        await world.stores.chunks.delete(head.key, head.chunks_version, head.generation)
        assert counts(await audit(world)) == {"missing chunks": head.chunk_count}
        left_over = await audits(world, can_parse=False).audit(TENANT, repair=True)
        assert left_over.unrepairable == {"LEFT_TO_A_WORKER": head.chunk_count}
        assert len(left_over.left) == head.chunk_count
        assert (await audit(world, repair=True)).left == []
        assert await world.text("d001") == text
        await clean(world)


async def test_a_document_whose_bytes_are_lost_too_is_reported_as_such() -> None:
    async with World() as world:
        await filled(world, 2)
        head = await world.head("d001")
        assert head is not None
        await world.stores.objects.delete(head.object_key)
        report = await audit(world, repair=True)
        assert counts(report) == {"missing objects": 1}
        assert report.left == report.found
        assert report.unrepairable == {"CONTENT_MISSING": 1}
        await world.stores.chunks.delete(head.key, head.chunks_version, head.generation)
        report = await audit(world, repair=True)
        assert report.unrepairable == {"CONTENT_MISSING": 1 + head.chunk_count}


async def test_rows_of_other_readers_are_an_access_mismatch_and_get_the_heads() -> None:
    async with World() as world:
        await filled(world, 3)
        wide = AccessPolicy(access_tokens(TENANT, ("public",)), 0)
        generation = world.generation.current().name
        chunks = await world.stores.chunks.chunks_of(DocumentKey(TENANT, "d001"), 1, generation)
        ids = [chunk.chunk_id for chunk in chunks]
        await world.stores.vectors.set_access(generation, TENANT, ids, wide)
        await world.stores.lexical.set_access(generation, TENANT, ids[:1], wide)
        report = await audit(world, repair=True)
        assert counts(report) == {"access_mismatch vector": len(ids), "access_mismatch lexical": 1}
        assert report.left == []
        assert await world.found_by("public") == await world.found_by_terms("public") == set()
        await clean(world)


async def test_superseded_rows_are_no_difference_within_the_grace_period_and_stale_after_it() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 1, "one\ntwo"))
        world.clock.advance(2 * GRACE)
        await world.apply.apply(await world.upsert("guide", 2, "other"))
        await world.apply.apply(await world.upsert("gone", 1, "text"))
        await world.apply.apply(world.event("gone", 2, Delete()))
        await clean(world)
        world.clock.advance(2 * GRACE)
        report = await audit(world, repair=True)
        assert counts(report) == {"stale chunks": 2}
        assert report.left == []
        stored, vectors, terms = await world.rows_of("guide")
        assert stored == vectors == terms
        assert len(stored) == 1
        await clean(world)


async def test_rows_without_text_are_orphans_or_stale_by_the_head_and_are_removed() -> None:
    async with World() as world:
        await filled(world, 2)
        generation = world.generation.current().name
        access = AccessPolicy(frozenset())
        vector = np.full(DIMENSIONS, DIMENSIONS**-0.5, np.float32)
        nobody, known = DocumentKey(TENANT, "nobody"), DocumentKey(TENANT, "d000")
        await world.stores.vectors.write(
            generation,
            [
                VectorRow("v1", nobody, 4, access, {}, vector),
                VectorRow("v2", known, 9, access, {}, vector),
                VectorRow("v3", known, 1, access, {}, vector),
            ],
        )
        await world.stores.lexical.write(generation, [LexicalRow("t1", known, 0, access, {}, (), (), ("one",))])
        report = await audit(world, repair=True)
        assert counts(report) == {"orphan vector": 2, "duplicate vector": 1, "stale lexical": 1}
        assert report.left == []
        assert not {"v1", "v2", "v3"} & set(await indexed(world, "vectors"))
        assert "t1" not in await indexed(world, "lexical")
        await clean(world)


async def test_a_row_that_was_made_from_another_text_is_stale_and_is_made_again() -> None:
    async with World() as world:
        await filled(world, 2)
        head = await world.head("d000")
        assert head is not None
        [first, *_] = await world.stores.chunks.chunks_of(head.key, 1, head.generation)
        wrong = LexicalRow(first.chunk_id, head.key, 1, head.access, {}, (), (), ("wrong",), "0" * 64)
        await world.stores.lexical.write(head.generation, [wrong])
        report = await audit(world, repair=True)
        assert counts(report) == {"stale lexical": 1}
        assert report.left == []
        await clean(world)


async def test_bytes_that_nothing_names_are_set_aside_after_the_safety_age_and_removed_after_another() -> None:
    async with World() as world:
        objects = world.stores.objects
        event = await world.upsert("guide", 1, "old text")
        await world.apply.apply(event)
        await objects.put(f"uploads/{TENANT}/broken", b"half")
        world.clock.advance(SAFETY_AGE)
        await world.apply.apply(await world.upsert("guide", 2, "new text"))
        world.clock.advance(GRACE / 2)
        old = event.change.content.object_key
        # Old enough, but a rollback may still read it.
        assert counts(await audit(world)) == {"unreferenced objects": 1}
        world.clock.advance(2 * GRACE)
        await world.sweeper(GRACE).sweep()
        report = await audit(world, repair=True)
        assert counts(report) == {"unreferenced objects": 2}
        assert report.left == []
        assert not await objects.exists(old)
        assert await objects.exists(f"collected/{old}")
        await clean(world)
        world.clock.advance(SAFETY_AGE + 1)
        await objects.put(f"uploads/{TENANT}/broken", b"half")
        world.clock.advance(SAFETY_AGE + 1)
        await audit(world, repair=True)
        head = await world.head("guide")
        assert head is not None
        assert [key async for key in objects.list("")] == [head.object_key]


async def test_bytes_that_were_set_aside_in_the_moment_of_acceptance_are_found_there() -> None:
    async with World() as world:
        event = await world.upsert("guide", 1, "text")
        key = event.change.content.object_key
        await world.stores.objects.put(f"collected/{key}", await world.stores.objects.get(key))
        await world.stores.objects.delete(key)
        outcome = await world.apply.apply(event)
        assert outcome.state is ChangeState.APPLIED
        assert await world.stores.objects.exists(key)


async def test_bytes_are_kept_for_changes_that_wait_and_for_letters_that_may_be_replayed() -> None:
    async with World() as world:
        letters = MemoryDeadLetterStore()
        auditor = audits(world, letters=letters)
        await world.upsert("guide", 1, "text")
        world.clock.advance(SAFETY_AGE + 1)
        assert counts(await auditor.audit(TENANT)) == {"unreferenced objects": 1}
        waiting = await world.upsert("waiting", 1, "waits")
        await world.accept.delete(WRITER, "waiting", 5)
        assert waiting is not None
        world.clock.advance(SAFETY_AGE / 2 + 1)
        assert counts(await auditor.audit(TENANT)) == {}


async def test_the_generation_that_is_searched_is_audited_whichever_wrote_the_head() -> None:
    async with World() as world:
        await filled(world, 4)
        generations = world.stores.generations
        first = world.generation.current()
        second = replace(first, name="gsecond", chunker=f"{first.chunker}x")
        plan = await generations.plan()
        assert plan is not None
        plan = plan.with_shadow(second, world.clock.now())
        assert await generations.change(plan)
        await clean(world)  # what is only built beside is the business of those who build it
        for n in range(3):
            event = await world.upsert(f"d{n:03}", 1, TEXT + f"number {n}")
            assert isinstance(event.change, Upsert)
            await world.apply.index.index(event, event.change, second)
        assert await generations.change(plan.swapped(world.clock.now(), "test"))
        [lost, *_] = await world.stores.vectors.chunk_ids(second.name, TENANT)
        await world.stores.vectors.delete(second.name, TENANT, [lost])
        report = await audit(world, repair=True)
        assert counts(report) == {"missing vector": 1, "missing chunks": 1}
        assert report.left == []
        await clean(world)
        assert len(await world.stores.lexical.chunk_ids(second.name, TENANT)) == 4 * 3


async def test_a_store_that_is_away_is_no_difference() -> None:
    away = False

    async def fail(name, call):
        if away and name == "vectors.look_up":
            raise DependencyUnavailable("away")
        return await call()

    async with World(fail) as world:
        await filled(world)
        await world.stores.vectors.drop_tenant(TENANT)
        away = True
        with pytest.raises(DependencyUnavailable):
            await audit(world)


async def test_beside_writers_nothing_is_reported_that_is_only_under_way() -> None:
    rng = random.Random(11)

    async def slowly(name, call):
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        return await call()

    async with World(slowly) as world:
        running = asyncio.create_task(world.consumer().run())
        accepted = 0
        done = asyncio.Event()

        async def write() -> None:
            nonlocal accepted
            for n in range(250):
                name = f"d{rng.randrange(12)}"
                kind = rng.random()
                if kind < 0.5:
                    await world.accept.put(WRITER, draft(name, rng), f"one two {n}".encode())
                elif kind < 0.6:
                    await world.accept.delete(WRITER, name, 0)
                elif await world.stores.ledger.newest(DocumentKey(TENANT, name), limit=1):
                    readers = tuple(sorted(rng.sample(("group:a", "group:b", "user:c", "public"), rng.randrange(4))))
                    await world.accept.set_access(WRITER, name, 0, readers, rng.randrange(3))
                accepted += 1
                await asyncio.sleep(0)
            done.set()

        writing = asyncio.create_task(write())
        audited = 0
        while not done.is_set():
            report = await audits(world, settle_seconds=0.001).audit(TENANT)
            assert counts(report) == {}
            audited += 1
        await writing
        await until(lambda: no_lag(world))
        assert audited > 3
        await clean(world)
        await stop(running)


async def no_lag(world: World) -> bool:
    return await world.lag() == 0

    return WRITER


def draft(name: str, rng: random.Random) -> Draft:
    return Draft(name, filename="a.txt", principals=tuple(rng.sample(("group:a", "public"), rng.randrange(3))))
