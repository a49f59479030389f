"""Identifiers: which ones are acceptable, and how chunk ids are derived."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable

from chassis.errors import InvalidRequest

NAMESPACE = uuid.UUID("6c1d3d0a-5c0e-5f43-9f0b-6c2f4f0e7a51")
"""Namespace of every derived id. Changing it orphans every stored chunk."""

MAX_DOCUMENT_ID_BYTES = 512
"""Longest id that Elasticsearch accepts for a record, so every store can key by it."""

_TENANT_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def length_prefixed(parts: Iterable[str]) -> bytes:
    """Joins parts so that no two different sequences give the same bytes: each is preceded by its UTF-8 length."""
    joined = bytearray()
    for part in parts:
        encoded = part.encode()
        joined += len(encoded).to_bytes(4, "big")
        joined += encoded
    return bytes(joined)


def chunk_id(tenant_id: str, document_id: str, chunks_version: int, ordinal: int, generation: str) -> str:
    """Id of a chunk.

    The same arguments give the same id in every process and release, so a repeated write hits the same rows.
    """
    name = length_prefixed((tenant_id, document_id, str(chunks_version), str(ordinal), generation))
    return str(_uuid5(name))


def _uuid5(name: bytes) -> uuid.UUID:
    # uuid.uuid5 takes bytes only from Python 3.12 on. Latin-1 maps bytes to code points one to one, and uuid5 encodes
    # them as UTF-8, so distinct names stay distinct on every Python version.
    return uuid.uuid5(NAMESPACE, name.decode("latin-1"))


def validate_tenant_id(tenant_id: str) -> str:
    """Returns the id as it is. Raises InvalidRequest INVALID_TENANT_ID.

    The alphabet is safe in file paths, index names and log lines alike.
    """
    if not _TENANT_ID.fullmatch(tenant_id):
        raise InvalidRequest(
            "A tenant id has 1 to 64 characters of a-z, 0-9 and '-', and starts with a letter or digit.",
            reason="INVALID_TENANT_ID",
        )
    return tenant_id


def validate_document_id(document_id: str) -> str:
    """Returns the id as it is, never normalised. Raises InvalidRequest INVALID_DOCUMENT_ID."""
    try:
        size = len(document_id.encode())
    except UnicodeEncodeError:
        size = 0
    if not 1 <= size <= MAX_DOCUMENT_ID_BYTES or not document_id.isprintable():
        raise InvalidRequest(
            f"A document id has 1 to {MAX_DOCUMENT_ID_BYTES} bytes of printable UTF-8 on one line.",
            reason="INVALID_DOCUMENT_ID",
        )
    return document_id
