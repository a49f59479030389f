"""Use cases of the vault: revealing, and changing its keys."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from chassis.clock import Clock
from chassis.errors import FailedPrecondition, InvalidRequest, NotFound
from chassis.identity import Caller, Scope
from corpus.domain import Head
from corpus.ports import Generations, Heads, Tenants
from corpus.privacy.pseudonyms import PSEUDONYM, kind_of
from corpus.privacy.vault import Rotated, Vault
from ingest.service import may_read

MAX_DOCUMENTS: Final = 64
MAX_PSEUDONYMS: Final = 1_000
RESEALED_AT_ONCE: Final = 500
_DIGEST_CHARACTERS: Final = 16

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class VaultKeyUse:
    """A key of the vault, and how many records it has sealed."""

    key_id: str
    records: int
    newest: bool
    known: bool


@dataclass(frozen=True, slots=True)
class OperateVault:
    """Use cases of the API role. ``vault`` is None where there are no keys."""

    vault: Vault | None
    tenants: Tenants
    heads: Heads
    generations: Generations
    clock: Clock

    async def reveal(self, caller: Caller, document_ids: Sequence[str], pseudonyms: Sequence[str]) -> Mapping[str, str]:
        """What those pseudonyms stand for that the documents hold, of documents that the caller may read now: with the
        write scope, too, he has to be among their readers. Logs who asked for how many of which kind.

        Raises InvalidRequest, PermissionDenied, NotFound UNKNOWN_DOCUMENT when he may read none of them, and
        FailedPrecondition when a record can't be opened: nothing is revealed then.
        """
        caller.require(Scope.READ)
        caller.require(Scope.REVEAL)
        _check(document_ids, pseudonyms)
        vault = self._vault()
        heads = await self._readable(caller, document_ids)
        wanted = list(dict.fromkeys(pseudonyms))
        plan = await self.generations.plan()
        kept = {generation.name for generation in plan.kept} if plan is not None else set()
        found: dict[str, str] = {}
        for head in heads:
            generations = kept | {head.generation}
            # The first document that holds it says how it is written.
            found = {**await vault.values(head.key, head.chunks_version, generations, wanted), **found}
        _log.info(
            "pseudonyms_revealed",
            tenant=caller.tenant_id,
            by=_digest(caller.subject),
            documents=[_digest(head.key.document_id) for head in heads],
            asked=len(wanted),
            revealed=dict(Counter(map(kind_of, found))),
        )
        return {pseudonym: found[pseudonym] for pseudonym in wanted if pseudonym in found}

    async def keys(self, caller: Caller) -> Sequence[VaultKeyUse]:
        """The keys of the ring, the newest first, then those that are missing from it though records name them."""
        caller.require(Scope.ADMIN)
        ring, uses = self._vault().ring, await self._vault().uses()
        order = sorted(uses, key=lambda each: (each not in ring.key_ids, (*ring.key_ids, each).index(each), each))
        return [VaultKeyUse(each, uses[each], each == ring.newest, each in ring.key_ids) for each in order]

    async def rotate(self, caller: Caller, limit: int) -> Rotated:
        """One step of sealing everything with the newest key; see ``Vault.rotate``."""
        caller.require(Scope.ADMIN)
        done = await self._vault().rotate(min(limit or RESEALED_AT_ONCE, RESEALED_AT_ONCE))
        _log.info("vault_resealed", by=_digest(caller.subject), records=done.resealed)
        return done

    async def _readable(self, caller: Caller, document_ids: Collection[str]) -> Sequence[Head]:
        tenant_id = await self.tenants.latest_id(caller.tenant_id)
        heads = await self.heads.get_many(tenant_id, set(document_ids))
        now = self.clock.now()
        named = (heads.get(document_id) for document_id in dict.fromkeys(document_ids))
        readable = [head for head in named if head is not None and may_read(caller, head, now)]
        if not readable:
            raise NotFound("There is no such document that you may read.", reason="UNKNOWN_DOCUMENT")
        return readable

    def _vault(self) -> Vault:
        if self.vault is None:
            raise FailedPrecondition(
                "This installation has no keys for its vault: an operator sets them (docs/privacy.md).",
                reason="NO_VAULT_KEYS",
            )
        return self.vault


def _digest(name: str) -> str:
    """Names of people and documents are in no log; who looks for one knows it, and its hash."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]


def _check(document_ids: Sequence[str], pseudonyms: Sequence[str]) -> None:
    if not 0 < len(document_ids) <= MAX_DOCUMENTS:
        raise InvalidRequest(f"Name 1 to {MAX_DOCUMENTS} documents.", reason="TOO_MANY_DOCUMENTS")
    if not 0 < len(pseudonyms) <= MAX_PSEUDONYMS:
        raise InvalidRequest(f"Name 1 to {MAX_PSEUDONYMS} pseudonyms.", reason="TOO_MANY_PSEUDONYMS")
    if not all(map(PSEUDONYM.fullmatch, pseudonyms)):
        raise InvalidRequest(
            "A pseudonym looks like [EMAIL_kdfgtrsnbbcqlmpj], brackets included.", reason="NOT_A_PSEUDONYM"
        )
