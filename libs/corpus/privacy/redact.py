"""Puts placeholders where personal data stood, and keeps spans over the text true."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass

from corpus.privacy.entities import ALL_KINDS, Entity, EntityKind
from corpus.privacy.find import find_entities


@dataclass(frozen=True, slots=True)
class Redacted:
    """``text`` with placeholders for ``entities``, whose spans are those of the text before."""

    text: str
    entities: tuple[Entity, ...]
    starts: tuple[int, ...]
    shifts: tuple[int, ...]

    def position(self, before: int) -> int:
        """Where the place ``before`` of the old text is in the new one. Inside an entity: where its placeholder
        begins."""
        index = bisect_right(self.starts, before) - 1
        if index < 0:
            return before
        if before < self.entities[index].end:
            return self.entities[index].start + (self.shifts[index - 1] if index else 0)
        return before + self.shifts[index]


def placeholder(kind: EntityKind) -> str:
    """What stands for data of the kind, for instance ``[EMAIL]``."""
    return f"[{kind.value.upper()}]"


def redact(text: str, kinds: Collection[EntityKind] = ALL_KINDS) -> Redacted:
    """The text with every entity of the kinds replaced by its placeholder. Pure, deterministic, idempotent."""
    entities = find_entities(text, kinds)
    pieces: list[str] = []
    shifts: list[int] = []
    last = shift = 0
    for entity in entities:
        instead = placeholder(entity.kind)
        pieces += [text[last : entity.start], instead]
        shift += len(instead) - (entity.end - entity.start)
        shifts.append(shift)
        last = entity.end
    starts = tuple(entity.start for entity in entities)
    return Redacted("".join([*pieces, text[last:]]), entities, starts, tuple(shifts))
