"""The topics of ingestion."""

from __future__ import annotations

from collections.abc import Mapping

from chassis.eventlog.topics import TopicSpec
from corpus.feed import HEADS_TOPIC
from ingest.codec import BULK_CHANGES_TOPIC, CHANGES_TOPIC, DEAD_LETTERS_TOPIC, SOURCES_TOPIC


def topics(partitions: int) -> Mapping[str, TopicSpec]:
    """What ``partitions`` of the change topic need beside it."""
    return {
        CHANGES_TOPIC: TopicSpec(partitions),
        BULK_CHANGES_TOPIC: TopicSpec(partitions),
        HEADS_TOPIC: TopicSpec(partitions, compacted=True),
        DEAD_LETTERS_TOPIC: TopicSpec(1),
        # Not compacted: the record of a delete must not make way for the tombstone behind it, which has no version.
        SOURCES_TOPIC: TopicSpec(partitions),
    }
