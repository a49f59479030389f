"""Digests of rows by bucket of documents.

A bucket's digest is the number of its rows and the sum of their hashes modulo 2^128: independent of order, so no store
has to sort, and a row that is there twice counts twice. It tells accidents apart, not forgeries.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from corpus.ids import length_prefixed

ROWS_PER_BUCKET = 512
FEWEST_BUCKETS = 16
MOST_BUCKETS = 4_096

_MODULUS = 1 << 128


def buckets_for(rows: int) -> int:
    """How many buckets so many rows are divided into."""
    return min(max(rows // ROWS_PER_BUCKET, FEWEST_BUCKETS), MOST_BUCKETS)


def bucket_of(document_id: str, buckets: int) -> int:
    """The document's bucket: all its rows are in one."""
    return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest(), "big") % buckets


def row_hash(chunk_id: str, document_id: str, chunks_version: int, content_sha256: str, access: str) -> int:
    """128 bits over everything that an audit compares of a row."""
    said = length_prefixed((chunk_id, document_id, str(chunks_version), content_sha256, access))
    return int.from_bytes(hashlib.blake2b(said, digest_size=16).digest(), "big")


@dataclass(slots=True)
class BucketDigests:
    """Digests of all buckets of one store's rows."""

    buckets: int
    rows: list[int] = field(init=False)
    sums: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = [0] * self.buckets
        self.sums = [0] * self.buckets

    def add(self, bucket: int, hashed: int) -> None:
        """Takes one more row in."""
        self.rows[bucket] += 1
        self.sums[bucket] = (self.sums[bucket] + hashed) % _MODULUS

    def differing(self, other: BucketDigests) -> set[int]:
        """Buckets that do not agree."""
        return {
            bucket
            for bucket in range(self.buckets)
            if self.rows[bucket] != other.rows[bucket] or self.sums[bucket] != other.sums[bucket]
        }
