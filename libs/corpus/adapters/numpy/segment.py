"""One segment of vectors in memory, beside what a search needs to know of its rows."""

from __future__ import annotations

from pathlib import Path

import numkong
import numpy as np
from numpy.typing import NDArray

from corpus.adapters.numpy.schema import SEGMENT_ROWS

BLOCK_ROWS = 1_024
"""Rows that are read or left out together."""


class Copies:
    """int8 copies of the queries that share a pass.

    Attributes:
        rows: (q, d) copies.
        scales: (q,) so that ``row * scale`` is close to the query.
        packed: The copies as the kernel for several queries takes them; None for one query, which a kernel without
            packing answers in half the time.
    """

    def __init__(self, rows: NDArray[np.int8], scales: NDArray[np.float32]) -> None:
        self.rows = rows
        self.scales = scales
        self.packed = numkong.dots_pack(rows) if len(rows) > 1 else None


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
        # Arrays of strings: the names of many rows are then picked out at once.
        self.chunk_ids = np.full(SEGMENT_ROWS, "", dtype=np.object_)
        self.document_ids = np.full(SEGMENT_ROWS, "", dtype=np.object_)
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
        # As a plain array: numpy's class for mapped files runs Python code for every piece that is cut out.
        self._vectors = np.asarray(np.memmap(self._path, dtype="<f4", mode="r", shape=(size, self._dimensions)))
        for start in range(self.size, size, BLOCK_ROWS):
            end = min(start + BLOCK_ROWS, size)
            copies, scales, errors, norm = quantise(np.asarray(self._vectors[start:end]))
            self._copies[start:end], self._scales[start:end] = copies, scales
            self.error = max(self.error, float(errors.max()))
            self.norm = max(self.norm, norm)
        self.size = size

    def products(self, queries: Copies, rows: range, products: NDArray[np.float32]) -> None:
        """Fills (q, size) ``products`` at ``rows`` with inner products of the int8 copies of queries and rows."""
        start, end = rows.start, rows.stop
        if queries.packed is None:
            raw = np.asarray(numkong.cdist(queries.rows, self._copies[start:end], metric="dot"))
        else:
            raw = np.asarray(numkong.dots_packed(self._copies[start:end], queries.packed)).T
        into = products[:, start:end]
        np.multiply(raw, self._scales[start:end], out=into, dtype=np.float32, casting="same_kind")
        into *= queries.scales[:, None]

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
