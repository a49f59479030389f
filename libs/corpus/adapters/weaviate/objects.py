"""Rows as objects of the server, and its results as candidates."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf import struct_pb2
from numpy.typing import NDArray
from weaviate.proto.v1 import base_pb2, batch_pb2

from corpus.access import access_fingerprint
from corpus.adapters.weaviate import facets
from corpus.adapters.weaviate.schema import CHUNK_ID, CHUNKS_VERSION, CONTENT, DOCUMENT_ID, Collection
from corpus.domain import AccessPolicy, Candidate, IndexedRow, VectorRow
from corpus.ids import NAMESPACE

AUDITED = (CHUNK_ID, DOCUMENT_ID, CHUNKS_VERSION, CONTENT, facets.TOKENS, facets.LEVEL)
"""Properties that an audit reads."""

_PART_BYTES = 4 * 2**20
_PART_ROWS = 500


def object_id(chunk_id: str) -> str:
    """UUID of a chunk's object: its id itself, which is one unless somebody made ids of their own."""
    try:
        if str(uuid.UUID(chunk_id)) == chunk_id:
            return chunk_id
    except ValueError:
        pass
    return str(uuid.uuid5(NAMESPACE, chunk_id))


def batch_object(collection: Collection, row: VectorRow) -> batch_pb2.BatchObject:
    """One row."""
    single = {
        CHUNK_ID: row.chunk_id,
        DOCUMENT_ID: row.key.document_id,
        CHUNKS_VERSION: str(row.chunks_version),
        CONTENT: row.content_sha256,
        **facets.ordered_texts(row.metadata),
    }
    lists = {facets.FACETS: list(facets.facet_terms(row.metadata))}
    vector = np.ascontiguousarray(row.vector, dtype="<f4").tobytes()
    place = _Place(collection.name, row.key.tenant_id, object_id(row.chunk_id))
    return _object(place, vector, single, lists, row.access)


def with_access(collection: Collection, tenant_id: str, found: Any, access: AccessPolicy) -> batch_pb2.BatchObject:
    """A row as it was found, with another access policy."""
    fields = found.properties.non_ref_props.fields.items()
    single = {name: value.text_value for name, value in fields if value.HasField("text_value")}
    lists = {name: value.list_value.text_values.values for name, value in fields if name == facets.FACETS}
    place = _Place(collection.name, tenant_id, found.metadata.id)
    return _object(place, found.metadata.vector_bytes, single, lists, access)


@dataclass(frozen=True, slots=True)
class _Place:
    collection: str
    tenant_id: str
    object_id: str


def _object(
    place: _Place, vector: bytes, single: Mapping[str, str], lists: Mapping[str, Sequence[str]], access: AccessPolicy
) -> batch_pb2.BatchObject:
    tokens = [facets.token_text(token) for token in sorted(access.tokens)]
    properties = struct_pb2.Struct()
    properties.update({**single, facets.LEVEL: access.security_level})
    lists = {**lists, facets.TOKENS: tokens}
    return batch_pb2.BatchObject(
        uuid=place.object_id,
        collection=place.collection,
        tenant=place.tenant_id,
        vector_bytes=vector,
        properties=batch_pb2.BatchObject.Properties(
            non_ref_properties=properties,
            text_array_properties=[
                base_pb2.TextArrayProperties(prop_name=name, values=values) for name, values in lists.items() if values
            ],
            empty_list_props=[name for name, values in lists.items() if not values],
        ),
    )


def parts(objects: Sequence[batch_pb2.BatchObject]) -> Iterator[Sequence[batch_pb2.BatchObject]]:
    """Objects in batches that the server takes at once."""
    part: list[batch_pb2.BatchObject] = []
    size = 0
    for each in objects:
        bytes_of_one = each.ByteSize()
        if part and (len(part) == _PART_ROWS or size + bytes_of_one > _PART_BYTES):
            yield part
            part, size = [], 0
        part.append(each)
        size += bytes_of_one
    if part:
        yield part


def candidate(result: Any) -> Candidate:
    """A result of a search."""
    fields = result.properties.non_ref_props.fields
    return Candidate(
        fields[CHUNK_ID].text_value,
        fields[DOCUMENT_ID].text_value,
        int(fields[CHUNKS_VERSION].text_value),
        1.0 - result.metadata.distance,
    )


def chunk_id(result: Any) -> str:
    """Whose row a result is."""
    return str(result.properties.non_ref_props.fields[CHUNK_ID].text_value)


def vector(result: Any) -> NDArray[np.float32]:
    """The (d,) float32 vector of a result that was asked for it."""
    return np.frombuffer(result.metadata.vector_bytes, dtype="<f4").astype(np.float32)


def indexed_row(result: Any) -> IndexedRow:
    """What an audit sees of a result that was asked for ``AUDITED``."""
    fields = result.properties.non_ref_props.fields
    tokens = fields[facets.TOKENS].list_value.text_values.values
    access = access_fingerprint([facets.token_of(each) for each in tokens], fields[facets.LEVEL].int_value)
    return IndexedRow(
        fields[CHUNK_ID].text_value,
        fields[DOCUMENT_ID].text_value,
        int(fields[CHUNKS_VERSION].text_value),
        fields[CONTENT].text_value,
        access,
    )
