"""The embedding cache over the key-value cache, which replicas may share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chassis.cache.port import Cache

TTL_SECONDS: Final = 30 * 24 * 3600.0
"""Long enough for a re-index of a corpus that did not change; what nobody asks for goes by itself."""

_LENGTH_BYTES: Final = 4
_DTYPE: Final = np.dtype("<f4")
_LARGEST_DIMENSIONS: Final = 65_536


class KeyValueEmbeddingCache:
    """Vectors as their dimensions (4 bytes, little-endian) and their components (little-endian float32). Anything else
    that is found under a key reads as a miss.

    Args:
        cache: Where they are kept. How much of it they take is bounded by the cache itself.
        ttl_seconds: How long a vector is kept after it was put.
    """

    def __init__(self, cache: Cache, *, ttl_seconds: float = TTL_SECONDS) -> None:
        self._cache = cache
        self._ttl_seconds = ttl_seconds

    async def get_many(self, model: str, text_hashes: Sequence[bytes]) -> Mapping[bytes, NDArray[np.float32]]:
        """Vectors by hash; see the port. They can't be written to."""
        keys = {_key(model, text_hash): text_hash for text_hash in text_hashes}
        values = await self._cache.get_many(list(keys))
        vectors = {keys[key]: _unpacked(value) for key, value in values.items()}
        return {text_hash: vector for text_hash, vector in vectors.items() if vector is not None}

    async def put_many(self, model: str, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Keeps the vectors for a while."""
        values = {_key(model, text_hash): _packed(vector) for text_hash, vector in vectors.items()}
        await self._cache.put_many(values, self._ttl_seconds)


def _key(model: str, text_hash: bytes) -> str:
    # The model's name is hashed: its length is anybody's choice, and no separator in it can imitate another model's.
    return f"embedding/{hashlib.sha256(model.encode()).hexdigest()[:32]}/{text_hash.hex()}"


def _packed(vector: NDArray[np.float32]) -> bytes:
    return len(vector).to_bytes(_LENGTH_BYTES, "little") + np.ascontiguousarray(vector, _DTYPE).tobytes()


def _unpacked(value: bytes) -> NDArray[np.float32] | None:
    dimensions = int.from_bytes(value[:_LENGTH_BYTES], "little")
    if not 0 < dimensions <= _LARGEST_DIMENSIONS or len(value) != _LENGTH_BYTES + dimensions * _DTYPE.itemsize:
        return None
    return np.frombuffer(value, _DTYPE, offset=_LENGTH_BYTES)
