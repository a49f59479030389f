"""Documents whose head is about to be replaced, as far as the feed has said so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

_NOTHING: Final[Mapping[str, dict[str, int]]] = {}


class Announced:
    """Announcements that nothing has ended yet, by tenant, document and id.

    There are as many as changes that workers are just about to write, and those of workers that died there; so they
    have no bound of their own. None is dropped for its age: a worker may stand still for longer than any.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, dict[str, dict[str, int]]] = {}

    def add(self, tenant_id: str, document_id: str, announcement_id: str, version: int) -> None:
        """Until a head of this version or a greater one only the authority knows the head."""
        self._tenants.setdefault(tenant_id, {}).setdefault(document_id, {})[announcement_id] = version

    def among(self, tenant_id: str, document_ids: Collection[str]) -> list[str]:
        """Those of the documents of which something is announced."""
        documents = self._tenants.get(tenant_id, _NOTHING)
        return [each for each in document_ids if each in documents] if documents else []

    def end_by(self, tenant_id: str, document_id: str, version: int) -> bool:
        """There is a head of this version: ends what it ends, and says whether nothing else is announced."""
        documents = self._tenants.get(tenant_id, _NOTHING)
        return self._keep(
            tenant_id, document_id, {name: end for name, end in documents.get(document_id, {}).items() if end > version}
        )

    def call_off(self, tenant_id: str, document_id: str, announcement_id: str) -> None:
        """Ends the one announcement. Idempotent."""
        left = dict(self._tenants.get(tenant_id, _NOTHING).get(document_id, {}))
        left.pop(announcement_id, None)
        self._keep(tenant_id, document_id, left)

    def end_holds(self, tenant_id: str, document_id: str, last: str) -> None:
        """Ends announcements of holds up to the one of this id (``corpus.feed.hold_announcement_id``)."""
        left = self._tenants.get(tenant_id, _NOTHING).get(document_id, {})
        kept = {name: end for name, end in left.items() if not (name.startswith("hold/") and name <= last)}
        self._keep(tenant_id, document_id, kept)

    def forget(self, tenant_id: str, document_id: str) -> None:
        """Ends whatever is announced of the document. Idempotent."""
        self._keep(tenant_id, document_id, {})

    def forget_tenant(self, tenant_id: str) -> None:
        """Ends whatever is announced of the tenant's documents. Idempotent."""
        self._tenants.pop(tenant_id, None)

    def _keep(self, tenant_id: str, document_id: str, left: dict[str, int]) -> bool:
        documents = self._tenants.get(tenant_id)
        if documents is not None:
            if left:
                documents[document_id] = left
            else:
                documents.pop(document_id, None)
                if not documents:
                    del self._tenants[tenant_id]
        return not left
