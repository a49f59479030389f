"""Access tokens: who may read, in a form that stores can compare and nobody can read or confuse between tenants."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Collection
from functools import lru_cache

from chassis.errors import InvalidRequest
from corpus.domain import AccessPolicy
from corpus.ids import length_prefixed

PUBLIC = "public"
"""Principal of everybody in the tenant."""

MAX_PRINCIPAL_BYTES = 512
TOKEN_HEX_DIGITS = 32
"""128 bits: no collision to be expected below 2**64 principals, and half the index size of a full digest."""

_KINDS = ("user:", "group:")


def validate_principal(principal: str) -> str:
    """Returns the principal as it is: ``user:<subject>``, ``group:<name>`` or ``public``.

    Principals are compared byte for byte. Nothing is trimmed, normalised or case-folded, because two names that an
    identity provider keeps apart must stay apart here. Control and invisible format characters are refused, since
    they make two principals look the same.

    Raises:
        InvalidRequest: INVALID_PRINCIPAL.
    """
    if principal == PUBLIC:
        return principal
    kind = next((kind for kind in _KINDS if principal.startswith(kind)), None)
    if kind is None or len(principal) == len(kind):
        raise _invalid("A principal is 'user:<subject>', 'group:<name>' or 'public'.")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in principal):
        raise _invalid("A principal must not contain control or invisible characters.")
    if len(principal.encode()) > MAX_PRINCIPAL_BYTES:
        raise _invalid(f"A principal has at most {MAX_PRINCIPAL_BYTES} bytes.")
    return principal


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, reason="INVALID_PRINCIPAL")


@lru_cache(maxsize=65_536)
def access_token(tenant_id: str, principal: str) -> str:
    """Opaque token of a principal: the first 128 bits of SHA-256 over the length-prefixed parts, in hexadecimal.

    The tenant is part of it, so the same group name in two tenants gives tokens that never match. Raises InvalidRequest
    INVALID_PRINCIPAL.
    """
    parts = length_prefixed(("headwater.access.v1", tenant_id, validate_principal(principal)))
    return hashlib.sha256(parts).hexdigest()[:TOKEN_HEX_DIGITS]


def access_tokens(tenant_id: str, principals: Collection[str]) -> frozenset[str]:
    """Tokens of all the principals. Empty principals give an empty set, which reads nothing."""
    return frozenset(access_token(tenant_id, principal) for principal in principals)


def access_fingerprint(tokens: Collection[str], clearance: int) -> str:
    """Cache-key part that is equal exactly for callers who may read the same: 128 bits over the sorted tokens and
    the clearance.
    """
    parts = length_prefixed(("headwater.fingerprint.v1", str(clearance), *sorted(set(tokens))))
    return hashlib.sha256(parts).hexdigest()[:TOKEN_HEX_DIGITS]


@lru_cache(maxsize=1_024)
def policy_fingerprint(policy: AccessPolicy) -> str:
    """What an audit compares access policies by: equal exactly for equal policies. Remembered, because all rows of a
    document share one, and a list may have thousands of readers."""
    return access_fingerprint(policy.tokens, policy.security_level)
