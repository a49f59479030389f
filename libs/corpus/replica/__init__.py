"""A replica of the heads in the memory of a reader."""

from corpus.replica.heads import MAX_HEADS, STALENESS_SECONDS, HeadsReplica

__all__ = ["MAX_HEADS", "STALENESS_SECONDS", "HeadsReplica"]
