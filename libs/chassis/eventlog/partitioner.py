"""Where a key goes."""

from __future__ import annotations

from hashlib import sha256


def partition_of(key: bytes, partitions: int) -> int:
    """Partition index of a key: the first 8 bytes of its SHA-256, big-endian, modulo the partition count.

    Stable across processes, releases and platforms, unlike ``hash``. Partitions of the embedded log and of a cluster's
    log need not agree: a topic lives in one of them.
    """
    return int.from_bytes(sha256(key).digest()[:8], "big") % partitions
