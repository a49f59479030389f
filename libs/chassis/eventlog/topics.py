"""Topics as they are expected to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic.

    Attributes:
        partitions: How many; never changed once records are in it, because keys would change partitions.
        compacted: Whether only the newest record of each key is kept.
    """

    partitions: int
    compacted: bool = False
