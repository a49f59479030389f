"""Documents that are pseudonymised before they are indexed, and who may learn what stood there."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs
from tests.unit.ingest.applying import APPLIED
from tests.unit.ingest.world import STAFF, TENANT, World

from chassis.errors import FailedPrecondition, HeadwaterError, InvalidRequest, NotFound, PermissionDenied
from chassis.identity import Caller, Scope
from corpus.adapters.memory.pseudonyms import MemoryPseudonymStore
from corpus.domain import DocumentKey
from corpus.privacy.entities import EntityKind
from corpus.privacy.pseudonyms import Pseudonyms
from corpus.privacy.sealing import KeyRing
from corpus.privacy.vault import Vault
from ingest.admin import AdminSettings
from ingest.domain import Delete, SetAccess
from ingest.index import IndexDocument
from ingest.privacy import parse_privacy
from ingest.service import may_read
from ingest.settings import IngestSettings
from ingest.vault.operate import OperateVault

KEY = bytes(range(32))
NAMES = Pseudonyms(KEY)
MAIL, CARD = "anna@example.org", "4111 1111 1111 1111"
TEXT = f"Ask {MAIL}.\nHer card is {CARD}.\nThe pump is green."
HIDDEN_MAIL, HIDDEN_CARD = NAMES.of(TENANT, EntityKind.EMAIL, MAIL), NAMES.of(TENANT, EntityKind.CARD, CARD)
GROUP = STAFF[0].removeprefix("group:")
MAY = Caller(TENANT, "ann", frozenset({GROUP}), 0, frozenset({Scope.READ, Scope.REVEAL}))
ADMIN = Caller(TENANT, "root", frozenset(), 0, frozenset({Scope.ADMIN}))


class Kept:
    """A world whose documents are pseudonymised."""

    def __init__(self, world: World, mode: str = "pseudonymise") -> None:
        self.world = world
        self.store = MemoryPseudonymStore()
        self.vault = Vault(KeyRing([KEY]), self.store)
        world.rows = replace(world.rows, pseudonyms=self.store, vault=self.vault)
        policy = replace(parse_privacy(f'[default]\nmode = "{mode}"'), names=NAMES)
        assert isinstance(world.apply.index, IndexDocument)
        index = replace(world.apply.index, privacy=policy, rows=world.rows)
        world.apply = replace(world.apply, rows=world.rows, index=index)
        world.manage = replace(world.manage, pseudonyms=self.store)
        stores = world.stores
        self.operate = OperateVault(self.vault, stores.tenants, stores.heads, stores.generations, world.clock)

    async def put(self, document_id: str, version: int, text: str = TEXT, **draft: object) -> None:
        event = await self.world.upsert(document_id, version, text, **draft)  # type: ignore[arg-type]
        assert await self.world.apply.apply(event) == APPLIED

    async def records(self) -> int:
        return sum((await self.store.counts()).values())

    async def sweep(self) -> None:
        self.world.clock.advance(7200)
        await self.world.sweeper().sweep()


async def test_a_document_is_indexed_with_pseudonyms_that_those_who_may_can_look_up() -> None:
    async with World() as world:
        kept = Kept(world)
        await kept.put("guide", 5, title=f"For {MAIL}")
        assert await world.text("guide") == f"Ask {HIDDEN_MAIL}.\nHer card is {HIDDEN_CARD}.\nThe pump is green."
        head = await world.head("guide")
        assert head is not None
        assert head.title == f"For {HIDDEN_MAIL}"
        assert head.metadata["personal_data"] == ("card", "email")
        unknown = NAMES.of(TENANT, EntityKind.IP, "10.1.2.3")
        found = await kept.operate.reveal(MAY, ["guide"], [HIDDEN_CARD, unknown, HIDDEN_MAIL, HIDDEN_CARD])
        assert list(found.items()) == [(HIDDEN_CARD, CARD), (HIDDEN_MAIL, MAIL)]


@pytest.mark.parametrize(
    ("caller", "error"),
    [
        (replace(MAY, scopes=frozenset({Scope.READ, Scope.WRITE, Scope.ADMIN})), PermissionDenied),
        (replace(MAY, scopes=frozenset({Scope.REVEAL})), PermissionDenied),
        (replace(MAY, groups=frozenset({"others"})), NotFound),
        (replace(MAY, groups=frozenset({"others"}), scopes=frozenset(Scope)), NotFound),
        (replace(MAY, tenant_id="other"), NotFound),
    ],
)
async def test_nothing_is_revealed_without_the_scope_or_to_those_who_may_not_read_the_document(
    caller: Caller, error: type[HeadwaterError]
) -> None:
    async with World() as world:
        kept = Kept(world)
        await kept.put("guide", 5)
        with pytest.raises(error):
            await kept.operate.reveal(caller, ["guide"], [HIDDEN_MAIL])


async def test_a_document_that_may_not_be_read_adds_nothing_to_one_that_may() -> None:
    async with World() as world:
        kept = Kept(world)
        await kept.put("open", 5, f"Ask {MAIL}.")
        await kept.put("closed", 5, f"Her card is {CARD}.", readers=("user:boss",))
        assert await kept.operate.reveal(MAY, ["closed", "open"], [HIDDEN_MAIL, HIDDEN_CARD]) == {HIDDEN_MAIL: MAIL}


async def test_revealing_ends_at_once_with_access_expiry_and_deletion() -> None:
    async with World() as world:
        kept = Kept(world)
        await kept.put("revoked", 5)
        await kept.put("deleted", 5)
        await kept.put("expiring", 5, expires_at=world.clock.now() + timedelta(seconds=60))
        for name in ("revoked", "deleted", "expiring"):
            assert await kept.operate.reveal(MAY, [name], [HIDDEN_MAIL])
        await world.apply.apply(world.event("revoked", 6, SetAccess(("user:boss",), 0)))
        await world.apply.apply(world.event("deleted", 6, Delete()))
        world.clock.advance(61)
        for name in ("revoked", "deleted", "expiring"):
            with pytest.raises(NotFound):
                await kept.operate.reveal(MAY, [name], [HIDDEN_MAIL])


async def test_what_reviewers_hold_back_is_not_revealed() -> None:
    async with World() as world:
        kept = Kept(world)
        await kept.put("guide", 5)
        head = await world.head("guide")
        assert head is not None
        assert may_read(MAY, head, world.clock.now())
        assert not may_read(MAY, replace(head, held=True), world.clock.now())


async def test_what_a_new_version_does_not_hold_is_not_revealed_and_goes_with_the_old_one() -> None:
    async with World() as world:
        kept = Kept(world)
        await kept.put("guide", 5)
        await kept.put("guide", 6, f"Ask {MAIL}.")
        assert await kept.operate.reveal(MAY, ["guide"], [HIDDEN_MAIL, HIDDEN_CARD]) == {HIDDEN_MAIL: MAIL}
        assert await kept.records() == 2
        await kept.sweep()
        assert await kept.records() == 1
        assert await kept.operate.reveal(MAY, ["guide"], [HIDDEN_MAIL]) == {HIDDEN_MAIL: MAIL}


async def test_the_last_trace_of_a_value_goes_with_the_last_document_that_holds_it() -> None:
    async with World() as world:
        kept = Kept(world)
        await kept.put("one", 5, f"Ask {MAIL}.")
        await kept.put("two", 5, f"Or write to {MAIL}!")
        await world.apply.apply(world.event("one", 6, Delete()))
        await kept.sweep()
        assert await kept.records() == 1
        assert await kept.operate.reveal(MAY, ["two"], [HIDDEN_MAIL]) == {HIDDEN_MAIL: MAIL}
        await world.apply.apply(world.event("two", 6, Delete()))
        await kept.sweep()
        assert await kept.records() == 0


async def test_a_deleted_tenant_leaves_nothing_in_the_vault() -> None:
    async with World() as world:
        kept = Kept(world)
        await kept.put("guide", 5)
        await kept.store.put(replace((await kept.store.sealed_otherwise("", 1))[0], key=DocumentKey("other", "guide")))
        await world.manage.delete(replace(ADMIN), TENANT)
        [left] = await kept.store.sealed_otherwise("", 10)
        assert left.key.tenant_id == "other"


async def test_the_log_says_who_looked_at_how_many_and_no_value_or_name() -> None:
    async with World() as world:
        kept = Kept(world)
        await kept.put("guide", 5)
        with capture_logs() as logs:
            await kept.operate.reveal(MAY, ["guide"], [HIDDEN_MAIL, HIDDEN_CARD])
        [entry] = [log for log in logs if log["event"] == "pseudonyms_revealed"]
        assert (entry["tenant"], entry["asked"], entry["revealed"]) == (TENANT, 2, {"email": 1, "card": 1})
        said = str(logs)
        assert not any(secret in said for secret in (MAIL, CARD, "'ann'", "guide", HIDDEN_MAIL))


@pytest.mark.parametrize(
    ("documents", "pseudonyms", "reason"),
    [
        ([], [HIDDEN_MAIL], "TOO_MANY_DOCUMENTS"),
        (["a"] * 65, [HIDDEN_MAIL], "TOO_MANY_DOCUMENTS"),
        (["a"], [], "TOO_MANY_PSEUDONYMS"),
        (["a"], [HIDDEN_MAIL] * 1001, "TOO_MANY_PSEUDONYMS"),
        (["a"], ["[EMAIL]"], "NOT_A_PSEUDONYM"),
        (["a"], [HIDDEN_MAIL.lower()], "NOT_A_PSEUDONYM"),
    ],
)
async def test_a_call_that_can_not_be_right_is_refused(
    documents: list[str], pseudonyms: list[str], reason: str
) -> None:
    async with World() as world:
        with pytest.raises(InvalidRequest) as caught:
            await Kept(world).operate.reveal(MAY, documents, pseudonyms)
        assert caught.value.reason == reason


async def test_with_a_missing_key_nothing_is_revealed_and_the_keys_say_so() -> None:
    async with World() as world:
        kept = Kept(world)
        await kept.put("guide", 5)
        other = replace(kept.operate, vault=Vault(KeyRing([bytes(32)]), kept.store))
        with pytest.raises(FailedPrecondition) as caught:
            await other.reveal(MAY, ["guide"], [HIDDEN_MAIL])
        assert caught.value.reason == "VAULT_KEY_MISSING"
        newest, missing = await other.keys(ADMIN)
        assert (newest.newest, newest.known, newest.records) == (True, True, 0)
        assert (missing.key_id, missing.known, missing.records) == (kept.vault.ring.newest, False, 1)
        without = replace(kept.operate, vault=None)
        with pytest.raises(FailedPrecondition) as caught:
            await without.reveal(MAY, ["guide"], [HIDDEN_MAIL])
        assert caught.value.reason == "NO_VAULT_KEYS"


async def test_keys_are_changed_by_administrators_only() -> None:
    async with World() as world:
        kept = Kept(world)
        for work in (kept.operate.keys(MAY), kept.operate.rotate(MAY, 0)):
            with pytest.raises(PermissionDenied):
                await work
        await kept.put("guide", 5)
        anew = replace(kept.operate, vault=Vault(KeyRing([bytes(32), KEY]), kept.store))
        assert (await anew.rotate(ADMIN, 0)).resealed == 1
        assert [use.records for use in await anew.keys(ADMIN)] == [1, 0]
        assert await anew.reveal(MAY, ["guide"], [HIDDEN_MAIL]) == {HIDDEN_MAIL: MAIL}


@pytest.mark.parametrize("mode", ["redact", "tag", "none"])
async def test_other_modes_keep_nothing_in_the_vault(mode: str) -> None:
    async with World() as world:
        kept = Kept(world, mode)
        await kept.put("guide", 5)
        assert await kept.records() == 0


def test_a_service_that_is_to_pseudonymise_does_not_start_without_its_keys() -> None:
    key = base64.b64encode(KEY).decode()
    policy = '[tenants.acme]\ndoc_types = { contract = "pseudonymise" }'
    for keys in ({}, {"vault_keys": key}, {"pseudonym_key": key}):
        with pytest.raises(ValidationError, match="needs vault_keys and pseudonym_key"):
            IngestSettings(privacy=policy, **keys)  # type: ignore[arg-type]
    assert AdminSettings(privacy=policy).privacy_policy().pseudonymises
    made = IngestSettings(privacy=policy, vault_keys=f"{key}\n", pseudonym_key=key)  # type: ignore[arg-type]
    assert made.vault_ring() is not None
    assert key not in repr(made)
    for field in ("vault_keys", "pseudonym_key"):
        with pytest.raises(ValidationError) as caught:
            IngestSettings(**{field: "geheim"})  # type: ignore[arg-type]
        assert "geheim" not in str(caught.value.errors(include_input=False))
