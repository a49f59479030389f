"""Who may call: tokens that are accepted and refused, and the development identity."""

from __future__ import annotations

import base64
import json
import time
from itertools import count
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pydantic import ValidationError

from chassis.errors import DependencyUnavailable, Unauthenticated
from chassis.identity import Caller, Scope
from gateway.auth.authenticator import EdgeAuthenticator
from gateway.auth.bearer import BearerTokens, TokenRules
from gateway.auth.claims import ClaimNames
from gateway.auth.jwks import KeySet, key_source, parse_jwks
from gateway.settings import GatewaySettings

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
STRANGER = ed25519.Ed25519PrivateKey.generate()

ISSUER, AUDIENCE = "https://issuer.example", "headwater"


def jwk(key: Any, kid: str, **more: str) -> dict[str, Any]:
    algorithm = {"Ed25519PrivateKey": "EdDSA", "RSAPrivateKey": "RS256"}.get(type(key).__name__, "ES256")
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**made, "kid": kid, "use": "sig", **more}


class Keys:
    """A JWKS document that can be changed, and counts how often it is fetched."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.fetched = 0
        self.fails = False

    async def __call__(self) -> bytes:
        self.fetched += 1
        if self.fails:
            raise OSError("unreachable")
        return json.dumps({"keys": self.keys}).encode()


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": now + 300,
        "sub": "alice",
        "tenant": "acme",
        "groups": ["support", "Ops"],
        "clearance": 2,
        "scope": "openid read write",
        **more,
    }


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in claims().items() if key != name}


def token(payload: dict[str, Any], key: Any = ED, algorithm: str = "EdDSA", kid: str | None = "ed") -> str:
    return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


def verifier(*keys: dict[str, Any], names: ClaimNames | None = None, min_refresh: float = 0.0) -> BearerTokens:
    source = Keys(*(keys or (jwk(ED, "ed"), jwk(RSA, "rsa"), jwk(EC, "ec"))))
    rules = TokenRules(ISSUER, AUDIENCE, names or ClaimNames(), leeway_seconds=0.0)
    return BearerTokens(KeySet(source, min_refresh_seconds=min_refresh), rules)


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(ED, "EdDSA", "ed"), (RSA, "RS256", "rsa"), (RSA, "RS512", "rsa"), (RSA, "PS256", "rsa"), (EC, "ES256", "ec")],
)
async def test_a_token_of_the_issuer_names_the_caller(key: Any, algorithm: str, kid: str) -> None:
    caller = await verifier().verify(token(claims(), key, algorithm, kid))

    assert caller == Caller("acme", "alice", frozenset({"support", "Ops"}), 2, frozenset({Scope.READ, Scope.WRITE}))


def unsigned() -> str:
    parts = ({"alg": "none", "kid": "ed"}, claims())
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, ""])


def signed_with_the_public_key_as_secret() -> str:
    secret = base64.urlsafe_b64encode(ED.public_key().public_bytes_raw()).decode()
    return jwt.encode(claims(), secret, algorithm="HS256", headers={"kid": "ed"})


@pytest.mark.parametrize(
    "bad",
    [
        unsigned(),
        signed_with_the_public_key_as_secret(),
        token(claims(), STRANGER),
        token(claims(), RSA, "RS256", "ed"),
        token(claims(), EC, "ES256", "rsa"),
        token(claims(), kid="unknown"),
        token(claims(), kid=None),
        token(claims(exp=int(time.time()) - 5)),
        token(claims(nbf=int(time.time()) + 500)),
        token(claims(iss="https://other.example")),
        token(claims(aud="somebody-else")),
        token(without("exp")),
        token(without("aud")),
        token(without("iss")),
        token(without("tenant")),
        token(without("sub")),
        token(claims(tenant="../other")),
        token(claims(sub="service:ingest")),
        token(claims(sub="a\nb")),
        token(claims(groups="support")),
        token(claims(groups=["a", 1])),
        token(claims(clearance=-1)),
        token(claims(clearance=True)),
        token(claims(scope=7)),
        "not.a.token",
        "",
    ],
    ids=map(str, count()),  # keys and times differ in every process that collects this
)
async def test_anything_else_is_refused(bad: str) -> None:
    with pytest.raises(Unauthenticated):
        await verifier().verify(bad)


async def test_claims_can_have_other_names_and_be_nested() -> None:
    names = ClaimNames("https://x.example/tenant", "user.name", "realm.groups", "level", "permissions")
    payload = {
        **{key: value for key, value in claims().items() if key in ("iss", "aud", "exp")},
        "https://x.example/tenant": "acme",
        "user": {"name": "carol"},
        "realm": {"groups": ["a"]},
        "level": 1,
        "permissions": ["read", "other"],
    }

    caller = await verifier(names=names).verify(token(payload))

    assert caller == Caller("acme", "carol", frozenset({"a"}), 1, frozenset({Scope.READ}))


async def test_without_claims_for_them_there_are_no_groups_no_clearance_and_only_reading() -> None:
    payload = {key: value for key, value in claims().items() if key not in ("groups", "clearance", "scope")}

    assert await verifier().verify(token(payload)) == Caller("acme", "alice")


async def test_the_keys_are_not_fetched_per_request() -> None:
    source = Keys(jwk(ED, "ed"))
    tokens = BearerTokens(KeySet(source), TokenRules(ISSUER, AUDIENCE, ClaimNames()))
    for number in range(20):
        await tokens.verify(token(claims(sub=f"user-{number}")))
        with pytest.raises(Unauthenticated):
            await tokens.verify(token(claims(), kid=f"made-up-{number}"))

    assert source.fetched == 1


async def test_a_new_key_is_found_at_its_first_use() -> None:
    source = Keys(jwk(ED, "ed"))
    tokens = BearerTokens(KeySet(source, min_refresh_seconds=0.0), TokenRules(ISSUER, AUDIENCE, ClaimNames()))
    await tokens.verify(token(claims()))
    source.keys.append(jwk(RSA, "rsa"))

    assert (await tokens.verify(token(claims(), RSA, "RS256", "rsa"))).subject == "alice"


async def test_known_keys_stay_when_the_issuer_is_down_and_none_at_all_is_an_outage() -> None:
    source = Keys(jwk(ED, "ed"))
    keys = KeySet(source, min_refresh_seconds=0.0)
    await keys.refresh()
    source.fails = True
    assert not await keys.refresh()
    assert await keys.find("ed") is not None

    with pytest.raises(DependencyUnavailable):
        await KeySet(source).find("ed")


def test_symmetric_keys_encryption_keys_and_weak_keys_are_left_out() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    document = {
        "keys": [
            {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"},
            {**jwk(RSA, "enc"), "use": "enc"},
            jwk(weak, "weak"),
            jwk(RSA, "rsa", alg="RS256"),
        ]
    }

    keys = parse_jwks(json.dumps(document).encode())

    assert {kid: set(key.algorithms) for kid, key in keys.items()} == {"rsa": {"RS256"}}


@pytest.mark.parametrize("url", ["http://issuer.example/jwks", "ftp://127.0.0.1/jwks"])
def test_keys_are_not_fetched_over_an_open_network(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        key_source(url)


async def test_keys_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [jwk(ED, "ed")]}))

    assert await KeySet(key_source(str(file))).find("ed") is not None


def dev(**values: str) -> dict[str, list[str]]:
    return {f"x-headwater-dev-{name}": [value] for name, value in values.items()}


async def test_in_development_a_local_caller_may_say_who_he_is() -> None:
    authenticator = EdgeAuthenticator(None, development=True)
    named = dev(tenant="acme", subject="carol", groups='["a", "ü"]', clearance="3", scopes="read")

    assert await authenticator.identify(named, peer_host="127.0.0.1") == Caller(
        "acme", "carol", frozenset({"a", "ü"}), 3, frozenset({Scope.READ})
    )
    assert await authenticator.identify({}, peer_host="::1") == Caller("default", "developer", scopes=frozenset(Scope))


@pytest.mark.parametrize(("development", "peer"), [(False, "127.0.0.1"), (True, "10.0.0.7"), (True, ""), (False, "")])
async def test_the_development_identity_is_refused_elsewhere(development: bool, peer: str) -> None:
    authenticator = EdgeAuthenticator(None, development=development)

    with pytest.raises(Unauthenticated):
        await authenticator.identify(dev(subject="admin"), peer_host=peer)


@pytest.mark.parametrize(
    "headers",
    [
        dev(groups="support"),
        dev(groups='{"a": 1}'),
        dev(clearance="-1"),
        dev(clearance="many"),
        dev(subject="service:ingest"),
        dev(tenant="A B"),
    ],
)
async def test_a_development_identity_that_cannot_be_right_is_refused(headers: dict[str, list[str]]) -> None:
    with pytest.raises(Unauthenticated):
        await EdgeAuthenticator(None, development=True).identify(headers, peer_host="127.0.0.1")


async def test_a_bad_token_is_refused_even_in_development() -> None:
    authenticator = EdgeAuthenticator(verifier(), development=True)

    with pytest.raises(Unauthenticated):
        await authenticator.identify({"authorization": ["Bearer nonsense"]}, peer_host="127.0.0.1")


async def test_headers_that_name_a_caller_do_not_count_beside_a_token() -> None:
    authenticator = EdgeAuthenticator(verifier(), development=False)
    headers = {"authorization": [f"Bearer {token(claims())}"], **dev(subject="mallory", tenant="other")}

    caller = await authenticator.identify(headers, peer_host="127.0.0.1")

    assert (caller.tenant_id, caller.subject) == ("acme", "alice")


async def test_two_identities_are_none() -> None:
    good = f"Bearer {token(claims())}"

    with pytest.raises(Unauthenticated):
        await EdgeAuthenticator(verifier(), development=False).identify({"authorization": [good, good]}, peer_host="")


@pytest.mark.parametrize("credentials", ["Basic YTpi", "Bearer", "Bearer "])
async def test_only_bearer_credentials_are_taken(credentials: str) -> None:
    with pytest.raises(Unauthenticated):
        await EdgeAuthenticator(verifier(), development=False).identify({"authorization": [credentials]}, peer_host="")


@pytest.mark.parametrize(
    "settings",
    [
        {"development": True, "listen": "0.0.0.0:0"},
        {"development": True, "http_listen": "0.0.0.0:0"},
        {"jwt_issuer": ISSUER},
        {"jwt_jwks": "http://issuer.example/jwks"},
        {"generator": "openai"},
        {"rate_ask": "many"},
    ],
)
def test_settings_that_would_be_unsafe_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings(**settings)
