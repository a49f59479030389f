"""Identifiers: which ones are acceptable, and how chunk ids are derived."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable

from chassis.errors import FailedPrecondition, InvalidRequest

NAMESPACE = uuid.UUID("6c1d3d0a-5c0e-5f43-9f0b-6c2f4f0e7a51")
"""Namespace of every derived id. Changing it orphans every stored chunk."""

MAX_DOCUMENT_ID_BYTES = 512
"""Longest id that Elasticsearch accepts for a record, so every store can key by it."""

MAX_TENANT_ID_CHARACTERS = 64
"""Longest name of a tenant that Weaviate accepts."""

_TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_TENANT_ID = re.compile(r"[a-z0-9][a-z0-9-]*(_[1-9][0-9]*)?")


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


def validate_tenant_name(name: str) -> str:
    """Returns what callers know a tenant by as it is. Raises InvalidRequest INVALID_TENANT_ID.

    The alphabet is safe in file paths, index names and log lines alike.
    """
    if not _TENANT_NAME.fullmatch(name):
        raise _invalid_tenant()
    return name


def validate_tenant_id(tenant_id: str) -> str:
    """Returns what stores know a tenant by as it is: a name, of all but its first tenant with ``_`` and a number.
    Raises InvalidRequest INVALID_TENANT_ID."""
    if len(tenant_id) > MAX_TENANT_ID_CHARACTERS or not _TENANT_ID.fullmatch(tenant_id):
        raise _invalid_tenant()
    return tenant_id


def name_of_tenant(tenant_id: str) -> str:
    """The name that a tenant of this id has or had. No name has the character that a number follows."""
    return tenant_id.partition("_")[0]


def tenant_id_after(tenant_id: str) -> str:
    """Id of the tenant that gets the name of this one when it is gone: no two tenants of a name have the same id.

    Raises FailedPrecondition TENANT_NAME_SPENT when the name has no room left for a number.
    """
    name, _, number = tenant_id.partition("_")
    following = f"{name}_{int(number or 0) + 1}"
    if len(following) > MAX_TENANT_ID_CHARACTERS:
        raise FailedPrecondition(
            "A tenant of this name was deleted, and a name this long can't be used again; choose another one.",
            reason="TENANT_NAME_SPENT",
        )
    return following


def _invalid_tenant() -> InvalidRequest:
    return InvalidRequest(
        "A tenant id has 1 to 64 characters of a-z, 0-9 and '-', and starts with a letter or digit.",
        reason="INVALID_TENANT_ID",
    )


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
