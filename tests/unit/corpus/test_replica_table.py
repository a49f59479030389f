"""Heads in memory: small, bounded, and fair between tenants."""

from __future__ import annotations

import gc
import random
import tracemalloc

import pytest

from corpus.domain import AccessPolicy, DocumentKey, HeadState, PublishedHead
from corpus.feed import decode_head, encode_head
from corpus.replica.table import UNKNOWN, HeadTable


def a_head(number: int, *, tenant_id: str = "acme", tokens: int = 8, lists: int = 200) -> PublishedHead:
    """One as it comes off the feed: every part of it is a value of its own."""
    readers = random.Random(number % lists).sample(range(1_000), tokens)
    version = 1_700_000_000_000_000 + number
    made = PublishedHead(
        key=DocumentKey(tenant_id, f"handbook/section-{number // 100}/doc-{number}.md"),
        version=version,
        chunks_version=version - number % 3,
        state=HeadState.LIVE,
        access=AccessPolicy(frozenset(f"{each:032x}" for each in readers)),
        generation="g0123456789abcdef",
        expires_at=None,
        ingest_trace_id=f"{number:032x}",
    )
    return decode_head(encode_head(made))


def name(number: int) -> str:
    return f"handbook/section-{number // 100}/doc-{number}.md"


def fill(table: HeadTable, count: int, *, lists: int = 200, tenant_id: str = "acme") -> None:
    for number in range(count):
        table.put(tenant_id, name(number), a_head(number, lists=lists, tenant_id=tenant_id))


@pytest.mark.parametrize(("lists", "bytes_per_head"), [(200, 450), (20_000, 1_500)])
def test_a_head_takes_little_room(lists: int, bytes_per_head: int) -> None:
    table = HeadTable(1_000_000)
    fill(table, 10, lists=lists)
    gc.collect()
    tracemalloc.start()
    fill(table, 20_000, lists=lists)
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{size / len(table):.0f} bytes per head, {lists} lists of readers")
    assert size / len(table) < bytes_per_head


def test_what_was_put_is_what_is_there() -> None:
    table = HeadTable(100)
    fill(table, 10)
    assert [table.get("acme", name(n)) for n in range(10)] == [a_head(n) for n in range(10)]
    assert table.get("acme", "other") is UNKNOWN
    assert table.get("other", name(1)) is UNKNOWN
    table.put("acme", "other", None)
    assert table.get("acme", "other") is None
    table.forget("acme", "other")
    table.forget("acme", name(1))
    assert table.get("acme", "other") is UNKNOWN
    assert table.get("acme", name(1)) is UNKNOWN
    assert len(table) == 9


def test_a_large_tenant_makes_room_among_its_own_heads() -> None:
    table = HeadTable(1_000)
    fill(table, 10, tenant_id="small")
    fill(table, 5_000, tenant_id="large")
    assert len(table) <= 1_000
    assert all(table.get("small", name(n)) is not UNKNOWN for n in range(10))
    assert table.get("large", name(4_999)) is not UNKNOWN


def test_lists_of_readers_have_a_bound_together() -> None:
    table = HeadTable(1_000)
    for number in range(1_000):
        table.put("acme", name(number), a_head(number, tokens=400, lists=1_000))
    assert 0 < len(table) <= 10


def test_documents_that_do_not_exist_put_out_none_that_do() -> None:
    table = HeadTable(100)
    fill(table, 50)
    for number in range(50_000):
        table.put("acme", f"guess-{number}", None)
    assert len(table) == 50
    assert table.get("acme", "guess-0") is UNKNOWN
    assert table.get("acme", "guess-49999") is None


def test_a_tenant_is_forgotten_as_a_whole() -> None:
    table = HeadTable(1_000)
    fill(table, 20)
    fill(table, 20, tenant_id="acme-2")
    table.put("acme", "nothing", None)
    table.forget_tenant("acme")
    table.forget_tenant("acme")
    assert len(table) == 20
    assert table.get("acme", "nothing") is UNKNOWN
    assert table.get("acme-2", name(3)) == a_head(3, tenant_id="acme-2")
