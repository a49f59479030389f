"""Objects of a bucket that refuses some of them, or everybody."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.unit.ingest.sources_world import content
from tests.unit.ingest.test_source_records import taken, taking
from tests.unit.ingest.world import World
from tests.unit.small_s3 import SmallS3, small_s3

from chassis.endpoints import S3Endpoint
from chassis.errors import DependencyUnavailable, InvalidRequest, NotFound
from chassis.objectstore.obstore import ObstoreObjectStore, open_s3
from ingest.adapters.source_buckets import BucketsByName
from ingest.sources.model import SourceRecord


@pytest.fixture
def s3() -> Iterator[SmallS3]:
    with small_s3() as held:
        held.objects = {"docs/a.md": b"Alpha", "docs/b.md": b"Beta"}
        yield held


@pytest.fixture
def bucket(s3: SmallS3) -> ObstoreObjectStore:
    at = S3Endpoint(location="s3://handbooks", url=s3.url, access_key_id="key", secret_access_key="secret")
    return open_s3(at, retries=0)


async def whole(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


@pytest.mark.parametrize(
    "refusal", [(403, "AccessDenied"), (403, "InvalidObjectState"), (400, "KMS.DisabledException")]
)
async def test_an_object_that_is_refused_alone_is_the_records_own_fault(
    s3: SmallS3, bucket: ObstoreObjectStore, refusal: tuple[int, str]
) -> None:
    s3.refused["docs/a.md"] = refusal
    with pytest.raises(InvalidRequest) as refused:
        await whole(bucket.stream("docs/a.md"))
    assert refused.value.reason == "OBJECT_FORBIDDEN"
    assert await whole(bucket.stream("docs/b.md")) == b"Beta"
    with pytest.raises(NotFound):
        await whole(bucket.stream("docs/c.md"))


@pytest.mark.parametrize(
    "refusal", [(403, "InvalidAccessKeyId"), (400, "ExpiredToken"), (401, "Who"), (503, "SlowDown")]
)
async def test_a_bucket_that_refuses_everything_is_waited_for(
    s3: SmallS3, bucket: ObstoreObjectStore, refusal: tuple[int, str]
) -> None:
    s3.refused["docs/a.md"] = s3.refused_pages[0] = refusal
    with pytest.raises(DependencyUnavailable):
        await whole(bucket.stream("docs/a.md"))


async def test_a_refused_object_is_a_dead_letter_and_blocks_nothing_behind_it(
    s3: SmallS3, bucket: ObstoreObjectStore
) -> None:
    def created(key: str) -> SourceRecord:
        said = content("s3-created")
        said["Records"][0]["s3"]["object"]["key"] = key
        return SourceRecord(b"one partition", json.dumps(said).encode())

    s3.refused["docs/a.md"] = (403, "InvalidObjectState")
    async with World() as world, taking(world, buckets=BucketsByName({"handbooks": bucket})) as made:
        await made.send(created("docs/a.md"))
        await made.send(created("docs/b.md"))
        await taken(world)
        (letter,) = await world.dead_letters()
        assert letter.reason == "OBJECT_FORBIDDEN"
        assert await world.text("handbooks/docs/b.md") == "Beta"
