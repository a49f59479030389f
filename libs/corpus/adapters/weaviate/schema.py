"""Collections: how they are named, what they look like, and how one differs from that.

One multi-tenant collection per generation. What tells whether answers are right (types, tokenization, indexes of the
properties, distance, tenancy) is compared; what an operator may tune (ef, quantisation, replicas) is not.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chassis.endpoints import WeaviateEndpoint
from corpus.adapters.weaviate import facets

CHUNK_ID: Final = "chunk_id"
DOCUMENT_ID: Final = "document_id"
CHUNKS_VERSION: Final = "chunks_version"
CONTENT: Final = "content_sha256"

VECTOR_INDEX_TYPE: Final = "hnsw"
VECTOR_INDEX: Final[Mapping[str, Any]] = {
    "distance": "cosine",
    # Measured: docs/vector-index.md.
    "maxConnections": 32,
    "efConstruction": 128,
    "ef": -1,
    "dynamicEfMin": 250,
    "dynamicEfMax": 600,
    "dynamicEfFactor": 3,
    # Below this many rows that satisfy the prefilter, all of them are compared: exact, and faster than a graph of
    # which most nodes are forbidden.
    "flatSearchCutoff": 40_000,
    "filterStrategy": "acorn",
    # One byte per dimension in memory, from the first row on: the scalar quantiser has to be trained on many. The best
    # so many candidates are compared again by their float32 vectors, which takes most of a search's time; a search for
    # more compares all of them.
    "rq": {"enabled": True, "bits": 8, "rescoreLimit": 250},
}

_DESCRIPTION_KIND = "headwater-vectors"


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a collection. Texts are tokenized as one whole, and never searched by words."""

    name: str
    data_type: str
    filterable: bool

    def definition(self) -> dict[str, Any]:
        """As the server has it."""
        definition: dict[str, Any] = {
            "name": self.name,
            "dataType": [self.data_type],
            "indexFilterable": self.filterable,
            "indexSearchable": False,
            "indexRangeFilters": False,
        }
        return definition | ({"tokenization": "field"} if self.data_type.startswith("text") else {})


FIXED_PROPERTIES: Final = (
    Property(CHUNK_ID, "text", filterable=False),
    Property(DOCUMENT_ID, "text", filterable=False),
    # The server's integers pass through doubles, which hold versions up to 2^53 only.
    Property(CHUNKS_VERSION, "text", filterable=False),
    Property(CONTENT, "text", filterable=False),
    Property(facets.TOKENS, "text[]", filterable=True),
    Property(facets.LEVEL, "int", filterable=True),
    Property(facets.FACETS, "text[]", filterable=True),
    *(Property(name, "text", filterable=True) for name in facets.BUILT_IN_SLOTS.values()),
)


def slot(place: int) -> Property:
    """Property of a slot."""
    return Property(facets.slot_property(place), "text", filterable=True)


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection as it is there.

    Attributes:
        name: On the server.
        generation: Whose rows it holds.
        dimensions: Of its vectors; the first write decided.
        slots: How many ordered texts a row may have besides the built-in ones.
    """

    name: str
    generation: str
    dimensions: int
    slots: int


def collection_name(endpoint: WeaviateEndpoint, generation: str) -> str:
    """The installation's prefix and a digest of the generation; the description holds its real name."""
    return f"{endpoint.prefix}V{hashlib.sha256(generation.encode()).hexdigest()[:32]}"


def is_collection_of(endpoint: WeaviateEndpoint, name: str) -> bool:
    """Whether a collection belongs to this installation."""
    return re.fullmatch(f"{re.escape(endpoint.prefix)}V[0-9a-f]{{32}}", name) is not None


def definition(endpoint: WeaviateEndpoint, generation: str, dimensions: int) -> dict[str, Any]:
    """What the collection is created with."""
    described = {"kind": _DESCRIPTION_KIND, "generation": generation, "dimensions": dimensions}
    return {
        "class": collection_name(endpoint, generation),
        "description": json.dumps(described),
        "vectorizer": "none",
        "vectorIndexType": VECTOR_INDEX_TYPE,
        "vectorIndexConfig": dict(VECTOR_INDEX),
        "multiTenancyConfig": {"enabled": True, "autoTenantCreation": False, "autoTenantActivation": True},
        "replicationConfig": {"factor": endpoint.replicas, "deletionStrategy": "TimeBasedResolution"},
        "invertedIndexConfig": {"stopwords": {"preset": "none"}},
        "properties": [each.definition() for each in FIXED_PROPERTIES],
    }


def read(found: Mapping[str, Any]) -> Collection | None:
    """A collection from its definition on the server; None if its description is none of ours."""
    try:
        described = json.loads(found.get("description") or "")
        generation, dimensions = str(described["generation"]), int(described["dimensions"])
    except (ValueError, KeyError, TypeError):
        return None
    names = [each["name"] for each in found.get("properties") or ()]
    return Collection(found["class"], generation, dimensions, facets.slots_among(names))


def differences(found: Mapping[str, Any]) -> list[str]:
    """What of a collection on the server is not as expected, one sentence each."""
    name = found["class"]
    collection = read(found)
    if collection is None:
        return [f"The description of the collection {name} does not name its generation and dimensions."]
    problems: list[str] = []

    def compare(what: str, there: object, expected: object) -> None:
        if there != expected:
            problems.append(
                f"{what} of the collection {name} is {json.dumps(there)} instead of {json.dumps(expected)}."
            )

    compare("The vectorizer", found.get("vectorizer"), "none")
    compare("The index type", found.get("vectorIndexType"), VECTOR_INDEX_TYPE)
    compare("The distance", (found.get("vectorIndexConfig") or {}).get("distance"), VECTOR_INDEX["distance"])
    compare("Multi-tenancy", (found.get("multiTenancyConfig") or {}).get("enabled"), True)
    present = {each["name"]: each for each in found.get("properties") or ()}
    for expected in (*FIXED_PROPERTIES, *(slot(place) for place in range(collection.slots))):
        problems += _property_differences(name, expected, present.get(expected.name))
    return problems


def _property_differences(collection: str, expected: Property, there: Mapping[str, Any] | None) -> Sequence[str]:
    if there is None:
        return [f"The property {expected.name} of the collection {collection} is missing."]
    return [
        f"{key} of the property {expected.name} of the collection {collection} is {json.dumps(there.get(key))} "
        f"instead of {json.dumps(value)}."
        for key, value in expected.definition().items()
        if there.get(key) != value
    ]
