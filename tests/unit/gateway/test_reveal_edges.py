"""What pseudonyms stand for, asked for at both edges."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.gateway.edges import Edges, edges

from chassis.identity import Scope
from headwater.aio import AsyncClient
from headwater.errors import OverloadedError, PermissionDeniedError
from headwater.privacy import RevealedPseudonym, VaultKey
from headwater.types import Identity

MAIL = "[EMAIL_kdfgtrsnbbcqlmpj]"
OTHER = "[EMAIL_kdfgtrsnbbcqlmpk]"
MAY = Identity(tenant="acme", subject="ann", scopes=("read", "reveal"))
BODY = {"document_ids": ["guide"], "pseudonyms": [OTHER, MAIL]}


def sdk(running: Edges, identity: Identity) -> AsyncClient:
    return AsyncClient(running.target, identity=identity)


async def test_both_edges_say_what_a_pseudonym_stands_for(tmp_path: Path) -> None:
    async with edges(tmp_path) as running:
        running.peers.pseudonyms[MAIL] = "anna@example.org"
        async with sdk(running, MAY) as client:
            found = await client.privacy.reveal(["guide"], [OTHER, MAIL])
        assert found == [RevealedPseudonym(MAIL, "anna@example.org", "email")]
        answer = await running.http.post("/v1/privacy/reveal", json=BODY)
        assert answer.json() == {"revealed": [{"pseudonym": MAIL, "value": "anna@example.org", "kind": "email"}]}


async def test_without_the_scope_nobody_behind_the_edge_is_asked(tmp_path: Path) -> None:
    async with edges(tmp_path) as running:
        async with sdk(running, Identity(tenant="acme")) as client:
            with pytest.raises(PermissionDeniedError):
                await client.privacy.reveal(["guide"], [MAIL])
        headers = {"x-headwater-dev-scopes": "read write admin"}
        answer = await running.http.post("/v1/privacy/reveal", json=BODY, headers=headers)
        assert answer.status_code == 403
        assert running.peers.callers == []


async def test_the_scope_is_told_in_this_call_and_in_no_other(tmp_path: Path) -> None:
    async with edges(tmp_path) as running:
        async with sdk(running, MAY) as client:
            await client.privacy.reveal(["guide"], [MAIL])
            await client.search("pump")
            await client.privacy.reveal(["guide"], [MAIL])
        assert [Scope.REVEAL in caller.scopes for caller in running.peers.callers] == [True, False, True]


async def test_revealing_is_limited_like_other_reads(tmp_path: Path) -> None:
    async with edges(tmp_path, rate_read="1/1 hour") as running, sdk(running, MAY) as client:
        await client.privacy.reveal(["guide"], [MAIL])
        with pytest.raises(OverloadedError):
            await client.privacy.reveal(["guide"], [MAIL])


async def test_only_an_administrator_rotates(tmp_path: Path) -> None:
    async with edges(tmp_path) as running:
        async with sdk(running, MAY) as client:
            with pytest.raises(PermissionDeniedError):
                await client.privacy.rotate()
            with pytest.raises(PermissionDeniedError):
                await client.privacy.keys()
        async with sdk(running, Identity(tenant="acme")) as client:
            assert await client.privacy.rotate() == 3
            assert await client.privacy.keys() == [VaultKey("0a0a0a0a", 3, newest=True, known=True)]
