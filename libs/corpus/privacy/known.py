"""Values that a text showed to be personal data, wherever else they stand without the words that give them away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from corpus.privacy.alike import folded
from corpus.privacy.entities import Entity, EntityKind
from corpus.privacy.pseudonyms import Naming


@dataclass(frozen=True, slots=True)
class KnownValues:
    """Values by what they are, and one pattern for all of them; None for none."""

    kinds: Mapping[str, EntityKind]
    pattern: re.Pattern[str] | None

    @classmethod
    def of(cls, text: str, entities: Sequence[Entity], others: Iterable[str]) -> KnownValues:
        """What of the text's entities stands in other texts too."""
        joined = "\n".join(map(folded, others))
        values = {folded(text[entity.start : entity.end]): entity.kind for entity in entities}
        kinds = {value: kind for value, kind in values.items() if value in joined}
        if not kinds:
            return cls({}, None)
        # The longest first: one value may be the beginning of another.
        either = "|".join(map(re.escape, sorted(kinds, key=len, reverse=True)))
        return cls(kinds, re.compile(f"(?<![A-Za-z0-9])(?:{either})(?![A-Za-z0-9])"))

    def replaced(self, text: str, name: Naming) -> str:
        """The text with placeholders for the values that are known, as ``name`` gives them."""
        if self.pattern is None:
            return text
        pieces, last = [], 0
        for match in self.pattern.finditer(folded(text)):
            instead = name(self.kinds[match.group()], text[match.start() : match.end()])
            pieces += [text[last : match.start()], instead]
            last = match.end()
        return "".join([*pieces, text[last:]])
