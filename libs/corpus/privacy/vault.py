"""The vault: what pseudonyms stand for, sealed before it is stored and opened for those who were let in.

It knows nothing of access: callers check the document's head and the scope first.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from chassis.errors import DocumentRejected, FailedPrecondition
from corpus.domain import DocumentKey
from corpus.privacy.sealing import KeyRing, Sealed
from corpus.pseudonyms import PseudonymRecord, PseudonymStore

MAX_RECORD_BYTES: Final = 16 * 2**20
"""Of what one version's pseudonyms stand for: 300,000 addresses of mail."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """One step of sealing everything with the newest key: ``resealed`` records, and whether any may be ``left``."""

    resealed: int
    left: bool


@dataclass(frozen=True, slots=True)
class Vault:
    """A key ring over a store. Raises what the ring and the store raise."""

    ring: KeyRing
    store: PseudonymStore

    async def keep(self, key: DocumentKey, chunks_version: int, generation: str, values: Mapping[str, str]) -> None:
        """Keeps what the version's pseudonyms stand for, in place of what was kept of it. Idempotent. Raises
        DocumentRejected TOO_MUCH_PERSONAL_DATA."""
        if not values:
            await self.store.delete(key, chunks_version, generation)
            return
        plain = json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode()
        if len(plain) > MAX_RECORD_BYTES:
            raise DocumentRejected(
                "The document holds more personal data than the vault keeps of one: split it.",
                reason="TOO_MUCH_PERSONAL_DATA",
            )
        sealed = await asyncio.to_thread(self.ring.seal, plain, *_about(key, chunks_version, generation))
        await self.store.put(PseudonymRecord(key, chunks_version, generation, sealed))

    async def values(
        self, key: DocumentKey, chunks_version: int, generations: Collection[str], wanted: Collection[str]
    ) -> Mapping[str, str]:
        """What those of the wanted pseudonyms stand for that the version holds. Raises FailedPrecondition
        VAULT_KEY_MISSING, VAULT_RECORD_DAMAGED."""
        found: dict[str, str] = {}
        for record in await self.store.get(key, chunks_version, generations):
            known = await asyncio.to_thread(self._open, record)
            found |= {each: known[each] for each in wanted if each in known}
        return found

    async def rotate(self, limit: int) -> Rotated:
        """Seals up to ``limit`` records anew that another key than the newest one sealed. May be repeated and may stop
        at any point; a record that is written or forgotten meanwhile is left alone. Raises FailedPrecondition when
        nothing was sealed because a record does not open or its key is not in the ring."""
        records = await self.store.sealed_otherwise(self.ring.newest, limit)
        resealed, closed = 0, None
        for record in records:
            try:
                sealed = await asyncio.to_thread(self._anew, record)
            except FailedPrecondition as error:
                # One that is lost keeps no other from leaving the old key; it is told when nothing else is left.
                closed = error
                continue
            resealed += await self.store.replace(record, sealed)
        if closed is not None and not resealed:
            raise closed
        return Rotated(resealed, left=closed is not None or len(records) == limit)

    async def uses(self) -> Mapping[str, int]:
        """Records by key id; keys of the ring that sealed none are there with 0."""
        return {**dict.fromkeys(self.ring.key_ids, 0), **await self.store.counts()}

    def _open(self, record: PseudonymRecord) -> Mapping[str, str]:
        values: Mapping[str, str] = json.loads(self.ring.open(record.sealed, *_about_record(record)))
        return values

    def _anew(self, record: PseudonymRecord) -> Sealed:
        return self.ring.seal(self.ring.open(record.sealed, *_about_record(record)), *_about_record(record))


def _about_record(record: PseudonymRecord) -> tuple[str, ...]:
    return _about(record.key, record.chunks_version, record.generation)


def _about(key: DocumentKey, chunks_version: int, generation: str) -> tuple[str, ...]:
    return "pseudonyms", key.tenant_id, key.document_id, str(chunks_version), generation
