"""Tier T1 of docs/guarantees.md for readers: what a replica of the heads serves while workers die and stand still."""

from __future__ import annotations

import os

import pytest
from structlog.testing import capture_logs
from tests.simulation import KINDS, replay_command
from tests.simulation.histories import history
from tests.simulation.replica_histories import ReplicaLaneHistory
from tests.simulation.virtual_time import run

from corpus.domain import Announcement
from ingest.adapters.event_log import EventLogHeadFeed

HISTORIES = 100 * int(os.environ.get("HEADWATER_HISTORIES", "1"))
"""Of each kind: a reader that never rests makes them longer than the others."""
BLOCK = 25


@pytest.mark.parametrize("name", ["ReplicaHistory", "ReplicaLaneHistory"])
@pytest.mark.parametrize("first", range(1, HISTORIES + 1, BLOCK))
def test_no_replica_serves_what_is_no_longer_so(first: int, name: str) -> None:
    for seed in range(first, first + BLOCK):
        try:
            with capture_logs():
                run(history(seed, KINDS[name]))
        except Exception as error:
            pytest.fail(f"{name}, seed {seed}: {error!r}\n{replay_command(name, seed)}", pytrace=False)


def test_without_announcements_the_same_histories_show_a_reader_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def say_nothing(_: EventLogHeadFeed, announcement: Announcement) -> None:
        del announcement

    def many() -> None:
        for seed in range(1, 30):
            run(history(seed, ReplicaLaneHistory))

    monkeypatch.setattr(EventLogHeadFeed, "announce", say_nothing)
    with capture_logs(), pytest.raises(AssertionError, match="no longer so"):
        many()
