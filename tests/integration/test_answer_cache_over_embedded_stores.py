"""What the cache of answers believes, is what heads and rights in the real stores say at that moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from chassis.cache.memory import MemoryCache
from chassis.clock import ManualClock
from chassis.identity import Caller
from corpus.access import access_tokens
from corpus.adapters.sqlite.chunk_store import SqliteChunkStore
from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.adapters.sqlite.generations import SqliteGenerations
from corpus.adapters.sqlite.heads import SqliteHeads
from corpus.adapters.sqlite.tenants import SqliteTenants
from corpus.domain import AccessPolicy, Chunk, ChunkedDocument, DocumentKey, Generation, Head, HeadState, Hold, Section
from corpus.ids import chunk_id
from gateway.domain import Citation, Draft, Outcome, Place, Question, Retrieved, Span
from gateway.domain import CitationKey as Cited
from gateway.plan import Plan
from gateway.stages.cache.answers import AnswerCache, CacheHit, CachePolicy
from gateway.stages.cache.ports import QuestionVector, Standing
from retriever.catalogue import TENANT_SECONDS, Catalogue
from retriever.citations import ResolveCitations
from retriever.domain import CitationKey
from retriever.reads import CorpusReads, ReadDeadlines

NOW = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
ANN = Caller("acme", "ann", frozenset({"eng"}))
TEXT = "The valve opens at 4 bar."
ASKED, ALIKE = "At which pressure does the valve open?", "At what pressure does the valve open?"


@dataclass
class Retriever:
    """The retriever's use case in the form in which the gateway asks for it."""

    citations: ResolveCitations

    async def standing(self, keys: Sequence[Cited], caller: Caller) -> Standing:
        wanted = [CitationKey(key.document_id, key.chunks_version, key.chunk_id) for key in keys]
        found = await self.citations.resolution(caller, wanted)
        readable = tuple(each.stored is not None for each in found.citations)
        return Standing(readable, found.access_fingerprint, found.generation)


class OneDirection:
    async def embed_question(self, text: str, caller: Caller) -> QuestionVector:
        return QuestionVector(np.array([1.0, 0.0], np.float32), "m@1")


@dataclass
class Platform:
    """Stores, the retriever's check over them, and the gateway's cache over that."""

    tenants: SqliteTenants
    heads: SqliteHeads
    chunks: SqliteChunkStore
    generations: SqliteGenerations
    catalogue: Catalogue
    cache: AnswerCache
    clock: ManualClock

    async def index(self, tenant_id: str, document_id: str, version: int = 1) -> Head:
        """Makes a version of the document searchable for engineers."""
        key, policy = DocumentKey(tenant_id, document_id), AccessPolicy(access_tokens(tenant_id, ["group:eng"]))
        chunk = Chunk(_chunk_id(tenant_id, document_id, version), key, version, 0, "g1", TEXT, 0, len(TEXT), 0, ())
        section = Section(0, (), 0, len(TEXT), TEXT)
        await self.chunks.put(
            ChunkedDocument(key, version, "g1", document_id, "text", "", "en", {}, NOW, [section], [chunk])
        )
        head = Head(key, version, version, HeadState.LIVE, policy, "g1", f"e-{document_id}-{version}", NOW)
        await self.heads.put(head)
        return head

    async def keep(self, *document_ids: str) -> None:
        """Keeps an answer that cites the documents."""
        place = Place(span=Span(0, len(TEXT)))
        citations = tuple(
            Citation(number, Cited(each, 1, _chunk_id("acme", each, 1)), each, "", place, TEXT)
            for number, each in enumerate(document_ids, 1)
        )
        draft = Draft(Outcome.ANSWERED, f"{TEXT} [1]", 0.9, citations)
        await self.cache.keep(Question(ASKED), Plan(ASKED, ASKED), ANN, draft, Retrieved((), generation="g1"))

    async def find(self, text: str, caller: Caller = ANN) -> CacheHit | None:
        return await self.cache.find(Question(text), Plan(text, text), caller)


