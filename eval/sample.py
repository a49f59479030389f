"""The sample corpus in a tenant of a running stack: shared by the demo and the evaluation of the golden set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.golden_set import GoldenSet, SampleDocument

from headwater import AsyncClient
from headwater.cli.ingest import Report, send
from headwater.cli.sources import Source


async def ingest_corpus(client: AsyncClient, golden: GoldenSet) -> Report:
    """Creates the tenant with its declared fields and sends every document, as its manifest describes it."""
    await client.create_tenant(golden.tenant, golden.metadata_fields)
    sources = [
        Source(document.document_id, document.path, document.path.name, "", f"sample:{document.path.name}")
        for document in golden.documents
    ]
    return await send(client, sources, {}, of={item.document_id: description(item) for item in golden.documents})


def description(document: SampleDocument) -> Mapping[str, Any]:
    """How a document of the corpus is put."""
    return {
        "title": document.title,
        "doc_type": document.doc_type,
        "readers": [f"group:{group}" for group in sorted(document.groups)] or ["public"],
        "metadata": document.metadata,
    }
