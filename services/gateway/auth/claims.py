"""Claims of a verified token to a caller."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from chassis.errors import Unauthenticated
from chassis.identity import Caller, Scope

MAX_NAME_CHARACTERS: Final = 512
_MAX_CLEARANCE: Final = 2**31 - 1
_MAX_GROUPS: Final = 100_000
_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_SERVICE_PREFIX: Final = "service:"
"""Subjects of the platform's own services; nobody outside may call himself one."""


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Which claims say what. A name is looked up as it is, then with its dots as steps into nested objects."""

    tenant: str = "tenant"
    subject: str = "sub"
    groups: str = "groups"
    clearance: str = "clearance"
    scopes: str = "scope"


def caller_of(claims: Mapping[str, Any], names: ClaimNames) -> Caller:
    """The caller that verified claims describe.

    No clearance claim means 0, no groups claim means none, no scopes claim means reading only.

    Raises:
        Unauthenticated: A claim is missing or can't be right; which one is told, its value is not.
    """
    scopes = _lookup(claims, names.scopes)
    return checked_caller(
        tenant_id=_lookup(claims, names.tenant),
        subject=_lookup(claims, names.subject),
        groups=_lookup(claims, names.groups) or [],
        clearance=_lookup(claims, names.clearance) or 0,
        scopes=frozenset({Scope.READ}) if scopes is None else scopes_of(scopes),
    )


def checked_caller(
    *, tenant_id: object, subject: object, groups: object, clearance: object, scopes: frozenset[Scope]
) -> Caller:
    """A caller from parts that came from outside. Raises Unauthenticated."""
    if not isinstance(tenant_id, str) or not _TENANT.fullmatch(tenant_id):
        raise _bad("tenant")
    if not _is_name(subject) or str(subject).startswith(_SERVICE_PREFIX):
        raise _bad("subject")
    if not isinstance(groups, list) or len(groups) > _MAX_GROUPS or not all(_is_name(group) for group in groups):
        raise _bad("groups")
    if not isinstance(clearance, int) or isinstance(clearance, bool) or not 0 <= clearance <= _MAX_CLEARANCE:
        raise _bad("clearance")
    return Caller(tenant_id, str(subject), frozenset(groups), clearance, scopes)


def scopes_of(value: object) -> frozenset[Scope]:
    """Our scopes among those of a list or of words separated by blanks. Raises Unauthenticated for anything else."""
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _bad("scopes")
    return frozenset(scope for scope in Scope if scope.value in words)


def _lookup(claims: Mapping[str, Any], name: str) -> object:
    if name in claims:
        return claims[name]
    found: object = claims
    for step in name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARACTERS and value.isprintable()


def _bad(what: str) -> Unauthenticated:
    return Unauthenticated(
        f"The identity's {what} is missing or can't be right.", reason="INVALID_CLAIMS", metadata={"claim": what}
    )
