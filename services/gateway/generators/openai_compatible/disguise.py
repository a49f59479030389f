"""Personal data on its way to a language model and back.

What is found in the prompt is replaced by numbered placeholders, the same value by the same one, so that a model can
tell two people apart without learning who they are. The table lives as long as the request, in memory only. In the
answer, placeholders are put back for callers with the scope ``reveal``; for others they stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from chassis.identity import Caller, Scope
from corpus.privacy.redact import redact

_PLACEHOLDER: Final = re.compile(r"\[([A-Z]{2,8})[_ ](\d{1,5})\]")
_UNFINISHED: Final = re.compile(r"\[[A-Z]{0,8}(?:[_ ]\d{0,5})?\Z")
"""A placeholder that may be about to be written: it is held back until it is whole."""


class Disguise:
    """Placeholders of one request."""

    def __init__(self, caller: Caller) -> None:
        self._reveals = Scope.REVEAL in caller.scopes
        self._names: dict[str, str] = {}
        self._held = ""
        self._told: dict[str, str] = {}

    def hide(self, text: str) -> str:
        """``text`` with a placeholder for every piece of personal data; text that looks like one is broken up, so that
        a document can't have another's data put into its sentence."""
        text = _PLACEHOLDER.sub(lambda match: f"({match[1]} {match[2]})", text)
        pieces, last = [], 0
        for entity in redact(text).entities:
            value = text[entity.start : entity.end]
            name = self._names.setdefault(value, f"[{entity.kind.value.upper()}_{len(self._names) + 1}]")
            pieces += [text[last : entity.start], name]
            last = entity.end
        return "".join([*pieces, text[last:]])

    def feed(self, piece: str) -> str:
        """What can be passed on of the answer after its next piece."""
        if not (self._reveals and self._names):
            return piece
        text = self._held + piece
        end = _UNFINISHED.search(text)
        cut = end.start() if end else len(text)
        self._held = text[cut:]
        return self.revealed(text[:cut])

    def rest(self) -> str:
        """What was held back when no more pieces come."""
        held, self._held = self._held, ""
        return self.revealed(held)

    def revealed(self, text: str) -> str:
        """``text`` with the data in place of its placeholders, whatever the scopes: for what the caller sent himself
        and nobody else gets to see."""
        values: Mapping[str, str] = {name: value for value, name in self._names.items()}

        def value(match: re.Match[str]) -> str:
            name = f"[{match[1]}_{match[2]}]"
            if name not in values:
                return match.group()
            self._told[values[name]] = name
            return values[name]

        return _PLACEHOLDER.sub(value, text)

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """The data that was put back so far, each with its placeholder."""
        return tuple(self._told.items())
