"""Searches that an edit overtook: legs, or the first look at heads, are from before it, the last look from after it."""

from __future__ import annotations

from collections.abc import Mapping

from cachetools import LRUCache

_REMEMBERED = 10_000
"""What is forgotten costs one more search of its document."""


class Overtaken:
    """Tells a search that met an edit from one that is made long after it.

    Rows of a version are there before its head is, and those of the version before stay for a day. So whoever can show
    nothing of a document but was told of old rows may have asked a moment too early; but once somebody has seen the new
    head, whoever asks later is told of the new rows if they answer the question.
    """

    def __init__(self) -> None:
        self._seen: LRUCache[tuple[str, str, int], float] = LRUCache(_REMEMBERED)

    def asked_too_early(self, tenant_id: str, missed: Mapping[str, int], asked_at: float, now: float) -> bool:
        """Whether asking once more may find what was missed.

        Args:
            tenant_id: Whose documents these are.
            missed: By document id the version that is live.
            asked_at: When the legs were asked, in seconds of the monotonic clock that ``now`` is of.
            now: Some time after the heads were read.
        """
        early = False
        for document_id, version in missed.items():
            early |= asked_at <= self._seen.setdefault((tenant_id, document_id, version), now)
        return early
