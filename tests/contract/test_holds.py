"""Contract of what the heads say of holds, over every adapter."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contract.corpus_adapters import name_of, opened
from tests.contract.corpus_samples import NOW, head, key, tombstone
from tests.contract.test_heads import ADAPTERS

from corpus.adapters.sqlite.database import CorpusDatabase
from corpus.adapters.sqlite.heads import SqliteHeads
from corpus.domain import MAX_VERSION, Hold
from corpus.ports import Heads, PutOutcome


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_heads(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Heads]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


@pytest.fixture
def heads(open_heads: Callable[[], Heads]) -> Heads:
    return open_heads()


def hold(document_id: str = "doc", version: int = 1, held: bool = True, tenant_id: str = "acme") -> Hold:
    return Hold(key(document_id, tenant_id), version, held, NOW, "Ann@x", 'looks "wrong", 標題')


async def is_held(heads: Heads, document_id: str = "doc") -> set[bool]:
    """What each way of reading says."""
    one = await heads.get(key(document_id))
    many = await heads.get_many("acme", [document_id, "other"])
    page = await heads.list("acme", include_deleted=True)
    assert one is not None
    return {one.held, many[document_id].held, *(each.held for each in page if each.key.document_id == document_id)}


async def test_a_hold_comes_back_as_it_was_set_and_every_read_of_the_head_tells_of_it(heads: Heads) -> None:
    await heads.put(head())
    assert await heads.hold(key()) is None
    assert await is_held(heads) == {False}
    assert await heads.set_hold(hold()) is PutOutcome.APPLIED
    assert await heads.hold(key()) == hold()
    assert await is_held(heads) == {True}
    assert await heads.get(key()) == replace(head(), held=True)


async def test_a_released_document_is_as_it_was_before(heads: Heads) -> None:
    await heads.put(head())
    await heads.set_hold(hold())
    assert await heads.set_hold(hold(version=2, held=False)) is PutOutcome.APPLIED
    assert await is_held(heads) == {False}
    assert await heads.get(key()) == head()


async def test_no_write_of_a_head_ends_a_hold_or_begins_one(heads: Heads) -> None:
    await heads.set_hold(hold())
    await heads.put(head(version=1))
    assert await is_held(heads) == {True}
    await heads.put(replace(head(version=2), held=False))
    assert await is_held(heads) == {True}
    await heads.put(tombstone(version=3))
    await heads.purge(key(), 3)
    assert await heads.get(key()) is None
    await heads.put(head(version=1))
    assert await is_held(heads) == {True}
    await heads.put(head("other", held=True))
    assert await is_held(heads, "other") == {False}


async def test_of_two_things_that_are_said_the_greater_version_counts(heads: Heads) -> None:
    await heads.put(head())
    assert await heads.set_hold(hold(version=5)) is PutOutcome.APPLIED
    assert await heads.set_hold(hold(version=4, held=False)) is PutOutcome.SUPERSEDED
    assert await heads.set_hold(hold(version=5, held=False)) is PutOutcome.SUPERSEDED
    assert await is_held(heads) == {True}
    assert await heads.set_hold(hold(version=5)) is PutOutcome.APPLIED
    assert await heads.set_hold(hold(version=MAX_VERSION, held=False)) is PutOutcome.APPLIED
    assert await is_held(heads) == {False}


async def test_a_hold_is_of_one_document_of_one_tenant(heads: Heads) -> None:
    for document_id, tenant_id in (("doc", "acme"), ("other", "acme"), ("doc", "beta")):
        await heads.put(head(document_id, tenant_id=tenant_id))
    await heads.set_hold(hold())
    assert (await heads.get_many("acme", ["other"]))["other"].held is False
    assert (await heads.get_many("beta", ["doc"]))["doc"].held is False


async def test_holds_are_listed_in_the_order_of_documents(heads: Heads) -> None:
    for document_id in ("b", "a", "é", "c"):
        await heads.set_hold(hold(document_id))
    await heads.set_hold(hold("c", 2, held=False))
    await heads.set_hold(hold("z", tenant_id="beta"))
    assert [each.key.document_id for each in await heads.holds("acme")] == ["a", "b", "é"]
    assert [each.key.document_id for each in await heads.holds("acme", after="a", limit=1)] == ["b"]
    everything = await heads.holds("acme", include_released=True)
    assert [(each.key.document_id, each.held) for each in everything] == [
        ("a", True),
        ("b", True),
        ("c", False),
        ("é", True),
    ]
    assert await heads.holds("acme", limit=0) == []


async def test_with_a_tenant_its_holds_go(heads: Heads) -> None:
    await heads.set_hold(hold())
    await heads.set_hold(hold(tenant_id="beta"))
    await heads.drop_tenant("acme")
    assert await heads.hold(key()) is None
    assert await heads.hold(key("doc", "beta")) == hold(tenant_id="beta")
    # What was dropped does not refuse what comes later.
    assert await heads.set_hold(hold()) is PutOutcome.APPLIED


async def test_a_hold_is_there_for_every_other_process_at_once(open_heads: Callable[[], Heads]) -> None:
    first, second = open_heads(), open_heads()
    await first.put(head())
    assert await is_held(second) == {False}
    await first.set_hold(hold())
    assert await is_held(second) == {True}


async def test_a_hold_that_was_accepted_outlives_its_process_being_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, signal, sys; from pathlib import Path\n"
        "from corpus.adapters.sqlite.database import CorpusDatabase\n"
        "from corpus.adapters.sqlite.heads import SqliteHeads\n"
        "from tests.contract.corpus_samples import head\n"
        "from tests.contract.test_holds import hold\n"
        "async def main(path):\n"
        "    heads = SqliteHeads(CorpusDatabase(Path(path)))\n"
        "    await heads.put(head())\n"
        "    await heads.set_hold(hold())\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main(sys.argv[1]))"
    )
    path = tmp_path / "corpus.sqlite"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(path), cwd=Path(__file__).parents[2]
    )
    assert await process.wait() == -9
    database = CorpusDatabase(path)
    heads = SqliteHeads(database)
    assert await is_held(heads) == {True}
    assert await heads.hold(key()) == hold()
    await database.close()
