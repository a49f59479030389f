"""What tests of applying changes expect."""

from __future__ import annotations

from tests.unit.ingest.world import World

from corpus.domain import ChangeState, HeadState
from ingest.domain import Outcome

APPLIED = Outcome(ChangeState.APPLIED)
SUPERSEDED = Outcome(ChangeState.SUPERSEDED)
PUBLIC = ("public",)


async def live(world: World, document_id: str = "guide") -> bool:
    head = await world.head(document_id)
    return head is not None and head.state is HeadState.LIVE
