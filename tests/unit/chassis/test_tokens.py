from __future__ import annotations

import base64
import json
import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from chassis.errors import Unauthenticated
from chassis.identity import Caller, Scope
from chassis.tokens import (
    AUDIENCE,
    METADATA_KEY,
    InternalTokenVerifier,
    KeyFileError,
    TokenMinter,
    create_keys,
    forwarded_token,
    jwks_file,
    private_key_file,
    service_caller,
)

ALICE = Caller(
    tenant_id="acme",
    subject="alice",
    groups=frozenset({"eng", "ops"}),
    clearance=2,
    scopes=frozenset({Scope.READ, Scope.WRITE}),
)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    create_keys(tmp_path / "keys", ["gateway", "ingest"])
    return tmp_path / "keys"


def _minter(keys: Path, issuer: str = "gateway") -> TokenMinter:
    return TokenMinter(private_key_file(keys, issuer), issuer)


def _verifier(keys: Path, *issuers: str) -> InternalTokenVerifier:
    return InternalTokenVerifier(jwks_file(keys), issuers or ("gateway",))


def test_scopes_that_only_the_edge_asks_for_are_not_told_to_other_services(keys: Path) -> None:
    caller = replace(ALICE, scopes=frozenset(Scope))

    told = _verifier(keys).verify(_minter(keys).mint(caller))

    assert told.scopes == {Scope.READ, Scope.WRITE, Scope.ADMIN}


def _forged(keys: Path, changes: dict[str, object], *, key_of: str = "gateway") -> str:
    """A token signed with a real key whose claims are not what the service would have said."""
    header = jwt.get_unverified_header(_minter(keys, key_of).mint(ALICE))
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": "gateway",
        "aud": AUDIENCE,
        "sub": "alice",
        "iat": now,
        "exp": now + 60,
        "tenant": "acme",
        "groups": [],
        "clearance": 0,
        "scopes": ["read"],
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    key = load_pem_private_key(private_key_file(keys, key_of).read_bytes(), None)
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": header["kid"]})  # type: ignore[arg-type]


def test_a_caller_survives_minting_and_verification(keys: Path) -> None:
    verified = _verifier(keys).verify(_minter(keys).mint(ALICE))
    assert verified == Caller("acme", "alice", ALICE.groups, 2, ALICE.scopes, issuer="gateway")


def test_the_same_token_serves_a_caller_again_and_other_callers_get_others(keys: Path) -> None:
    minter = _minter(keys)
    assert minter.mint(ALICE) == minter.mint(ALICE)
    assert minter.mint(ALICE) != minter.mint(service_caller("gateway", "acme"))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 60},
        {"iat": int(time.time()) + 24 * 3600},
        {"aud": "somebody-else"},
        {"iss": "ingest"},
        {"tenant": ""},
        {"tenant": None},
        {"sub": ""},
        {"exp": None},
        {"clearance": -1},
        {"clearance": "9"},
        {"clearance": True},
        {"groups": "admins"},
        {"groups": [1]},
        {"scopes": ["root"]},
    ],
    ids=lambda changes: "-".join(f"{name}={value}" for name, value in changes.items() if name not in ("exp", "iat")),
)
def test_a_signed_token_with_wrong_claims_is_refused(keys: Path, changes: dict[str, object]) -> None:
    with pytest.raises(Unauthenticated) as refused:
        _verifier(keys).verify(_forged(keys, changes))
    assert refused.value.reason == "INVALID_IDENTITY"


def test_a_key_may_speak_only_for_its_own_issuer(keys: Path) -> None:
    with pytest.raises(Unauthenticated):
        _verifier(keys, "gateway", "ingest").verify(_forged(keys, {"iss": "gateway"}, key_of="ingest"))


def test_an_issuer_that_is_not_accepted_here_is_refused(keys: Path) -> None:
    with pytest.raises(Unauthenticated):
        _verifier(keys, "gateway").verify(_minter(keys, "ingest").mint(ALICE))


