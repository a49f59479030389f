"""Generations: which settings an index set was made with."""

from __future__ import annotations

import hashlib
import re

from chassis.errors import InvalidRequest
from corpus.domain import Generation
from corpus.ids import length_prefixed

_NAME = re.compile(r"[a-z][a-z0-9]{0,63}")


def describe_generation(
    *, model_id: str, model_revision: str, dimensions: int, chunker: str, analyser: str, number: int = 0
) -> Generation:
    """The generation with these settings.

    The name starts with a letter and has only a-z and 0-9, so it serves as a directory, an Elasticsearch index and
    (capitalised) a Weaviate collection. Equal settings give an equal name everywhere, for the first generation of an
    installation; later ones have a ``number``, so that one which was dropped never comes back under its name.
    """
    parts = length_prefixed(
        (
            "headwater.generation.v1",
            model_id,
            model_revision,
            str(dimensions),
            chunker,
            analyser,
            *([str(number)] if number else []),
        )
    )
    name = "g" + hashlib.sha256(parts).hexdigest()[:16]
    return Generation(name, model_id, model_revision, dimensions, chunker, analyser)


def validate_generation_name(name: str) -> str:
    """Returns the name as it is.

    Raises InvalidRequest INVALID_GENERATION for one that can't be an index name or a directory.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            "A generation name has 1 to 64 characters of a-z and 0-9 and starts with a letter.",
            reason="INVALID_GENERATION",
        )
    return name
