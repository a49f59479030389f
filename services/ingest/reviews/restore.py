"""Holds that were lost, from the feed."""

from __future__ import annotations

import contextlib

from chassis.errors import InvalidRequest
from chassis.eventlog.port import Record
from corpus.feed import decode_hold
from corpus.ports import Heads


async def restore_hold(heads: Heads, record: Record, tenant_id: str) -> None:
    """Takes what a record says of a hold; a late one is superseded. To be done before any head is written, so that
    nothing is served in between. Idempotent. Raises DependencyUnavailable."""
    with contextlib.suppress(InvalidRequest):  # nothing that this version could act on
        if record.value and (hold := decode_hold(record.value)).key.tenant_id == tenant_id:
            await heads.set_hold(hold)
