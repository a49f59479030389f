"""What a document is filtered and sorted by: the caller's metadata over the document's own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import structlog

from chassis.errors import InvalidRequest
from corpus.domain import FieldType, Metadata, MetadataValue
from corpus.metadata import validate_metadata

_log = structlog.get_logger()

TIME_FIELDS = ("updated_at", "updated", "modified", "date", "published", "created")
"""Metadata fields that say when a document was current, most telling first; front matter knows all of these
spellings."""


def described(given: Metadata, found: Mapping[str, object], fields: Mapping[str, FieldType]) -> Metadata:
    """The caller's metadata over what the document says of itself.

    The caller's was validated when it was accepted. A field of the document's own that does not fit its declared type
    is left out with a warning: the author of a text can't know the tenant's declarations, and the text is still worth
    finding.
    """
    merged: dict[str, MetadataValue] = {}
    for name, value in found.items():
        try:
            merged.update(validate_metadata({name: value}, fields))
        except InvalidRequest as error:
            # Not which field: names in front matter are the document's own words.
            _log.warning("document_metadata_left_out", reason=error.reason)
    merged.update(given)
    return merged


def document_time(metadata: Metadata) -> datetime | None:
    """When the document says it was current."""
    for name in TIME_FIELDS:
        value = metadata.get(name)
        if isinstance(value, datetime):
            return value
    return None
