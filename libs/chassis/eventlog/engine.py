"""What the embedded logs (SQLite and memory) have to provide for the consumer they share. Not a port: nothing else uses
it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chassis.errors import FailedPrecondition, InvalidRequest
from chassis.eventlog.port import Record

LEASE_SECONDS = 25.0
"""How long a member keeps its partitions without polling: the 20 s of the port and a margin for a busy machine."""

HEARTBEAT_SECONDS = 3.0
"""How often a polling member renews its lease and looks for others that are gone: several tries fit into one lease."""


@dataclass(frozen=True, slots=True)
class Member:
    """One consumer in one group."""

    topic: str
    group: str
    member_id: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What a member has after it looked at its group.

    Attributes:
        epoch: Rises with every change of members or owners.
        fences: Fence by partition index that this member owns.
        leaving: Those of them that another member is waiting for.
        committed: Committed offset by partition index, for every partition of the topic.
    """

    epoch: int
    fences: Mapping[int, int]
    leaving: frozenset[int]
    committed: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records, and the group's epoch when they were read."""

    epoch: int
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class Read:
    """Records, and the offset after the last record of every partition when they were looked for."""

    ends: Mapping[int, int]
    records: Sequence[Record]


class LogEngine(Protocol):
    """Storage and group state of one log. Every coroutine raises DependencyUnavailable."""

    async def look(self, member: Member) -> Standing:
        """Joins or renews the lease, drops members that are gone, takes free seats. Raises FailedPrecondition
        TOPIC_MISSING."""
        ...

    async def release(self, member: Member, indexes: frozenset[int]) -> Standing:
        """Gives seats up for their next owners."""
        ...

    async def leave(self, member: Member) -> None:
        """Ends the membership. Idempotent."""
        ...

    async def fetch(self, member: Member, positions: Mapping[int, int], max_records: int) -> Fetched:
        """At most ``max_records`` records from the positions on, shared between the partitions in the order given."""
        ...

    async def read(self, topic: str, positions: Mapping[int, int], max_records: int) -> Read:
        """As ``fetch``, outside any group. Raises FailedPrecondition TOPIC_MISSING."""
        ...

    async def ends(self, topic: str) -> Mapping[int, int]:
        """Offset of the next record to be appended, by partition index. Raises FailedPrecondition TOPIC_MISSING."""
        ...

    async def commit(self, member: Member, offsets: Mapping[int, int], fences: Mapping[int, int]) -> None:
        """Raises committed offsets of seats that the member still owns under the same fence."""
        ...

    async def lag(self, topic: str, group: str) -> Mapping[int, int]:
        """Records not committed, by partition index. Raises FailedPrecondition TOPIC_MISSING."""
        ...

    def change_count(self) -> int:
        """Rises whenever there may be something new to fetch or to look at."""
        ...

    async def wait_for_change(self, seen: int, timeout_seconds: float) -> None:
        """Returns once ``change_count`` differs from ``seen``, or at the time-out."""
        ...


def share_of(max_records: int, taken: int, partitions_left: int) -> int:
    """Records that the next partition may fill of what is left: an equal share, rounded up."""
    return -(-(max_records - taken) // partitions_left)


def check_partition_count(partitions: int) -> None:
    """Raises InvalidRequest BAD_PARTITION_COUNT."""
    if partitions < 1:
        raise InvalidRequest("A topic needs at least one partition.", reason="BAD_PARTITION_COUNT")


def topic_missing(topic: str) -> FailedPrecondition:
    """The error of a topic that nobody created."""
    return FailedPrecondition(
        "The topic does not exist; create it first.", reason="TOPIC_MISSING", metadata={"topic": topic}
    )


def topic_mismatch(topic: str) -> FailedPrecondition:
    """The error of a topic that exists with other settings."""
    return FailedPrecondition(
        "The topic exists with another partition count or clean-up policy; use another name or migrate it.",
        reason="TOPIC_MISMATCH",
        metadata={"topic": topic},
    )


def log_truncated(topic: str) -> FailedPrecondition:
    """The error of a reader that is further than its topic."""
    return FailedPrecondition(
        "The topic ends before what was read of it: it was created anew or lost records. Read it from its beginning.",
        reason="LOG_TRUNCATED",
        metadata={"topic": topic},
    )


def producer_closed() -> FailedPrecondition:
    """The error of an append after ``close``."""
    return FailedPrecondition("The producer has been closed; create another one.", reason="PRODUCER_CLOSED")
