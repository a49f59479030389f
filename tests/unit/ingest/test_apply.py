"""Applying changes: one head per document decides, and the content it names is complete."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.ingest.applying import APPLIED, PUBLIC, SUPERSEDED, live
from tests.unit.ingest.world import START, World

from chassis.errors import DocumentRejected
from corpus.domain import ChangeState
from ingest.domain import Delete, Outcome, SetAccess

WRITES = ("chunks.put", "vectors.", "lexical.", "heads.put", "log.append")


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
