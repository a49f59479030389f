"""Late interaction: every token of the query finds its best token in the passage (ColBERT; Khattab and Zaharia 2020,
arXiv:2004.12832, equation 3). Passages' token vectors are kept as int8, a quarter of the memory; the scores stay."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.domain import FloatArray

_ENTRY_BYTES = 400
"""What an entry costs beside its arrays: two array objects, a key and a slot."""


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """Token vectors of one passage: `codes * scales[:, None]`.

    Attributes:
        codes: (t, d) int8.
        scales: (t,) float32.
    """

    codes: npt.NDArray[np.int8]
    scales: FloatArray

    @classmethod
    def of(cls, vectors: FloatArray) -> TokenVectors:
        """Rounds (t, d) float32 to int8, each row by its own largest magnitude."""
        largest = np.abs(vectors).max(axis=1, initial=0)
        scales = (np.where(largest > 0, largest, 1) / 127).astype(np.float32)
        return cls(np.rint(vectors / scales[:, None]).astype(np.int8), scales)

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return self.codes.nbytes + self.scales.nbytes + _ENTRY_BYTES


def max_sim(query: FloatArray, passages: Sequence[TokenVectors]) -> FloatArray:
    """Mean over the query's tokens of the greatest cosine in each passage.

    Args:
        query: (q, d) float32, L2-normalised rows.
        passages: Passages' token vectors.

    Returns:
        (n,) float32 between -1 and 1; -1 for a passage without tokens, and for all if the query has none.
    """
    scores = np.full(len(passages), -1, np.float32)
    filled = [i for i, passage in enumerate(passages) if len(passage.scales)]
    if not filled or not len(query):
        return scores
    codes = np.concatenate([passages[i].codes for i in filled]).astype(np.float32)
    scales = np.concatenate([passages[i].scales for i in filled])
    starts = np.cumsum([0, *(len(passages[i].scales) for i in filled[:-1])])
    cosines = (query @ codes.T) * scales
    scores[filled] = np.maximum.reduceat(cosines, starts, axis=1).mean(axis=0)
    return scores


class TokenVectorCache:
    """Token vectors by chunk id, least recently used first out, bounded by bytes. Thread-safe.

    Chunk ids are immutable, so nothing is ever invalidated. Ids are the caller's: if tenants could choose theirs, put
    the tenant in front.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, TokenVectors] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """Memory held by all entries."""
        return self._bytes

    def get(self, chunk_id: str) -> TokenVectors | None:
        """The vectors, or None; marks them as used."""
        with self._lock:
            found = self._entries.get(chunk_id)
            if found is not None:
                self._entries.move_to_end(chunk_id)
            return found

    def put(self, chunk_id: str, vectors: TokenVectors) -> None:
        """Keeps vectors, dropping others until they fit; what is larger than the whole cache is not kept."""
        if vectors.size_bytes > self._max_bytes:
            return
        with self._lock:
            replaced = self._entries.pop(chunk_id, None)
            self._bytes += vectors.size_bytes - (replaced.size_bytes if replaced else 0)
            self._entries[chunk_id] = vectors
            while self._bytes > self._max_bytes:
                _, dropped = self._entries.popitem(last=False)
                self._bytes -= dropped.size_bytes
