"""Rows as objects of the server, and its results as candidates."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from google.protobuf import struct_pb2
from weaviate.proto.v1 import base_pb2, batch_pb2

from corpus.adapters.weaviate import facets
from corpus.adapters.weaviate.schema import CHUNK_ID, CHUNKS_VERSION, DOCUMENT_ID, Collection
from corpus.domain import AccessPolicy, Candidate, VectorRow
from corpus.ids import NAMESPACE

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


def access_properties(access: AccessPolicy) -> dict[str, Any]:
    """Properties that an access change replaces, as JSON."""
    tokens = [facets.token_text(token) for token in sorted(access.tokens)]
    return {facets.TOKENS: tokens, facets.LEVEL: access.security_level}


def batch_object(collection: Collection, row: VectorRow) -> batch_pb2.BatchObject:
    """One row."""
    access = access_properties(row.access)
    single = {
        CHUNK_ID: row.chunk_id,
        DOCUMENT_ID: row.key.document_id,
        CHUNKS_VERSION: str(row.chunks_version),
        facets.LEVEL: access[facets.LEVEL],
        **facets.ordered_texts(row.metadata),
    }
    properties = struct_pb2.Struct()
    properties.update(single)
    lists = {facets.TOKENS: access[facets.TOKENS], facets.FACETS: list(facets.facet_terms(row.metadata))}
    return batch_pb2.BatchObject(
        uuid=object_id(row.chunk_id),
        collection=collection.name,
        tenant=row.key.tenant_id,
        vector_bytes=np.ascontiguousarray(row.vector, dtype="<f4").tobytes(),
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
