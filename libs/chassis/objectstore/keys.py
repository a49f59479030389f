"""Which object keys are allowed."""

from __future__ import annotations

import re

from chassis.errors import InvalidRequest

STAGING = ".staging"
"""First part of the names of unfinished objects in a directory; no key may begin with it."""

_MAX_KEY_BYTES = 900
# Printable ASCII. The local store keeps "name#1" for unfinished writes, so that no key may look like that. A key's way
# there leads through a file URL, which has a use of its own for "c:" and "c|".
_SEGMENT = re.compile(r"(?!.*(#\d+|[:|])$)[\x20-\x2e\x30-\x5b\x5d-\x7e]{1,200}")


def check_key(key: str) -> str:
    """Returns the key. Raises InvalidRequest BAD_OBJECT_KEY for one that could leave the store's root or that some
    engine can't hold."""
    segments = key.split("/")
    if (
        len(key) > _MAX_KEY_BYTES
        or segments[0] == STAGING
        or ".." in key
        or not all(_SEGMENT.fullmatch(s) and s != "." for s in segments)
    ):
        raise InvalidRequest(
            "An object key needs non-empty parts of printable ASCII without '..'.", reason="BAD_OBJECT_KEY"
        )
    return key
