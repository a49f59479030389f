"""From what a source says of a document to a draft that is fit to be accepted."""

from __future__ import annotations

from chassis.errors import InvalidRequest
from corpus.access import validate_principal
from corpus.domain import Tenant
from corpus.ids import validate_document_id
from corpus.metadata import validate_metadata
from ingest.domain import Draft
from ingest.messages import MAX_PRINCIPALS, MAX_TEXT_BYTES
from ingest.sources.model import Described


def draft_of(document_id: str, version: int, said: Described, tenant: Tenant | None) -> Draft:
    """A validated draft. Raises InvalidRequest with the reasons of the API: what may not be put may not come from a
    source either. An unknown tenant is refused later."""
    for name in ("filename", "media_type", "title", "doc_type", "uri"):
        if len(getattr(said, name).encode()) > MAX_TEXT_BYTES:
            raise InvalidRequest(f"The {name} is longer than {MAX_TEXT_BYTES} bytes.", reason="FIELD_TOO_LONG")
    if len(said.readers) > MAX_PRINCIPALS:
        raise InvalidRequest(
            f"An access list has at most {MAX_PRINCIPALS} principals; use groups.", reason="TOO_MANY_PRINCIPALS"
        )
    return Draft(
        document_id=validate_document_id(document_id),
        version=version,
        filename=said.filename,
        media_type=said.media_type,
        title=said.title,
        doc_type=said.doc_type,
        uri=said.uri,
        metadata=validate_metadata(said.metadata, tenant.fields if tenant else {}),
        principals=tuple(dict.fromkeys(validate_principal(reader) for reader in said.readers)),
        security_level=said.security_level,
    )
