"""Public keys of a token issuer: a JSON Web Key Set (RFC 7517) from a file or URL, kept current without asking per
request."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from chassis.addresses import is_loopback
from chassis.errors import DependencyUnavailable
from chassis.telemetry import logger

MIN_REFRESH_SECONDS: Final = 30.0
"""Least time between two fetches that unknown key ids cause: anybody can make up a key id."""
_FETCH_SECONDS: Final = 5.0
_MAX_BYTES: Final = 1024 * 1024
_MIN_RSA_BITS: Final = 2048  # NIST SP 800-131A
_EC_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})

_log = logger("jwks")

Load = Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the signature algorithms it may be used with; all of them are asymmetric."""

    key: Any
    algorithms: frozenset[str]


class KeySet:
    """The issuer's keys by id.

    Args:
        load: Fetches the JWKS document.
        min_refresh_seconds: Least time between two fetches.
    """

    def __init__(self, load: Load, *, min_refresh_seconds: float = MIN_REFRESH_SECONDS) -> None:
        self._load = load
        self._min_refresh_seconds = min_refresh_seconds
        self._keys: Mapping[str, VerificationKey] = {}
        self._tried_at: float | None = None
        self._loaded = False
        self._loading = asyncio.Lock()

    async def find(self, key_id: str | None) -> VerificationKey | None:
        """The key, after one more look at the source when it is not known; without an id, the only key there is.

        Raises DependencyUnavailable when the keys could never be read.
        """
        key = self._known(key_id)
        if key is None and self._may_try():
            await self.refresh()
            key = self._known(key_id)
        if key is None and not self._loaded:
            raise DependencyUnavailable(
                "The keys that identities are checked with can't be read now.",
                reason="KEYS_UNAVAILABLE",
                retry_after_seconds=self._min_refresh_seconds,
            )
        return key

    async def refresh(self) -> bool:
        """Reads the keys again; those known stay when that fails. Returns whether it worked."""
        async with self._loading:
            self._tried_at = time.monotonic()
            try:
                keys = parse_jwks(await self._load())
            except (OSError, ValueError) as error:
                _log.warning("the key set can't be read", error_type=type(error).__name__, keys_known=len(self._keys))
                return False
            self._keys, self._loaded = keys, True
            return True

    async def keep_current(self, every_seconds: float) -> None:
        """Refreshes for ever. Run it as a background task."""
        while True:
            await asyncio.sleep(every_seconds if self._loaded else self._min_refresh_seconds)
            await self.refresh()

    def _known(self, key_id: str | None) -> VerificationKey | None:
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _may_try(self) -> bool:
        return self._tried_at is None or time.monotonic() - self._tried_at >= self._min_refresh_seconds


def key_source(location: str) -> Load:
    """Reads a JWKS from a file path, an https URL, or an http URL on loopback. Raises ValueError for another URL."""
    parts = urlsplit(location)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return lambda: _fetch(location)
    if "://" in location:
        raise ValueError("A key set comes from a file, from https, or from http on loopback.")
    return lambda: asyncio.to_thread(_read, Path(location))


def parse_jwks(document: bytes) -> Mapping[str, VerificationKey]:
    """Usable keys by id. Symmetric keys, keys for encryption and RSA keys under 2,048 bits are left out. Raises
    ValueError."""
    content = json.loads(document)
    if not isinstance(content, dict) or not isinstance(content.get("keys"), list):
        raise ValueError("not a JWKS document")
    found: dict[str, VerificationKey] = {}
    for index, entry in enumerate(content["keys"]):
        if isinstance(entry, dict) and (key := _usable(entry)) is not None:
            found[str(entry.get("kid", f"#{index}"))] = key
    return found


def _usable(entry: Mapping[str, Any]) -> VerificationKey | None:
    if entry.get("kty") not in ("RSA", "EC", "OKP") or entry.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK.from_dict(dict(entry)).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    # A set may hold private keys by mistake; only the public half is ever used.
    public = key.public_key() if hasattr(key, "public_key") else key
    algorithms = _algorithms_for(public)
    declared = entry.get("alg")
    if declared is not None:
        algorithms &= {declared}
    return VerificationKey(public, algorithms) if algorithms else None


def _algorithms_for(key: Any) -> frozenset[str]:
    if isinstance(key, RSAPublicKey):
        return _RSA_ALGORITHMS if key.key_size >= _MIN_RSA_BITS else frozenset()
    if isinstance(key, EllipticCurvePublicKey):
        name = _EC_ALGORITHMS.get(key.curve.name)
        return frozenset({name}) if name else frozenset()
    return frozenset({"EdDSA"})


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(_MAX_BYTES)


async def _fetch(url: str) -> bytes:
    """Raises OSError, ValueError."""
    import httpx  # a quarter of a second of the start, and most gateways read a file

    try:
        async with (
            httpx.AsyncClient(timeout=_FETCH_SECONDS, follow_redirects=False) as client,
            client.stream("GET", url, headers={"accept": "application/json"}) as response,
        ):
            response.raise_for_status()
            content = b""
            async for part in response.aiter_bytes():
                content += part
                if len(content) > _MAX_BYTES:
                    raise ValueError("the key set is too large")
            return content
    except httpx.HTTPError as error:
        raise OSError("the key set can't be fetched") from error
