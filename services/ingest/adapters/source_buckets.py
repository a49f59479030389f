"""Buckets of sources behind the port SourceBuckets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from chassis.errors import NotFound
from ingest.sources.handle import SOURCE_OBJECT_MISSING


class Bucket(Protocol):
    """What is needed of a bucket; see ``chassis.objectstore.obstore``."""

    def stream(self, key: str) -> AsyncIterator[bytes]: ...


class BucketsByName:
    """A bucket for each source that has one."""

    def __init__(self, buckets: Mapping[str, Bucket]) -> None:
        self._buckets = buckets

    async def read(self, source: str, key: str) -> AsyncIterator[bytes]:
        """See the port."""
        try:
            async for piece in self._buckets[source].stream(key):
                yield piece
        except NotFound as error:
            # Told apart from a missing object of our own store.
            raise NotFound("The source's bucket has no such object.", reason=SOURCE_OBJECT_MISSING) from error
