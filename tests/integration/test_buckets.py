"""Documents that follow the objects of a real bucket: by notifications, and by comparison."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import obstore
import pytest
from obstore.store import S3Store
from tests.servers.s3 import BUCKET, endpoint
from tests.unit.cli.test_bucket import Service
from tests.unit.ingest.sources_world import content
from tests.unit.ingest.test_source_records import taken, taking
from tests.unit.ingest.world import World

from chassis.errors import InvalidRequest, NotFound
from chassis.objectstore.obstore import ObstoreObjectStore, open_s3
from corpus.domain import HeadState
from headwater.cli.bucket import Syncing
from headwater.cli.problems import CommandError
from ingest.adapters.source_buckets import BucketsByName
from ingest.sources.mapping import Sources
from ingest.sources.model import SourceRecord

pytestmark = pytest.mark.cluster

KEYS = ["plain.md", "with space.md", "plus+and%25.md", "ümläut/日本.md", "deep/er/than.md"]


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid4().hex}"


@pytest.fixture
def store() -> S3Store:
    """The whole bucket, as a connector or a person writes to it."""
    return opened(BUCKET)


def opened(bucket: str) -> S3Store:
    at = endpoint("")
    return S3Store(
        bucket,
        config={
            "endpoint": at.url,
            "region": at.region,
            "access_key_id": at.access_key_id.get_secret_value(),
            "secret_access_key": at.secret_access_key.get_secret_value(),
            "virtual_hosted_style_request": False,
        },
        client_options={"allow_http": True},
    )


@pytest.fixture
def bucket() -> ObstoreObjectStore:
    return open_s3(endpoint("").model_copy(update={"location": f"s3://{BUCKET}"}))


async def whole(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


@pytest.mark.parametrize("name", KEYS)
async def test_objects_under_any_name_are_read(
    store: S3Store, bucket: ObstoreObjectStore, prefix: str, name: str
) -> None:
    await obstore.put_async(store, f"{prefix}/{name}", name.encode())
    assert await whole(bucket.stream(f"{prefix}/{name}")) == name.encode()


async def test_a_large_object_comes_in_pieces(store: S3Store, bucket: ObstoreObjectStore, prefix: str) -> None:
    data = bytes(range(256)) * 4096 * 5
    await obstore.put_async(store, f"{prefix}/large", data)
    pieces = [piece async for piece in bucket.stream(f"{prefix}/large")]
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) < len(data)


async def test_a_missing_object_and_a_key_that_cant_be_asked_for_are_told_apart(
    bucket: ObstoreObjectStore, prefix: str
) -> None:
    with pytest.raises(NotFound):
        await whole(bucket.stream(f"{prefix}/missing"))
    for key in (f"{prefix}//a", f"{prefix}/../a"):
        with pytest.raises(InvalidRequest) as refused:
            await whole(bucket.stream(key))
        assert refused.value.reason == "BAD_OBJECT_KEY"


def notification(name: str, key: str, sequencer: str) -> SourceRecord:
    said = content("s3-created")
    record = said["Records"][0]
    record["eventName"] = name
    record["s3"]["bucket"]["name"] = BUCKET
    record["s3"]["object"].update(key=key.replace(" ", "+"), sequencer=sequencer)
    return SourceRecord(key.encode(), json.dumps(said).encode())


async def test_notifications_bring_objects_and_take_them_away(
    store: S3Store, bucket: ObstoreObjectStore, prefix: str
) -> None:
    declared = {
        "format": "s3",
        "bucket": {"location": f"s3://{BUCKET}/{prefix}"},
        "tenant": "acme",
        "document_id": "files/{key}",
        "readers": ["public"],
    }
    key = f"{prefix}/a note.md"
    parts = {"mapped": Sources.model_validate({"sources": {"files": declared}})}
    async with World() as world, taking(world, **parts, buckets=BucketsByName({"files": bucket})) as made:
        await obstore.put_async(store, key, b"The heron stands still.")
        await made.send(notification("ObjectCreated:Put", key, "0067A1B2C3D4E5F601"))
        await made.send(notification("ObjectCreated:Put", f"{prefix}//odd", "0067A1B2C3D4E5F601"))
        await taken(world)
        assert await world.text(f"files/{key}") == "The heron stands still."
        assert [letter.reason for letter in await world.dead_letters()] == ["BAD_OBJECT_KEY"]
        await obstore.delete_async(store, key)
        await made.send(notification("ObjectRemoved:Delete", key, "0067A1B2C3D4E5F7"))
        await made.send(notification("ObjectCreated:Put", key, "0067A1B2C3D4E5F601"))
        await taken(world)
        head = await world.head(f"files/{key}")
        assert head is not None
        assert head.state is HeadState.DELETED


async def test_a_bucket_and_its_documents_become_equal_again(store: S3Store, prefix: str) -> None:
    service = Service({"elsewhere/a": (b"not ours", {})})

    async def sync(readers: Sequence[str] = ("public",), allow_empty: bool = False) -> Any:
        said = {"readers": list(readers), "doc_type": "", "metadata": {"year": 2026.0}}
        syncing = Syncing(service, store, BUCKET, f"{prefix}/", "", said, ())
        return await syncing.run(allow_empty=allow_empty)

    def held() -> dict[str, bytes]:
        return {name: held[0] for name, held in service.documents.items() if name != "elsewhere/a"}

    for name in KEYS:
        await obstore.put_async(store, f"{prefix}/{name}", name.encode())
    await obstore.put_async(store, f"{prefix}/photo.png", b"\x89PNG")
    report = await sync()
    assert held() == {f"{BUCKET}/{prefix}/{name}": name.encode() for name in KEYS}
    assert report.skipped == [f"{prefix}/photo.png"]
    assert {said["metadata"]["year"] for _, said in list(service.documents.values())[1:]} == {2026.0}

    service.puts.clear()
    assert (await sync()).unchanged == len(KEYS)
    assert service.puts == []

    await obstore.put_async(store, f"{prefix}/plain.md", b"changed")
    await obstore.delete_async(store, f"{prefix}/with space.md")
    report = await sync()
    assert service.puts == [f"{BUCKET}/{prefix}/plain.md"]
    assert report.deleted == [f"{BUCKET}/{prefix}/with space.md"]

    service.puts.clear()
    await sync(readers=["group:staff"])
    assert len(service.puts) == len(KEYS) - 1

    for name in KEYS:
        await obstore.delete_async(store, f"{prefix}/{name}")
    await obstore.delete_async(store, f"{prefix}/photo.png")
    with pytest.raises(CommandError, match="holds nothing"):
        await sync()
    assert len(held()) == len(KEYS) - 1
    await sync(allow_empty=True)
    assert held() == {}
    assert "elsewhere/a" in service.documents


async def test_a_bucket_that_cant_be_read_deletes_nothing(prefix: str) -> None:
    service = Service({f"no-such-bucket/{prefix}/a": (b"old", {"readers": [], "doc_type": "", "metadata": {}})})
    missing = opened("no-such-bucket")
    with pytest.raises(CommandError, match="can't be read"):
        await Syncing(service, missing, "no-such-bucket", f"{prefix}/", "", {"readers": []}, ()).run(allow_empty=True)
    assert service.documents
