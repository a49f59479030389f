"""Sealing: authenticated encryption under keys that can be changed one after another.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce for each record. What a record is about is associated data: one
that was moved to another tenant, document or version doesn't open. The newest key seals, any of the ring opens; a
record names its key by a hash of it, so that nobody has to number keys.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chassis.errors import FailedPrecondition
from corpus.privacy.pseudonyms import read_key

_NONCE_BYTES: Final = 12
_KEY_ID_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Sealed:
    """``data`` is nonce, ciphertext and tag; ``key_id`` names the key that sealed it."""

    key_id: str
    data: bytes


class KeyRing:
    """Keys, the newest first.

    Args:
        keys: 32 random bytes each, at least one.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("a key ring needs a key")
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}
        self.newest: Final = key_id(keys[0])

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Of a secret's text: one key a line, base64, the newest first. Raises ValueError, without the text."""
        return cls([read_key(line) for line in text.splitlines() if line.strip()])

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Names of its keys, the newest first."""
        return tuple(self._ciphers)

    def seal(self, plain: bytes, *about: str) -> Sealed:
        """Encrypts with the newest key. CPU-bound, about a millisecond a megabyte."""
        nonce = os.urandom(_NONCE_BYTES)
        return Sealed(self.newest, nonce + self._ciphers[self.newest].encrypt(nonce, plain, _associated(about)))

    def open(self, sealed: Sealed, *about: str) -> bytes:
        """What was sealed about the same. Raises FailedPrecondition VAULT_KEY_MISSING when its key is not in the ring,
        VAULT_RECORD_DAMAGED when it was changed or is about something else."""
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise FailedPrecondition(
                f"The vault's key {sealed.key_id} is not in the key ring: add it, or put the documents again.",
                reason="VAULT_KEY_MISSING",
                metadata={"key_id": sealed.key_id},
            )
        nonce, data = sealed.data[:_NONCE_BYTES], sealed.data[_NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, data, _associated(about))
        except (InvalidTag, ValueError):
            raise FailedPrecondition(
                "A record of the vault does not open with its key: put the document again.",
                reason="VAULT_RECORD_DAMAGED",
                metadata={"key_id": sealed.key_id},
            ) from None


def key_id(key: bytes) -> str:
    """What records call a key: the beginning of a hash of it."""
    return hashlib.sha256(b"headwater vault key\0" + key).digest()[:_KEY_ID_BYTES].hex()


def _associated(about: Sequence[str]) -> bytes:
    encoded = [part.encode("utf-8", "surrogatepass") for part in about]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
