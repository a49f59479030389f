"""Pseudonyms: placeholders that are the same wherever a tenant's documents hold the same value.

``[EMAIL_kdfgtrsnbbcqlmpj]``: the kind, then 64 bits of HMAC-SHA-256 over tenant, kind and value, four bits a letter.
There are no digits in it, so that no rule takes it for a number, and no vowels, so that it makes no word; analysers
keep it as one identifier. Without the key nobody can try which value gives a placeholder, and no two tenants share one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final

from corpus.privacy.alike import folded
from corpus.privacy.entities import EntityKind

KEY_BYTES: Final = 32
PSEUDONYM: Final = re.compile(
    r"\[(?:" + "|".join(kind.value.upper() for kind in EntityKind) + r")_[bcdfghjklmnpqrst]{16}\]"
)
"""One in a text, also what somebody wrote that looks like one: the vault knows which of them stand for something."""
MAX_PSEUDONYM_CHARACTERS: Final = 1 + max(len(kind.value) for kind in EntityKind) + 1 + 16 + 1

_LETTERS: Final = "bcdfghjklmnpqrst"
_DIGEST_BYTES: Final = 8
_SEPARATORS: Final = re.compile(r"[\s().\-/]+")
_NUMBERS: Final = frozenset({EntityKind.PHONE, EntityKind.CARD, EntityKind.IBAN, EntityKind.SSN})

Naming = Callable[[EntityKind, str], str]
"""What takes the place of a value of a kind."""


class Pseudonyms:
    """Names of one installation's values.

    Args:
        key: 32 random bytes. Another key gives other placeholders: it is not changed like those that seal the vault.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key of placeholders must have {KEY_BYTES} bytes")
        self._key = key

    def of(self, tenant_id: str, kind: EntityKind, value: str) -> str:
        """The tenant's placeholder of a value. Ways of writing the same number or address give the same one. Pure."""
        digest = hashlib.sha256()
        for part in (tenant_id, kind.value, _plain(kind, value)):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(4, "big") + encoded)
        mac = hmac.digest(self._key, digest.digest(), "sha256")[:_DIGEST_BYTES]
        letters = "".join(_LETTERS[byte >> 4] + _LETTERS[byte & 15] for byte in mac)
        return f"[{kind.value.upper()}_{letters}]"

    def naming(self, tenant_id: str, values: dict[str, str]) -> Naming:
        """A naming for one document, which notes in ``values`` what each placeholder stands for, in the form in which
        it is met first."""

        def name(kind: EntityKind, value: str) -> str:
            placeholder = self.of(tenant_id, kind, value)
            values.setdefault(placeholder, value)
            return placeholder

        return name


def kind_of(placeholder: str) -> str:
    """The kind that a pseudonym names, for instance ``email``."""
    return placeholder[1:].partition("_")[0].lower()


def read_key(text: str) -> bytes:
    """A key as it stands in a secret file: 32 bytes in base64. Raises ValueError, without the text."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        raise ValueError("a key is no base64: make one with openssl rand -base64 32") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has not {KEY_BYTES} bytes: make one with openssl rand -base64 {KEY_BYTES}")
    return key


def _plain(kind: EntityKind, value: str) -> str:
    value = folded(value)
    if kind in _NUMBERS:
        return _SEPARATORS.sub("", value).upper()
    return value if kind is EntityKind.SECRET else value.casefold()
