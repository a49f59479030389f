"""Contract of the review queue, over every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.contract.corpus_adapters import name_of, opened
from tests.contract.corpus_samples import NOW, key

from corpus.adapters.elasticsearch.reviews import ElasticsearchReviewQueue
from corpus.adapters.memory.reviews import MemoryReviewQueue
from corpus.adapters.sqlite.reviews import SqliteReviewQueue
from corpus.reviews import ReviewItem, ReviewQueue, ReviewReason, ReviewState, review_id_of

ADAPTERS = (MemoryReviewQueue, SqliteReviewQueue, pytest.param(ElasticsearchReviewQueue, marks=pytest.mark.cluster))


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_queue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], ReviewQueue]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


@pytest.fixture
def queue(open_queue: Callable[[], ReviewQueue]) -> ReviewQueue:
    return open_queue()


def item(document_id: str = "doc", seconds: int = 0, tenant_id: str = "acme") -> ReviewItem:
    of = key(document_id, tenant_id)
    raised_at = NOW + timedelta(seconds=seconds)
    review_id = review_id_of(of, 7, ReviewReason.EMPTY)
    return ReviewItem(review_id, of, 7, ReviewReason.EMPTY, "3 letters", True, "rule:empty", raised_at)


def decided(open_one: ReviewItem) -> ReviewItem:
    return replace(open_one, state=ReviewState.REJECTED, decided_by="Rita@x", decided_at=NOW, note="è “zu” wenig")


async def test_an_item_comes_back_as_it_was_put(queue: ReviewQueue) -> None:
    assert await queue.get("acme", item().review_id) is None
    for written, before in ((item(), None), (decided(item()), item())):
        assert await queue.put(written, expected=before)
        assert await queue.get("acme", written.review_id) == written
        assert await queue.list("acme") == [written]


async def test_an_item_is_written_only_over_the_one_that_was_expected(queue: ReviewQueue) -> None:
    assert not await queue.put(decided(item()), expected=item())
    assert await queue.put(item(), expected=None)
    assert not await queue.put(item(), expected=None)
    assert not await queue.put(item(), expected=item())
    assert not await queue.put(decided(item()), expected=None)
    assert await queue.put(decided(item()), expected=item())
    assert not await queue.put(replace(decided(item()), state=ReviewState.APPROVED), expected=item())
    assert await queue.get("acme", item().review_id) == decided(item())


async def test_items_are_listed_page_by_page_the_last_one_first(queue: ReviewQueue) -> None:
    items = [item("a", 1), item("b", 3), item("c", 2), *sorted((item("d"), item("e")), key=lambda one: one.review_id)]
    for each in items:
        await queue.put(each, expected=None)
    await queue.put(item("z", 9, "beta"), expected=None)
    wanted = [items[1], items[2], items[0], *items[3:]]
    assert await queue.list("acme") == wanted
    found: list[ReviewItem] = []
    while page := await queue.list(
        "acme", after=(found[-1].raised_at, found[-1].review_id) if found else None, limit=2
    ):
        found += page
    assert found == wanted
    assert await queue.list("acme", limit=0) == []


async def test_items_are_listed_by_what_was_decided(queue: ReviewQueue) -> None:
    await queue.put(item("a"), expected=None)
    await queue.put(decided(item("b")), expected=None)
    assert await queue.list("acme", ReviewState.OPEN) == [item("a")]
    assert await queue.list("acme", ReviewState.REJECTED) == [decided(item("b"))]
    assert await queue.list("acme", ReviewState.APPROVED) == []


async def test_no_item_is_seen_by_another_tenant_and_with_a_tenant_its_own_go(queue: ReviewQueue) -> None:
    await queue.put(item(), expected=None)
    other = item(tenant_id="beta")
    await queue.put(other, expected=None)
    assert await queue.get("beta", item().review_id) is None
    await queue.drop_tenant("acme")
    assert await queue.list("acme") == []
    assert await queue.list("beta") == [other]


async def test_what_one_process_wrote_another_one_reads(open_queue: Callable[[], ReviewQueue]) -> None:
    first, second = open_queue(), open_queue()
    await first.put(item(), expected=None)
    assert await second.get("acme", item().review_id) == item()
