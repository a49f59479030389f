"""Rows and prefilters for the index suites."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from corpus.domain import AccessPolicy, DocumentKey, LexicalRow, MetadataValue, VectorRow
from corpus.filters import Filter
from corpus.ports import Prefilter

GENERATION = "g1"
DIMENSIONS = 8
EVERYBODY = AccessPolicy(frozenset({"all"}))


def unit(*values: float) -> NDArray[np.float32]:
    """(8,) unit vector that starts with these values."""
    vector = np.zeros(DIMENSIONS, dtype=np.float32)
    vector[: len(values)] = values
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def vector_row(
    chunk_id: str,
    vector: NDArray[np.float32] | None = None,
    *,
    tenant: str = "acme",
    document: str = "doc",
    version: int = 1,
    access: AccessPolicy = EVERYBODY,
    metadata: Mapping[str, MetadataValue] | None = None,
    content: str = "",
) -> VectorRow:
    return VectorRow(
        chunk_id,
        DocumentKey(tenant, document),
        version,
        access,
        metadata or {},
        unit(1.0) if vector is None else vector,
        content,
    )


def lexical_row(
    chunk_id: str,
    body: str = "river",
    *,
    title: str = "",
    heading: str = "",
    tenant: str = "acme",
    document: str = "doc",
    version: int = 1,
    access: AccessPolicy = EVERYBODY,
    metadata: Mapping[str, MetadataValue] | None = None,
    content: str = "",
) -> LexicalRow:
    return LexicalRow(
        chunk_id,
        DocumentKey(tenant, document),
        version,
        access,
        metadata or {},
        tuple(title.split()),
        tuple(heading.split()),
        tuple(body.split()),
        content,
    )


def reader(*tokens: str, tenant: str = "acme", clearance: int = 0, row_filter: Filter | None = None) -> Prefilter:
    """Prefilter of a caller with these tokens, "all" if none are named."""
    return Prefilter(tenant, frozenset(tokens or ("all",)), clearance, row_filter)


async def everything(rows: Collection[tuple[str, int]]) -> Collection[tuple[str, int]]:
    """Heads that forbid nothing."""
    return rows
