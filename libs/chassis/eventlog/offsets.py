"""Which offsets may be committed when records are finished out of order."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from chassis.eventlog.port import Partition


@dataclass(slots=True)
class _Progress:
    under_way: set[int] = field(default_factory=set)
    smallest_first: list[int] = field(default_factory=list)
    next_offset: int = 0
    committed: int = 0

    def prefix_end(self) -> int:
        while self.smallest_first and self.smallest_first[0] not in self.under_way:
            heapq.heappop(self.smallest_first)
        return self.smallest_first[0] if self.smallest_first else self.next_offset


class ContiguousOffsets:
    """Tracks records under way per partition; only a prefix without holes may be committed, or a crash would skip a
    record.

    Records of a partition are started in offset order and may be done in any order. Offsets may have gaps (compacted
    topics). Not thread-safe.
    """

    def __init__(self) -> None:
        self._partitions: dict[Partition, _Progress] = {}

    def start(self, partition: Partition, offset: int) -> None:
        """Notes that the record was handed out. A record that is handed out again (after a seek) counts as not done."""
        progress = self._partitions.setdefault(partition, _Progress(committed=offset))
        if offset not in progress.under_way:
            progress.under_way.add(offset)
            heapq.heappush(progress.smallest_first, offset)
        progress.next_offset = max(progress.next_offset, offset + 1)

    def done(self, partition: Partition, offset: int) -> None:
        """Notes that the record needs no more work. Ignored for partitions that were forgotten. Idempotent."""
        progress = self._partitions.get(partition)
        if progress is not None:
            progress.under_way.discard(offset)

    def committable(self) -> dict[Partition, int]:
        """Offsets of the next record to hand out, for partitions where that is beyond what was marked as committed."""
        ends = {partition: progress.prefix_end() for partition, progress in self._partitions.items()}
        return {partition: end for partition, end in ends.items() if end > self._partitions[partition].committed}

    def mark_committed(self, offsets: Mapping[Partition, int]) -> None:
        """Notes a successful commit of what ``committable`` returned."""
        for partition, offset in offsets.items():
            progress = self._partitions.get(partition)
            if progress is not None:
                progress.committed = max(progress.committed, offset)

    def under_way(self, partition: Partition | None = None) -> int:
        """Records started and not done, in one partition or in all."""
        if partition is not None:
            progress = self._partitions.get(partition)
            return len(progress.under_way) if progress else 0
        return sum(len(progress.under_way) for progress in self._partitions.values())

    def forget(self, partitions: Collection[Partition]) -> None:
        """Drops partitions that were revoked or are read again from their committed offset."""
        for partition in partitions:
            self._partitions.pop(partition, None)