def test_a_key_nobody_published_is_refused(keys: Path, tmp_path: Path) -> None:
    create_keys(tmp_path / "others", ["gateway"])
    with pytest.raises(Unauthenticated):
        _verifier(keys).verify(_minter(tmp_path / "others").mint(ALICE))


def test_a_foreign_signature_under_a_known_key_id_is_refused(keys: Path) -> None:
    head, body, _ = _minter(keys).mint(ALICE).split(".")
    signature = _minter(keys, "ingest").mint(ALICE).split(".")[2]
    with pytest.raises(Unauthenticated):
        _verifier(keys).verify(f"{head}.{body}.{signature}")


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_other_algorithms_are_refused_though_the_key_id_is_known(keys: Path, algorithm: str) -> None:
    minted = _minter(keys).mint(ALICE)
    kid = jwt.get_unverified_header(minted)["kid"]
    claims = jwt.decode(minted, options={"verify_signature": False})
    secret = "" if algorithm == "none" else "a secret of at least thirty-two bytes"
    with pytest.raises(Unauthenticated):
        _verifier(keys).verify(jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": kid}))


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "Bearer x", "é" * 10, base64.b64encode(b"{}").decode() + "..", "." * 9]
)
def test_rubbish_is_refused(keys: Path, token: str) -> None:
    with pytest.raises(Unauthenticated):
        _verifier(keys).verify(token)


def test_a_remembered_token_is_refused_once_it_has_expired(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = _verifier(keys)
    token = _minter(keys).mint(ALICE)
    verifier.verify(token)
    later = time.time() + 66
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr("jwt.api_jwt.datetime", _frozen_datetime(later))
    with pytest.raises(Unauthenticated):
        verifier.verify(token)


def _frozen_datetime(timestamp: float) -> type:
    import datetime

    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Frozen:
            return cls.fromtimestamp(timestamp, tz)

    return Frozen


async def test_a_bare_header_proves_nothing(keys: Path) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await _verifier(keys).authenticate({"x-headwater-tenant": "acme", "x-headwater-subject": "alice"})
    assert refused.value.reason == "MISSING_IDENTITY"
    assert forwarded_token() is None


async def test_only_a_verified_token_is_passed_on(keys: Path) -> None:
    token = _minter(keys).mint(ALICE)
    with pytest.raises(Unauthenticated):
        await _verifier(keys).authenticate({METADATA_KEY: token + "x"})
    assert forwarded_token() is None
    await _verifier(keys).authenticate({METADATA_KEY: token})
    assert forwarded_token() == token


def test_private_keys_are_closed_to_others_and_creating_them_again_changes_nothing(keys: Path) -> None:
    file = private_key_file(keys, "gateway")
    before = file.read_bytes(), jwks_file(keys).read_bytes()
    create_keys(keys, ["gateway", "ingest"])
    assert (file.read_bytes(), jwks_file(keys).read_bytes()) == before
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert not any("d" in key for key in json.loads(jwks_file(keys).read_text())["keys"])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_private_key_open_to_others_is_refused(keys: Path, mode: int) -> None:
    private_key_file(keys, "gateway").chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        _minter(keys)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of root")
def test_root_may_lend_a_private_key_to_the_group_of_its_reader_but_not_to_everybody(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 10001)
    file = private_key_file(keys, "gateway")
    file.chmod(0o440)
    assert TokenMinter(file, "gateway").mint(service_caller("gateway", "acme"))
    for mode in (0o444, 0o460):
        file.chmod(mode)
        with pytest.raises(KeyFileError, match="chmod 600"):
            TokenMinter(file, "gateway")


def test_missing_and_damaged_keys_are_start_up_errors(keys: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError):
        TokenMinter(tmp_path / "nothing.pem", "gateway")
    with pytest.raises(KeyFileError):
        InternalTokenVerifier(tmp_path / "nothing.json", {"gateway"})
    private_key_file(keys, "gateway").write_text("not a key")
    with pytest.raises(KeyFileError, match="damaged"):
        _minter(keys)
    jwks_file(keys).write_text("{}")
    with pytest.raises(KeyFileError, match="damaged"):
        _verifier(keys)
