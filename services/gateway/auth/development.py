"""The named development identity: a caller that says who he is, believed on loopback in development only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from chassis.errors import Unauthenticated
from chassis.identity import Caller, Scope
from gateway.auth.claims import checked_caller, scopes_of

PREFIX: Final = "x-headwater-dev-"
TENANT: Final = PREFIX + "tenant"
SUBJECT: Final = PREFIX + "subject"
GROUPS: Final = PREFIX + "groups"
CLEARANCE: Final = PREFIX + "clearance"
SCOPES: Final = PREFIX + "scopes"

DEFAULT_TENANT: Final = "default"
DEFAULT_SUBJECT: Final = "developer"


def development_caller(metadata: Mapping[str, Sequence[str]]) -> Caller:
    """The caller that the metadata names; where it says nothing: tenant "default", subject "developer", no groups,
    clearance 0, every
    scope.

    Args:
        metadata: Values by lower-case key. Groups are JSON lists of names, scopes words separated by blanks.

    Raises:
        Unauthenticated: A value can't be right.
    """
    scopes = metadata.get(SCOPES)
    return checked_caller(
        tenant_id=_last(metadata, TENANT, DEFAULT_TENANT),
        subject=_last(metadata, SUBJECT, DEFAULT_SUBJECT),
        groups=[name for value in metadata.get(GROUPS, ()) for name in _json_list(value)],
        clearance=_clearance(_last(metadata, CLEARANCE, "0")),
        scopes=frozenset(Scope) if not scopes else scopes_of(" ".join(scopes)),
    )


def _last(metadata: Mapping[str, Sequence[str]], key: str, default: str) -> str:
    values = metadata.get(key)
    return values[-1] if values else default


def _json_list(value: str) -> list[object]:
    try:
        names = json.loads(value)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list):
        raise Unauthenticated(f'{GROUPS} must be a JSON list of names, such as ["support"].', reason="INVALID_CLAIMS")
    return names


def _clearance(value: str) -> int:
    if not value.isascii() or not value.isdecimal():
        raise Unauthenticated(f"{CLEARANCE} must be a number of at least 0.", reason="INVALID_CLAIMS")
    return int(value)
