"""The embedding cache in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray


class MemoryEmbeddingCache:
    """Vectors by model and hash; the least recently used go beyond ``max_bytes``."""

    def __init__(self, max_bytes: int = 256 * 1024**2) -> None:
        self._vectors: LRUCache[tuple[str, bytes], NDArray[np.float32]] = LRUCache(
            max_bytes, getsizeof=lambda vector: vector.nbytes
        )

    async def get_many(self, model: str, text_hashes: Sequence[bytes]) -> Mapping[bytes, NDArray[np.float32]]:
        """Vectors by hash; see the port. They can't be written to."""
        found = {text_hash: self._vectors.get((model, text_hash)) for text_hash in text_hashes}
        return {text_hash: vector for text_hash, vector in found.items() if vector is not None}

    async def put_many(self, model: str, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Keeps the vectors for a while."""
        for text_hash, vector in vectors.items():
            kept = np.array(vector, np.float32)
            kept.flags.writeable = False
            if kept.nbytes <= self._vectors.maxsize:
                self._vectors[model, text_hash] = kept
