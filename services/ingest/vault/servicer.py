"""gRPC edge of the vault."""

from __future__ import annotations

from typing import Any

import grpc

from chassis.identity import current_caller
from corpus.privacy.pseudonyms import kind_of
from headwater.ingest.v1 import privacy_pb2, privacy_pb2_grpc
from ingest import messages
from ingest.vault.operate import OperateVault

Context = grpc.aio.ServicerContext[Any, Any]


class PrivacyServicer(privacy_pb2_grpc.PrivacyServiceServicer):
    """Translates requests and replies; decides nothing."""

    def __init__(self, operate: OperateVault) -> None:
        self._operate = operate

    async def RevealPseudonyms(
        self, request: privacy_pb2.RevealPseudonymsRequest, context: Context
    ) -> privacy_pb2.RevealPseudonymsResponse:
        """See the proto."""
        document_ids = [messages.document_id(document_id) for document_id in request.document_ids]
        found = await self._operate.reveal(current_caller(), document_ids, list(request.pseudonyms))
        return privacy_pb2.RevealPseudonymsResponse(
            revealed=[
                privacy_pb2.RevealedPseudonym(pseudonym=pseudonym, value=value, kind=kind_of(pseudonym))
                for pseudonym, value in found.items()
            ]
        )

    async def ListVaultKeys(
        self, request: privacy_pb2.ListVaultKeysRequest, context: Context
    ) -> privacy_pb2.ListVaultKeysResponse:
        """See the proto."""
        return privacy_pb2.ListVaultKeysResponse(
            keys=[
                privacy_pb2.VaultKey(key_id=use.key_id, records=use.records, newest=use.newest, known=use.known)
                for use in await self._operate.keys(current_caller())
            ]
        )

    async def RotateVault(
        self, request: privacy_pb2.RotateVaultRequest, context: Context
    ) -> privacy_pb2.RotateVaultResponse:
        """See the proto."""
        done = await self._operate.rotate(current_caller(), request.limit)
        return privacy_pb2.RotateVaultResponse(resealed=done.resealed, left=done.left)
