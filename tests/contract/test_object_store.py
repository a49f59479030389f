"""Contract of the object store, over every adapter."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree

import pytest
from tests.servers.addresses import address_of
from tests.servers.s3 import BUCKET, endpoint
from tests.servers.s3 import request as signed_request

from chassis.endpoints import S3Endpoint
from chassis.errors import DependencyUnavailable, InvalidRequest, NotFound
from chassis.objectstore.obstore import ObstoreObjectStore, open_s3
from chassis.objectstore.port import ObjectStore

ADAPTERS = (
    pytest.param((ObstoreObjectStore, "directory"), id="directory"),
    pytest.param((ObstoreObjectStore, "file URL"), id="file URL"),
    pytest.param((ObstoreObjectStore, "bucket"), id="bucket", marks=pytest.mark.cluster),
)
"""The adapter, and where its objects are."""


@dataclass(frozen=True)
class Make:
    """Opens the store as one more process would see it."""

    open: Callable[[], ObjectStore]
    leftovers: Callable[[], list[str]]
    """Traces of unfinished objects, and of finished ones."""

    def __call__(self) -> ObjectStore:
        return self.open()


BAD_KEYS = ["", "/a", "a/", "a//b", "../a", "a/../b", "a/..", "..", ".", "a/./b", "a..b"]
BAD_KEYS += ["é", "a\nb", "a\\b", "a\x00b", "x" * 2000, "unfinished#1", ".staging/x", "a/c:", "C|/b", "cc:"]


@pytest.fixture(params=ADAPTERS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    _, place = request.param
    if place == "bucket":
        return in_bucket(f"test-{uuid4().hex}")
    root = tmp_path / "objects"
    return Make(
        lambda: ObstoreObjectStore(root if place == "directory" else root.as_uri()),
        lambda: [str(path) for path in tmp_path.rglob("*") if path.is_file()],
    )


def in_bucket(prefix: str) -> Make:
    def leftovers() -> list[str]:
        found = []
        for query, element in ((f"list-type=2&prefix={prefix}", "Contents"), ("uploads=", "Upload")):
            with signed_request(address_of("s3"), "GET", f"/{BUCKET}", query) as response:
                answer = ElementTree.parse(response)
            found += [entry.findtext("{*}Key") for entry in answer.iterfind(f".//{{*}}{element}")]
        return [key for key in found if key.startswith(prefix)]

    return Make(lambda: open_s3(endpoint(prefix)), leftovers)


@pytest.fixture
def store(make: Make) -> ObjectStore:
    return make()


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return sorted([key async for key in store.list(prefix)])


async def test_a_listing_says_how_large_objects_are_and_when_they_were_put_last(make: Make) -> None:
    store = make()
    before = datetime.now(UTC)
    await store.put("documents/acme/ab/one", b"12345")
    await store.put("documents/acme/cd/two", b"")
    await store.put("documents/globex/ab/one", b"1")
    found = {entry.key: entry async for entry in store.entries("documents/acme/")}
    assert {key: entry.size_bytes for key, entry in found.items()} == {
        "documents/acme/ab/one": 5,
        "documents/acme/cd/two": 0,
    }
    # Stores keep whole seconds, and servers clocks of their own.
    late = timedelta(seconds=5)
    assert all(before - late <= entry.modified_at <= datetime.now(UTC) + late for entry in found.values())
    assert [entry.key async for entry in store.entries("documents/acme/ab")] == ["documents/acme/ab/one"]
    assert [entry async for entry in store.entries("documents/none/")] == []


async def test_putting_an_object_again_makes_it_young(tmp_path: Path) -> None:
    store = ObstoreObjectStore(tmp_path)
    await store.put("a/b", b"x")
    os.utime(tmp_path / "a" / "b", (1_000_000, 1_000_000))
    [old] = [entry async for entry in store.entries("a/")]
    assert old.modified_at.year == 1970
    await store.put("a/b", b"x")
    [young] = [entry async for entry in store.entries("a/")]
    assert young.modified_at.year > 2000


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


@pytest.mark.parametrize("sent", [1, 6_000_000, 13_000_000])
async def test_a_stream_that_fails_leaves_nothing_and_its_own_error(make: Make, sent: int) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * sent
        raise InvalidRequest("too large")

    store = make()
    with pytest.raises(InvalidRequest, match="too large"):
        await store.put("a", broken())
    assert not await store.exists("a")
    assert await keys(store) == []
    assert make.leftovers() == []


@pytest.mark.parametrize("sent", [1, 6_000_000, 13_000_000])
@pytest.mark.parametrize("then", ["hangs", "goes on"])
async def test_a_cancelled_put_leaves_nothing(make: Make, sent: int, then: str) -> None:
    reached, closed = asyncio.Event(), asyncio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            yield b"x" * sent
            reached.set()
            if then == "hangs":
                await asyncio.Event().wait()
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    store = make()
    stream_ = endless()
    putting = asyncio.create_task(store.put("a", stream_))
    await asyncio.wait_for(reached.wait(), 20)
    await asyncio.sleep(0.05)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await keys(store) == []
    assert make.leftovers() == []
    await stream_.aclose()
    assert closed.is_set()


async def test_a_cancelled_put_of_many_bytes_leaves_all_or_nothing(make: Make) -> None:
    data = b"x" * 40_000_000
    store = make()
    putting = asyncio.create_task(store.put("a", data))
    await asyncio.sleep(0.02)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    if await store.exists("a"):
        assert len(await store.get("a")) == len(data)
    else:
        assert make.leftovers() == []


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


async def test_every_allowed_character_may_be_in_a_key(store: ObjectStore) -> None:
    allowed = [chr(code) for code in range(0x20, 0x7F) if chr(code) not in "/\\"]
    wanted = [f"t/a{c}b/{c}cc" if c in ".:|" else f"t/a{c}b/{c}cc{c}" for c in allowed]
    wanted = sorted([*wanted, "t/%2e%2e/x", "t/a+b c"])
    for key in wanted:
        await store.put(key, key.encode())
    assert await keys(store, "t/") == wanted
    for key in wanted:
        assert await store.get(key) == key.encode()


async def test_more_keys_than_one_answer_holds_are_listed(store: ObjectStore) -> None:
    wanted = [f"many/{i:04}" for i in range(1100)]
    for first in range(0, len(wanted), 50):
        await asyncio.gather(*(store.put(key, b"") for key in wanted[first : first + 50]))
    assert await keys(store, "many/") == wanted


async def test_a_large_stream_comes_back_and_needs_little_memory_on_its_way_in(store: ObjectStore) -> None:
    digest = hashlib.sha256()

    async def large() -> AsyncIterator[bytes]:
        for i in range(64):
            piece = bytes([i]) * 1_000_000
            digest.update(piece)
            yield piece

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert await store.put("large", large()) == 64_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB
    assert hashlib.sha256(await store.get("large")).digest() == digest.digest()


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_bad_keys_are_refused_everywhere(make: Make, key: str) -> None:
    store = make()
    for call in (store.put(key, b"x"), store.get(key), store.exists(key), store.delete(key)):
        with pytest.raises(InvalidRequest) as caught:
            await call
        assert caught.value.reason == "BAD_OBJECT_KEY"
    assert make.leftovers() == []


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


@pytest.mark.parametrize("change", [{"secret_access_key": "wrong"}, {"location": "s3://nobody-made-this/p"}])
@pytest.mark.cluster
async def test_a_refusal_or_a_missing_bucket_is_never_a_missing_object(change: dict[str, str]) -> None:
    store = open_s3(endpoint(f"test-{uuid4().hex}").model_validate({**endpoint("p").model_dump(), **change}))
    for call in (store.put("a", b"1"), store.put("a", b"x" * 6_000_000), store.get("a"), store.delete("a")):
        with pytest.raises(DependencyUnavailable) as caught:
            await call
        assert caught.value.reason == "OBJECT_STORE_UNAVAILABLE"
        assert "secret" not in str(caught.value)
    with pytest.raises(DependencyUnavailable):
        await keys(store)


def test_what_is_no_bucket_is_refused_before_it_is_taken_for_a_directory() -> None:
    for location in ("", "/var/objects", "objects", "file:///x", "s3://", "gs://bucket"):
        with pytest.raises(ValueError, match="location"):
            open_s3(S3Endpoint(location=location))


async def test_plain_http_is_spoken_only_where_the_url_says_so() -> None:
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(5))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for scheme in ("http", "https"):
        store = open_s3(
            S3Endpoint(
                location="s3://b", url=f"{scheme}://127.0.0.1:{port}", access_key_id="x", secret_access_key="hunter2"
            ),
            retries=0,
        )
        with pytest.raises(DependencyUnavailable) as caught:
            await store.get("a")
        assert "hunter2" not in str(caught.value)
    server.close()
    assert seen[0] == b"GET /"
    assert b"GET /" not in seen[1:]


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
