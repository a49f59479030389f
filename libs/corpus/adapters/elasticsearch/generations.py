"""The registry of generations in Elasticsearch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from chassis.elasticsearch.bulk import Write, bulk
from chassis.elasticsearch.client import Store
from chassis.elasticsearch.documents import get
from chassis.elasticsearch.indexes import IndexSpec
from corpus.domain import Generation
from corpus.generations import validate_generation_name

_ALIAS: Final = "generations"
_ACTIVE: Final = "-active"
"""Id of the one document that says which generation is active: no generation's name begins with a dash."""

SPECS: Final = (
    IndexSpec(
        alias=_ALIAS,
        properties={
            "name": {"type": "keyword"},
            "model_id": {"type": "keyword"},
            "model_revision": {"type": "keyword"},
            "dimensions": {"type": "integer"},
            "chunker": {"type": "keyword"},
            "analyser": {"type": "keyword"},
        },
    ),
)


class ElasticsearchGenerations:
    """Every generation has a document under its name, kept for a way back. The active one is copied into one more,
    which is replaced as a whole: there is never more than one, and never half of one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def activate(self, generation: Generation) -> None:
        """Registers the generation and makes it the active one."""
        alias, source = self._store.name(_ALIAS), asdict(generation)
        await bulk(self._store, [Write(alias, validate_generation_name(generation.name), source)])
        await bulk(self._store, [Write(alias, _ACTIVE, source)])

    async def active(self) -> Generation | None:
        """The active generation, or None before the first."""
        found = await get(self._store, self._store.name(_ALIAS), _ACTIVE)
        return None if found is None else Generation(**found.source)
