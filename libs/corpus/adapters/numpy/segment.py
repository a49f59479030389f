"""One segment of vectors in memory, beside what a search needs to know of its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import simsimd
from numpy.typing import NDArray

from corpus.adapters.numpy.schema import SEGMENT_ROWS

# Fits the second-level cache together with a batch of queries: 1.3 times faster than one product over the whole
# segment.
BLOCK_ROWS = 1_024


class Segment:
    """Rows of one segment: exact vectors mapped from the file, int8 copies in memory, row attributes by place.

    Attributes:
        size: Rows that are filled, dead ones included.
        live, access, metadata, versions: (SEGMENT_ROWS,) attributes by place.
        chunk_ids, document_ids: Names by place.
        error: Greatest distance between a vector and its int8 copy.
        norm: Greatest length of a vector or its copy.
    """

    def __init__(self, path: Path, dimensions: int) -> None:
        self._path = path
        self._dimensions = dimensions
        self.size = 0
        self.live = np.zeros(SEGMENT_ROWS, dtype=np.bool_)
        self.access = np.zeros(SEGMENT_ROWS, dtype=np.int32)
        self.metadata = np.zeros(SEGMENT_ROWS, dtype=np.int32)
        self.versions = np.zeros(SEGMENT_ROWS, dtype=np.int64)
        self.chunk_ids = [""] * SEGMENT_ROWS
        self.document_ids = [""] * SEGMENT_ROWS
        self.error = 0.0
        self.norm = 0.0
        self._scales = np.zeros(SEGMENT_ROWS, dtype=np.float32)
        # Pages are only touched, and so only cost memory, where rows are.
        self._copies = np.zeros((SEGMENT_ROWS, dimensions), dtype=np.int8)
        self._vectors: NDArray[np.float32] = np.empty((0, dimensions), dtype=np.float32)

    def grow(self, size: int) -> None:
        """Maps the vectors up to ``size`` and copies the new ones.

        Raises OSError or ValueError when the file is too short.
        """
        if size <= self.size:
            return
        self._vectors = np.memmap(self._path, dtype="<f4", mode="r", shape=(size, self._dimensions))
        for start in range(self.size, size, BLOCK_ROWS):
            end = min(start + BLOCK_ROWS, size)
            copies, scales, errors, norm = quantise(np.asarray(self._vectors[start:end]))
            self._copies[start:end], self._scales[start:end] = copies, scales
            self.error = max(self.error, float(errors.max()))
            self.norm = max(self.norm, norm)
        self.size = size

    def products_int8(
        self, copies: NDArray[np.int8], scales: NDArray[np.float32], rows: range, products: NDArray[np.float32]
    ) -> None:
        """Fills (q, size) ``products`` at ``rows`` with inner products of the int8 copies of queries and rows."""
        start, end = rows.start, rows.stop
        raw = np.asarray(simsimd.cdist(copies, self._copies[start:end], metric="dot", dtype="int8"))
        for row, scale, into in zip(raw.reshape(len(copies), end - start), scales, products, strict=True):
            np.multiply(row, self._scales[start:end] * scale, out=into[start:end], casting="same_kind")

    def products_float32(self, queries: NDArray[np.float32], rows: range, products: NDArray[np.float32]) -> None:
        """Fills (q, size) ``products`` at ``rows`` with inner products of queries and rows."""
        transposed = np.ascontiguousarray(queries.T)
        for start in range(rows.start, rows.stop, BLOCK_ROWS):
            end = min(start + BLOCK_ROWS, rows.stop)
            products[:, start:end] = (self._vectors[start:end] @ transposed).T

    def exact(self, places: NDArray[np.int64], query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Inner products of one query with some rows, summed row by row in the same order, so that equal vectors get
        equal scores. Matrix products don't promise that."""
        scores = np.empty(len(places), dtype=np.float32)
        for start in range(0, len(places), BLOCK_ROWS):
            part = self._vectors[places[start : start + BLOCK_ROWS]]
            scores[start : start + BLOCK_ROWS] = np.einsum("ij,j->i", part, query)
        return scores


def quantise(
    vectors: NDArray[np.float32],
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32], float]:
    """int8 copies with a scale per row.

    Returns:
        (n, d) int8 copies; (n,) scales, so that ``copy * scale`` is close to the vector; (n,) lengths of the
        differences; the greatest length of a vector or its copy.
    """
    scales = np.abs(vectors).max(axis=1) / np.float32(127)
    scales[scales == 0] = 1
    copies = np.rint(vectors / scales[:, None]).astype(np.int8)
    restored = copies * scales[:, None]
    errors = np.linalg.norm(vectors - restored, axis=1).astype(np.float32)
    norm = max(float(np.linalg.norm(each, axis=1).max(initial=0.0)) for each in (vectors, restored))
    return copies, scales.astype(np.float32), errors, norm
