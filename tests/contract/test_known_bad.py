"""Contract of the registry of contents known to be bad, over every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.contract.corpus_adapters import name_of, opened
from tests.contract.corpus_samples import NOW

from corpus.adapters.elasticsearch.dead_letters import ElasticsearchKnownBadContent
from corpus.adapters.memory.dead_letters import MemoryKnownBadContent
from corpus.adapters.sqlite.dead_letters import SqliteKnownBadContent
from corpus.dead_letters import KnownBad, KnownBadContent

ADAPTERS = (
    MemoryKnownBadContent,
    SqliteKnownBadContent,
    pytest.param(ElasticsearchKnownBadContent, marks=pytest.mark.cluster),
)
LATER = NOW + timedelta(hours=1)
BAD = KnownBad("acme", "c" * 64, "PARSER_TIMEOUT", "It takes too long.", NOW, NOW)


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_registry(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], KnownBadContent]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


@pytest.fixture
def registry(open_registry: Callable[[], KnownBadContent]) -> KnownBadContent:
    return open_registry()


async def test_what_is_noted_is_known_to_every_process(open_registry: Callable[[], KnownBadContent]) -> None:
    await open_registry().note(BAD)
    assert await open_registry().get("acme", BAD.content_key) == BAD


async def test_seen_again_it_counts_and_keeps_when_it_was_seen_first(registry: KnownBadContent) -> None:
    await registry.note(BAD)
    again = replace(BAD, reason="UNREADABLE", message="It is damaged.", first_seen_at=LATER, last_seen_at=LATER)
    await registry.note(again)
    assert await registry.get("acme", BAD.content_key) == replace(again, first_seen_at=NOW, times=2)


async def test_no_tenant_knows_the_contents_of_another_one(registry: KnownBadContent) -> None:
    await registry.note(BAD)
    await registry.note(replace(BAD, tenant_id="other"))
    assert await registry.get("nobody", BAD.content_key) is None
    for _ in range(2):
        await registry.drop_tenant("acme")
    assert await registry.get("acme", BAD.content_key) is None
    assert await registry.get("other", BAD.content_key) == replace(BAD, tenant_id="other")


async def test_forgetting_says_whether_it_was_known(registry: KnownBadContent) -> None:
    await registry.note(BAD)
    assert await registry.forget("acme", BAD.content_key)
    assert not await registry.forget("acme", BAD.content_key)
    assert await registry.get("acme", BAD.content_key) is None


async def test_what_was_not_seen_for_long_is_forgotten_some_at_a_time(registry: KnownBadContent) -> None:
    for number in range(4):
        await registry.note(replace(BAD, content_key=f"key-{number}", last_seen_at=NOW + timedelta(days=number)))
    assert await registry.forget_before(NOW + timedelta(days=3), 2) == 2
    assert await registry.forget_before(NOW + timedelta(days=3), 2) == 1
    assert await registry.forget_before(NOW + timedelta(days=3), 2) == 0
    assert await registry.get("acme", "key-3") is not None
