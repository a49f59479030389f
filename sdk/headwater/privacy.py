"""What pseudonyms in documents stand for (scope reveal), and the keys of the vault that knows it (admin scope)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc

from headwater import channel
from headwater.ingest.v1 import privacy_pb2, privacy_pb2_grpc

ROTATING_SECONDS: Final = 120.0

_Call = Callable[[Any, Any, float], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class RevealedPseudonym:
    """What a pseudonym stands for, in the form in which the document has it first."""

    pseudonym: str
    value: str
    kind: str


@dataclass(frozen=True, slots=True)
class VaultKey:
    """A key of the vault. Records of one that is not ``known`` can't be read; ``newest`` seals what is written now."""

    key_id: str
    records: int
    newest: bool
    known: bool


class Privacy:
    """Calls of an ``AsyncClient``."""

    def __init__(self, opened: grpc.aio.Channel, read: _Call, write: _Call) -> None:
        self._stub: privacy_pb2_grpc.PrivacyServiceAsyncStub = privacy_pb2_grpc.PrivacyServiceStub(opened)
        self._read = read
        self._write = write

    async def reveal(self, document_ids: Sequence[str], pseudonyms: Sequence[str]) -> list[RevealedPseudonym]:
        """What pseudonyms stand for in documents that you may read; those that none of them holds are left out. The
        call is logged, without the values. Raises PermissionDeniedError, NotFoundError, InvalidRequestError."""
        request = privacy_pb2.RevealPseudonymsRequest(document_ids=document_ids, pseudonyms=pseudonyms)
        reply = await self._read(self._stub.RevealPseudonyms, request, channel.READ_SECONDS)
        return [RevealedPseudonym(each.pseudonym, each.value, each.kind) for each in reply.revealed]

    async def keys(self) -> list[VaultKey]:
        """Keys of the vault, the newest first. Raises PermissionDeniedError."""
        reply = await self._read(self._stub.ListVaultKeys, privacy_pb2.ListVaultKeysRequest(), channel.READ_SECONDS)
        return [VaultKey(each.key_id, each.records, each.newest, each.known) for each in reply.keys]

    async def rotate(self) -> int:
        """Seals everything with the newest key, and returns how many records it was. May be stopped and called again.
        Raises PermissionDeniedError."""
        resealed = 0
        while True:
            reply: privacy_pb2.RotateVaultResponse = await self._write(
                self._stub.RotateVault, privacy_pb2.RotateVaultRequest(), ROTATING_SECONDS
            )
            resealed += reply.resealed
            if not reply.left:
                return resealed
