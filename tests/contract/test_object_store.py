"""Contract of the object store, over every adapter."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from chassis.errors import DependencyUnavailable, InvalidRequest, NotFound
from chassis.objectstore.obstore import ObstoreObjectStore
from chassis.objectstore.port import ObjectStore

ADAPTERS = (ObstoreObjectStore,)

Make = Callable[[], ObjectStore]

BAD_KEYS = ["", "/a", "a/", "a//b", "../a", "a/../b", "a/..", "..", ".", "a/./b", "a..b"]
BAD_KEYS += ["é", "a\nb", "a\\b", "a\x00b", "x" * 2000, "unfinished#1", ".staging/x"]


@pytest.fixture(params=["directory", "file URL"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    root = tmp_path / "objects"
    return lambda: ObstoreObjectStore(root if request.param == "directory" else root.as_uri())


@pytest.fixture
def store(make: Make) -> ObjectStore:
    return make()


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return sorted([key async for key in store.list(prefix)])


@pytest.mark.parametrize("key", ["a", "a/b/c.bin", "tenant/sha256=0f/with space", "UPPER-lower_~!@$%^&()+,;'[]{}.txt"])
async def test_bytes_come_back_as_they_were_put(store: ObjectStore, key: str) -> None:
    data = bytes(range(256)) * 10
    assert await store.put(key, data) == len(data)
    assert await store.get(key) == data
    assert await keys(store) == [key]


async def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    assert await store.put("a", b"") == 0
    assert await store.put("b", stream()) == 0
    assert await store.get("a") == await store.get("b") == b""


async def test_a_stream_is_stored_whole_and_counted(store: ObjectStore) -> None:
    pieces = [b"x" * 3_000_000, b"", b"y" * 4_000_001, b"z"]
    assert await store.put("big/object", stream(*pieces)) == 7_000_002
    assert await store.get("big/object") == b"".join(pieces)


async def test_putting_twice_is_harmless_and_readers_always_see_a_whole_object(store: ObjectStore) -> None:
    data = os.urandom(2_000_000)
    await store.put("k", data)
    writers = [asyncio.create_task(store.put("k", stream(data[:1_000_000], data[1_000_000:]))) for _ in range(5)]
    while not all(writer.done() for writer in writers):
        assert await store.get("k") == data
    assert await asyncio.gather(*writers) == [2_000_000] * 5


async def test_an_object_is_invisible_until_its_stream_has_ended(store: ObjectStore) -> None:
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * 6_000_000
        await go_on.wait()
        yield b"y"

    putting = asyncio.create_task(store.put("a/slow", slow()))
    await asyncio.sleep(0.05)
    assert not await store.exists("a/slow")
    assert await keys(store) == []
    go_on.set()
    assert await putting == 6_000_001
    assert await keys(store) == ["a/slow"]


async def test_a_stream_that_fails_leaves_nothing_and_its_own_error(store: ObjectStore, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 6_000_000
        raise InvalidRequest("too large")

    with pytest.raises(InvalidRequest, match="too large"):
        await store.put("a", broken())
    assert not await store.exists("a")
    assert await keys(store) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_cancelled_put_leaves_nothing(store: ObjectStore) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.001)

    putting = asyncio.create_task(store.put("a", endless()))
    await asyncio.sleep(0.05)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await keys(store) == []


async def test_a_missing_object_is_not_found(store: ObjectStore) -> None:
    with pytest.raises(NotFound) as caught:
        await store.get("a/b")
    assert caught.value.reason == "OBJECT_MISSING"
    assert not await store.exists("a/b")


async def test_deleting_removes_and_a_missing_object_is_no_error(store: ObjectStore) -> None:
    await store.put("a", b"1")
    await store.delete("a")
    await store.delete("a")
    assert not await store.exists("a")


async def test_list_gives_the_keys_that_begin_with_the_prefix(store: ObjectStore) -> None:
    for key in ("t1/ab", "t1/abc/d", "t1/b", "t2/ab", "t10/x"):
        await store.put(key, b"")
    assert await keys(store) == ["t1/ab", "t1/abc/d", "t1/b", "t10/x", "t2/ab"]
    assert await keys(store, "t1") == ["t1/ab", "t1/abc/d", "t1/b", "t10/x"]
    assert await keys(store, "t1/") == ["t1/ab", "t1/abc/d", "t1/b"]
    assert await keys(store, "t1/ab") == ["t1/ab", "t1/abc/d"]
    assert await keys(store, "nothing/here") == []


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_bad_keys_are_refused_everywhere(store: ObjectStore, key: str, tmp_path: Path) -> None:
    for call in (store.put(key, b"x"), store.get(key), store.exists(key), store.delete(key)):
        with pytest.raises(InvalidRequest) as caught:
            await call
        assert caught.value.reason == "BAD_OBJECT_KEY"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_what_was_put_is_there_for_another_process(make: Make) -> None:
    await make().put("a/b", b"1")
    assert await make().get("a/b") == b"1"


async def test_a_store_that_can_not_be_reached_is_a_dependency_error(tmp_path: Path) -> None:
    store = ObstoreObjectStore(tmp_path / "objects")
    await store.put("a/b", b"1")
    (tmp_path / "objects" / "a" / "b").rename(tmp_path / "kept")
    (tmp_path / "objects" / "a" / "b").symlink_to("b")  # a loop: reading it fails, and not because it is missing
    with pytest.raises(DependencyUnavailable):
        await store.get("a/b")
    unreachable = ObstoreObjectStore(
        "s3://bucket/prefix",
        options={"endpoint": "http://127.0.0.1:9", "region": "eu-1", "access_key_id": "x", "secret_access_key": "y"},
        retries=0,
    )
    for call in (unreachable.put("a", b"1"), unreachable.get("a"), unreachable.exists("a"), unreachable.delete("a")):
        with pytest.raises(DependencyUnavailable):
            await call
    with pytest.raises(DependencyUnavailable):
        await keys(unreachable)


async def test_every_new_object_and_its_directories_are_fsynced_before_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(file: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{file}") if os.path.exists("/proc/self/fd") else "?")
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    root = tmp_path / "objects"
    await ObstoreObjectStore(root).put("new/deep/key", b"1")
    if "?" not in synced:
        assert "/.staging/" in synced[0]  # the content, before it has its name
        assert synced[1:] == [str(root / "new" / "deep"), str(root / "new"), str(root)]


async def test_storing_a_large_stream_needs_little_memory(tmp_path: Path) -> None:
    async def large() -> AsyncIterator[bytes]:
        piece = b"x" * 1_000_000
        for _ in range(150):
            yield piece

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert await ObstoreObjectStore(tmp_path / "objects").put("large", large()) == 150_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80_000  # KiB


async def test_unfinished_writes_of_killed_processes_are_swept_when_they_are_old(tmp_path: Path) -> None:
    staging = tmp_path / "objects" / ".staging"
    staging.mkdir(parents=True)
    for name, age_seconds in (("old", 3 * 24 * 3600), ("young", 60)):
        (staging / name).write_bytes(b"x")
        os.utime(staging / name, (time.time() - age_seconds,) * 2)
    store = ObstoreObjectStore(tmp_path / "objects")
    await store.put("a", b"1")
    assert [path.name for path in staging.iterdir()] == ["young"]
    assert await keys(store) == ["a"]
