"""Puts placeholders where personal data stood, and keeps spans over the text true."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from corpus.privacy.entities import ALL_KINDS, Entity, EntityKind
from corpus.privacy.find import find_entities
from corpus.privacy.pseudonyms import Naming

_MOST_ROUNDS: Final = 8


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


def unnumbered(kind: EntityKind, value: str) -> str:
    """The naming that tells no two values of a kind apart."""
    del value
    return placeholder(kind)


def redact(text: str, kinds: Collection[EntityKind] = ALL_KINDS, name: Naming = unnumbered) -> Redacted:
    """The text with every entity of the kinds replaced by its placeholder, which ``name`` gives. As pure as that, and
    idempotent but for text made to be otherwise: what comes to light when others are gone is looked for eight times at
    most."""
    redacted = _replaced(text, find_entities(text, kinds), name)
    for _ in range(_MOST_ROUNDS):
        more = find_entities(redacted.text, kinds) if redacted.entities else ()
        if not more:
            break
        found = (*redacted.entities, *_in_the_text_before(redacted, more))
        redacted = _replaced(text, sorted(found, key=lambda entity: entity.start), name)
    return redacted


def _in_the_text_before(redacted: Redacted, entities: Sequence[Entity]) -> Iterator[Entity]:
    """Where entities of the new text are in the old one; none of them has a placeholder in it."""
    ends = [entity.end + shift for entity, shift in zip(redacted.entities, redacted.shifts, strict=True)]
    for entity in entities:
        index = bisect_right(ends, entity.start) - 1
        shift = redacted.shifts[index] if index >= 0 else 0
        yield replace(entity, start=entity.start - shift, end=entity.end - shift)


def _replaced(text: str, entities: Sequence[Entity], name: Naming) -> Redacted:
    pieces: list[str] = []
    shifts: list[int] = []
    last = shift = 0
    for entity in entities:
        instead = name(entity.kind, text[entity.start : entity.end])
        pieces += [text[last : entity.start], instead]
        shift += len(instead) - (entity.end - entity.start)
        shifts.append(shift)
        last = entity.end
    starts = tuple(entity.start for entity in entities)
    return Redacted("".join([*pieces, text[last:]]), tuple(entities), starts, tuple(shifts))
