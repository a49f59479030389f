"""Bearer tokens: JSON Web Tokens (RFC 7519, checked as RFC 8725 advises) of one issuer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cachetools import LRUCache

from chassis.errors import Unauthenticated
from chassis.identity import Caller
from gateway.auth.claims import ClaimNames, caller_of
from gateway.auth.jwks import KeySet

ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Asymmetric ones only: with a shared secret, whoever can check a token can make one."""
_MAX_TOKEN_CHARACTERS: Final = 256 * 1024
_CACHE_BYTES: Final = 16 * 1024 * 1024
_ENTRY_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must say. ``leeway_seconds`` is what clocks may differ by."""

    issuer: str
    audience: str
    claims: ClaimNames
    leeway_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class _Verified:
    caller: Caller
    expires: float
    size_bytes: int


class BearerTokens:
    """Verifies tokens and remembers them until they expire."""

    def __init__(self, keys: KeySet, rules: TokenRules) -> None:
        self._keys = keys
        self._rules = rules
        self._verified: LRUCache[str, _Verified] = LRUCache(_CACHE_BYTES, getsizeof=lambda entry: entry.size_bytes)

    async def verify(self, token: str) -> Caller:
        """The caller a token speaks for.

        Raises:
            Unauthenticated: It is malformed, forged, expired, not for us, or its claims can't be right.
            DependencyUnavailable: The issuer's keys can't be read.
        """
        known = self._verified.get(token)
        if known is not None:
            if known.expires > time.time():
                return known.caller
            self._verified.pop(token, None)
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise _invalid()
        claims = await self._checked_claims(token)
        caller = caller_of(claims, self._rules.claims)
        entry = _Verified(caller, float(claims["exp"]) + self._rules.leeway_seconds, len(token) + _ENTRY_BYTES)
        if entry.size_bytes <= self._verified.maxsize:
            self._verified[token] = entry
        return caller

    async def _checked_claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, RecursionError):
            raise _invalid() from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS or not (key_id is None or isinstance(key_id, str)):
            raise Unauthenticated(
                "The token's signature algorithm is not accepted: use an asymmetric one.", reason="ALGORITHM_REFUSED"
            )
        key = await self._keys.find(key_id)
        if key is None or algorithm not in key.algorithms:
            raise _invalid()
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._rules.audience,
                issuer=self._rules.issuer,
                leeway=self._rules.leeway_seconds,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired: get a new one.", reason="TOKEN_EXPIRED") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
            raise _invalid() from None
        return claims


def _invalid() -> Unauthenticated:
    # One text for every cause: a forger learns nothing from it.
    return Unauthenticated("The bearer token is not valid for this service.", reason="INVALID_TOKEN")
