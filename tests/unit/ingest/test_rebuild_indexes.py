"""Rebuilding an index touches what it is about and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.ingest.audits import audits
from tests.unit.ingest.generations_world import GenerationsWorld
from tests.unit.ingest.world import TENANT, WRITER

from ingest.audit.differences import StoreName
from ingest.rebuild import RebuildIndexes


def indexes(world: Any) -> RebuildIndexes:
    auditor = audits(world, can_parse=False)
    return RebuildIndexes(world.stores.tenants, world.stores.heads, world.rows, auditor.repair, auditor, 0.0)


@pytest.mark.parametrize("store", [StoreName.VECTOR, StoreName.LEXICAL])
async def test_the_generation_beside_keeps_its_rows_when_the_one_that_is_searched_is_emptied(store: StoreName) -> None:
    async with GenerationsWorld() as world:
        await world.put("d", 1, "text of d")
        plan = await world.operate.create(WRITER, chunk_target_tokens=40)
        assert plan.beside is not None
        beside = plan.beside.generation.name
        await world.keeper().once()
        index = world.stores.vectors if store is StoreName.VECTOR else world.stores.lexical
        before = await index.chunk_ids(beside, TENANT)
        assert before
        made = await indexes(world).rebuild(TENANT, store, drop=True)
        assert (made.written, made.audit.left) == (1, [])
        assert await index.chunk_ids(beside, TENANT) == before
