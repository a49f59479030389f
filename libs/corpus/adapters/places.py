"""Where embedded indexes live: one directory per generation and tenant, so that no query can reach another tenant's
rows.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from corpus.generations import validate_generation_name
from corpus.ids import validate_tenant_id


@dataclass(frozen=True, slots=True)
class IndexPlace:
    """One index: ``root/generation/tenant/kind``.

    ``kind`` names the format, so a new format never opens an old file.
    """

    generation: str
    tenant_id: str

    def __post_init__(self) -> None:
        # Both become path components.
        validate_generation_name(self.generation)
        validate_tenant_id(self.tenant_id)

    def directory(self, root: Path, kind: str) -> Path:
        """Directory of this index."""
        return root / self.generation / self.tenant_id / kind


def places_of_tenant(root: Path, tenant_id: str, kind: str) -> list[IndexPlace]:
    """Every generation in which the tenant has an index of this kind."""
    validate_tenant_id(tenant_id)
    return [
        IndexPlace(directory.parent.parent.name, tenant_id) for directory in sorted(root.glob(f"*/{tenant_id}/{kind}"))
    ]


def remove_index(directory: Path) -> None:
    """Removes an index's files and the tenant's directory if nothing else is in it. Idempotent."""
    if directory.exists():
        shutil.rmtree(directory)
    with suppress(OSError):  # not empty: another kind of index is there
        directory.parent.rmdir()
