"""Bodies about where ingestion stands."""

from __future__ import annotations

from datetime import datetime

from gateway.http.bodies import Name, Response
from gateway.http.models import ChangeStateBody


class StateCountBody(Response):
    """Changes in one state."""

    state: Name
    count: int


class OpenChangeBody(Response):
    """A change in no terminal state. ``cause``: waiting, retrying, halted or replayed."""

    change: ChangeStateBody
    cause: Name
    age_seconds: float


class OpenChangesBody(Response):
    """A page of open changes, oldest first."""

    changes: list[OpenChangeBody]
    next_page_token: str


class HaltBody(Response):
    """A worker that takes no changes, because it refuses what it should be able to read."""

    worker: str
    since: datetime | None = None
    seen_at: datetime | None = None
    reason: str
    message: str
    rejections: int


class StatusBody(Response):
    """Lag, counts, halts and what is open."""

    lag: int
    bulk_lag: int
    live_documents: int
    live_chunks: int
    live_tokens: int
    change_counts: list[StateCountBody]
    oldest_pending_accepted_at: datetime | None = None
    oldest_pending: list[ChangeStateBody]
    open: list[OpenChangeBody]
    halts: list[HaltBody]
    open_dead_letters: int
    newest_dead_letters: list[ChangeStateBody]
    generation: str