def _chunk_id(tenant_id: str, document_id: str, version: int) -> str:
    return chunk_id(tenant_id, document_id, version, 0, "g1")


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    database, clock = CorpusDatabase(tmp_path / "corpus.sqlite"), ManualClock(NOW)
    tenants, heads, chunks = SqliteTenants(database), SqliteHeads(database), SqliteChunkStore(database)
    generations = SqliteGenerations(database)
    await generations.activate(Generation("g1", "m", "1", 2, "c1", "a1"))
    await tenants.create("acme", {}, at=NOW)
    catalogue = Catalogue(tenants, generations, clock)
    citations = ResolveCitations(catalogue, CorpusReads(heads, chunks, ReadDeadlines(5.0, 5.0)), clock)
    policy = CachePolicy(True, True, 0.9, 3600.0, "r1", patience_seconds=10.0)
    cache = AnswerCache(MemoryCache(1_000_000), Retriever(citations), OneDirection(), clock, policy, lambda _: b"")
    platform = Platform(tenants, heads, chunks, generations, catalogue, cache, clock)
    await platform.index("acme", "valve")
    await platform.index("acme", "pump")
    await platform.keep("valve", "pump")
    yield platform
    await database.close()


@pytest.mark.parametrize("asked", [ASKED, ALIKE])
async def test_while_nothing_has_changed_the_answer_is_served(platform: Platform, asked: str) -> None:
    for _ in range(2):
        hit = await platform.find(asked)
        assert hit is not None
        assert (hit.draft.text, len(hit.draft.citations), hit.generation) == (f"{TEXT} [1]", 2, "g1")


CHANGES = {
    "deleted": {"state": HeadState.DELETED},
    "superseded": {"chunks_version": 2},
    "revoked": {"access": AccessPolicy(access_tokens("acme", ["group:sales"]))},
    "above the clearance": {"access": AccessPolicy(access_tokens("acme", ["group:eng"]), 1)},
    "expired": {"expires_at": NOW},
}


@pytest.mark.parametrize("asked", [ASKED, ALIKE])
@pytest.mark.parametrize("document", ["valve", "pump"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_when_any_cited_document_is(
    platform: Platform, asked: str, document: str, change: dict[str, object]
) -> None:
    head = (await platform.heads.get_many("acme", [document]))[document]
    await platform.heads.put(replace(head, version=2, event_id="e2", **change))  # type: ignore[arg-type]
    assert await platform.find(asked) is None


@pytest.mark.parametrize("asked", [ASKED, ALIKE])
@pytest.mark.parametrize("document", ["valve", "pump"])
async def test_when_any_cited_document_is_put_on_hold_the_answer_is_dropped(
    platform: Platform, asked: str, document: str
) -> None:
    await platform.heads.set_hold(Hold(DocumentKey("acme", document), 1, True, NOW))
    assert await platform.find(asked) is None
    await platform.heads.set_hold(Hold(DocumentKey("acme", document), 2, False, NOW))
    # It was dropped, not hidden: the answer is made anew.
    assert await platform.find(asked) is None


async def test_a_later_tenant_of_the_same_name_gets_nothing_of_the_earlier_one(platform: Platform) -> None:
    await platform.tenants.delete("acme")
    later = await platform.tenants.create("acme", {}, at=NOW)
    assert later.tenant_id != "acme"
    await platform.index(later.tenant_id, "valve")
    await platform.index(later.tenant_id, "pump")
    platform.clock.advance(TENANT_SECONDS + 1)
    assert await platform.find(ASKED) is None
    assert await platform.find(ALIKE) is None


async def test_after_a_swap_of_generations_nothing_of_the_former_one_is_served(platform: Platform) -> None:
    await platform.generations.activate(Generation("g2", "m", "2", 2, "c1", "a1"))
    await platform.catalogue.refresh()
    assert await platform.find(ASKED) is None


@pytest.mark.parametrize(
    "other",
    [replace(ANN, subject="bob"), replace(ANN, groups=frozenset()), replace(ANN, clearance=1)],
    ids=["subject", "groups", "clearance"],
)
async def test_another_reader_gets_nothing_though_he_may_read_the_same(platform: Platform, other: Caller) -> None:
    assert await platform.find(ASKED, other) is None
    assert await platform.find(ASKED) is not None
