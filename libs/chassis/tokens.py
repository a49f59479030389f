"""Internal identity tokens: how one service proves to another who calls, and on whose behalf.

A token is a JWT (RFC 7519) signed with Ed25519 (RFC 8037, ``alg`` EdDSA), valid for about a minute. Each issuing
service has its own private key; ``jwks.json`` holds every public key with the issuer that may use it, so a key that
leaks can't speak for another service.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
from cachetools import LRUCache
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from chassis.errors import Unauthenticated
from chassis.identity import Caller, Scope

AUDIENCE: Final = "headwater-internal"
METADATA_KEY: Final = "x-headwater-identity"
ALGORITHM: Final = "EdDSA"
TTL_SECONDS: Final = 60
LEEWAY_SECONDS: Final = 5
"""What clocks of two machines may differ by."""
_CACHED_TOKEN_BYTES: Final = 16 * 1024 * 1024
"""Bound by size and not by count: a caller with thousands of groups has a token of many kilobytes."""
_ENTRY_BYTES: Final = 1024
"""Roughly what a remembered token costs beside its own text."""
_JWKS_FILE: Final = "jwks.json"
_OF_THE_EDGE: Final = frozenset({Scope.REVEAL, Scope.REVIEW})
"""Scopes that other services are not asked for, but in single calls; an older release would not know the words."""

_forwarded: ContextVar[str | None] = ContextVar("headwater_identity_token", default=None)


class KeyFileError(RuntimeError):
    """A key file is missing, unreadable, or open to others. A start-up error: the message says what to do."""


def service_caller(service: str, tenant_id: str) -> Caller:
    """The identity of a service's own work for a tenant, for instance ingest's worker that asks for embeddings."""
    return Caller(
        tenant_id=tenant_id,
        subject=f"service:{service}",
        scopes=frozenset({Scope.READ, Scope.WRITE}),
        issuer=service,
    )


def forwarded_token() -> str | None:
    """The verified internal token of the RPC being served, to be passed on as it is; None outside of one."""
    return _forwarded.get()


def private_key_file(directory: Path, issuer: str) -> Path:
    """Where ``create_keys`` puts the private key of ``issuer``."""
    return directory / f"{issuer}.private.pem"


def jwks_file(directory: Path) -> Path:
    """Where ``create_keys`` puts the public keys of all issuers."""
    return directory / _JWKS_FILE


def create_keys(dir: Path, issuers: Sequence[str]) -> None:
    """Makes a key pair for each issuer that has none and writes ``jwks.json``. Idempotent, and safe to run from two
    processes.

    Private keys are created with mode 0600 in a directory of mode 0700.
    """
    dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(dir / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for issuer in issuers:
            file = private_key_file(dir, issuer)
            if not file.exists():
                _write_atomically(file, _new_private_key(), 0o600)
        known = sorted(file.name.removesuffix(".private.pem") for file in dir.glob("*.private.pem"))
        keys = [_jwk(issuer, _load_private_key(private_key_file(dir, issuer))) for issuer in known]
        _write_atomically(dir / _JWKS_FILE, json.dumps({"keys": keys}, indent=1).encode(), 0o644)


class TokenMinter:
    """Signs tokens with one service's private key.

    Raises:
        KeyFileError: The key file is missing, or others may read it, or its group, unless it is root's file.
    """

    def __init__(self, private_key_file: Path, issuer: str) -> None:
        self._key = _load_private_key(private_key_file)
        self._issuer = issuer
        self._kid = _key_id(issuer, self._key.public_key())
        self._minted: LRUCache[tuple[Caller, int, frozenset[Scope]], tuple[str, float]] = LRUCache(4096)

    def mint(self, caller: Caller, ttl_seconds: int = TTL_SECONDS, carries: frozenset[Scope] = frozenset()) -> str:
        """A token that says this service vouches for ``caller``; the same one again while half of its life is left.
        Scopes of the edge are in it only if it ``carries`` them: whoever gets a token could pass it on."""
        now = time.time()
        cached = self._minted.get((caller, ttl_seconds, carries))
        if cached is not None and cached[1] > now:
            return cached[0]
        token = jwt.encode(
            {
                "iss": self._issuer,
                "aud": AUDIENCE,
                "sub": caller.subject,
                "iat": int(now),
                "exp": int(now) + ttl_seconds,
                "tenant": caller.tenant_id,
                "groups": sorted(caller.groups),
                "clearance": caller.clearance,
                "scopes": sorted(caller.scopes - (_OF_THE_EDGE - carries)),
            },
            self._key,
            algorithm=ALGORITHM,
            headers={"kid": self._kid},
        )
        self._minted[(caller, ttl_seconds, carries)] = (token, now + ttl_seconds / 2)
        return token


@dataclass(frozen=True, slots=True)
class _Verified:
    caller: Caller
    expires: float
    size_bytes: int


class InternalTokenVerifier:
    """Verifies internal tokens against the public keys of the accepted issuers.

    Each key id is bound to one issuer: a token whose ``iss`` is not the owner of its key is refused. Verified tokens
    are remembered until they expire.

    Raises:
        KeyFileError: The key set is missing or can't be read.
    """

    def __init__(self, jwks_file: Path, accepted_issuers: Collection[str]) -> None:
        self._keys = {
            kid: (issuer, key) for kid, issuer, key in _load_jwks(jwks_file) if issuer in frozenset(accepted_issuers)
        }
        self._verified: LRUCache[str, _Verified] = LRUCache(
            _CACHED_TOKEN_BYTES, getsizeof=lambda entry: entry.size_bytes
        )

    async def authenticate(self, metadata: Mapping[str, str | bytes]) -> Caller:
        """The caller that the request metadata proves. Raises Unauthenticated.

        The token becomes the one that ``forwarded_token`` gives in the rest of this task, so calls to further services
        carry it.
        """
        token = metadata.get(METADATA_KEY)
        if not isinstance(token, str):
            raise Unauthenticated("The call carries no internal identity.", reason="MISSING_IDENTITY")
        caller = self.verify(token)
        _forwarded.set(token)
        return caller

    def verify(self, token: str) -> Caller:
        """The caller ``token`` speaks for. Raises Unauthenticated, always with the same text: a forger learns nothing
        from it."""
        cached = self._verified.get(token)
        if cached is not None:
            if cached.expires > time.time():
                return cached.caller
            self._verified.pop(token, None)
        try:
            issuer, key = self._keys[_kid_of(token)]
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
            caller = _caller(claims, issuer)
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, RecursionError):
            raise Unauthenticated(
                "The internal identity is not valid: it may have expired, retry.", reason="INVALID_IDENTITY"
            ) from None
        entry = _Verified(caller, float(claims["exp"]) + LEEWAY_SECONDS, len(token) + _ENTRY_BYTES)
        if entry.size_bytes <= self._verified.maxsize:
            self._verified[token] = entry
        return caller


def _kid_of(token: str) -> str:
    header = jwt.get_unverified_header(token)
    if header.get("alg") != ALGORITHM:
        raise jwt.InvalidAlgorithmError("not an EdDSA token")
    return str(header["kid"])


def _caller(claims: Mapping[str, Any], issuer: str) -> Caller:
    tenant_id, subject, clearance = claims["tenant"], claims["sub"], claims["clearance"]
    if not (isinstance(tenant_id, str) and tenant_id and isinstance(subject, str) and subject):
        raise ValueError("tenant and subject must be named")
    if not isinstance(clearance, int) or isinstance(clearance, bool) or clearance < 0:
        raise ValueError("clearance must be a number")
    groups = claims["groups"]
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise ValueError("groups must be a list of names")
    return Caller(
        tenant_id=tenant_id,
        subject=subject,
        groups=frozenset(groups),
        clearance=clearance,
        scopes=frozenset(Scope(scope) for scope in claims["scopes"]),
        issuer=issuer,
    )


def _new_private_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_private_key(file: Path) -> Ed25519PrivateKey:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KeyFileError(f"The private key {file} can't be read ({error.strerror}): create it first.") from None
    with os.fdopen(descriptor, "rb") as opened:
        # The open file is asked, not the path, or it could be exchanged in between.
        status = os.fstat(opened.fileno())
        # PostgreSQL's rule: root may lend a file to our group, which is how Kubernetes mounts secrets.
        lent = status.st_uid == 0 and os.geteuid() != 0
        if stat.S_IMODE(status.st_mode) & (0o037 if lent else 0o077):
            raise KeyFileError(f"The private key {file} is open to others: run chmod 600 on it, or make a new one.")
        pem = opened.read()
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except ValueError:
        raise KeyFileError(f"The private key {file} is damaged: delete it and create a new one.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"The private key {file} is not an Ed25519 key.")
    return key


def _key_id(issuer: str, key: Ed25519PublicKey) -> str:
    return f"{issuer}-{hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]}"


def _jwk(issuer: str, private: Ed25519PrivateKey) -> dict[str, str]:
    public = private.public_key()
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": ALGORITHM,
        "use": "sig",
        "kid": _key_id(issuer, public),
        "iss": issuer,
        "x": jwt.utils.base64url_encode(public.public_bytes_raw()).decode(),
    }


def _load_jwks(file: Path) -> Iterator[tuple[str, str, Ed25519PublicKey]]:
    try:
        for key in json.loads(file.read_bytes())["keys"]:
            if key["kty"] != "OKP" or key["crv"] != "Ed25519":
                raise ValueError("not an Ed25519 key")
            public = Ed25519PublicKey.from_public_bytes(jwt.utils.base64url_decode(key["x"]))
            yield str(key["kid"]), str(key["iss"]), public
    except OSError as error:
        raise KeyFileError(f"The key set {file} can't be read ({error.strerror}): create the keys first.") from None
    except (ValueError, KeyError, TypeError):
        raise KeyFileError(f"The key set {file} is damaged: create the keys again.") from None


def _write_atomically(file: Path, content: bytes, mode: int) -> None:
    partial = file.with_name(file.name + ".new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(partial, file)
