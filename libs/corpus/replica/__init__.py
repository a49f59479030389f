"""A replica of the heads in the memory of a reader."""

from corpus.replica.heads import HeadsReplica

__all__ = ["HeadsReplica"]
