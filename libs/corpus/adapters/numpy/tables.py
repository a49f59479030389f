"""What rows share, interned: metadata and access sets, and which of them pass a prefilter."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from corpus.domain import Metadata, MetadataValue
from corpus.filters import Conjunction, Disjunction, Expression, Negation
from corpus.filters.expression import Comparison, Existence, Membership, evaluate
from corpus.metadata import metadata_from_json

_MAX_REMEMBERED_CONDITIONS = 1_024

_Condition = Membership | Comparison | Existence


class MetadataTable:
    """Distinct metadata by id. All chunks of a document version share one entry.

    A condition looks at one field, so it is evaluated once per distinct value of that field, by the reference
    evaluator itself, and what was found is remembered: values never change, so only new ones are evaluated later.
    """

    def __init__(self) -> None:
        self._entries: list[Metadata] = []
        self._columns: dict[str, _Column] = {}

    def put(self, entries: Iterable[tuple[int, str]]) -> None:
        """Adds (id, JSON) pairs in ascending order of ids."""
        for entry_id, text in entries:
            while len(self._entries) <= entry_id:
                self._entries.append({})
            self._entries[entry_id] = metadata_from_json(text)

    def keep(self, entry_ids: Collection[int]) -> None:
        """Forgets every entry besides these."""
        wanted = set(entry_ids)
        self._entries = [entry if place in wanted else {} for place, entry in enumerate(self._entries)]
        self._columns.clear()

    def passing(self, expression: Expression) -> NDArray[np.bool_]:
        """Whether each entry satisfies the expression, by id."""
        match expression:
            case Conjunction(operands):
                passes = np.ones(len(self._entries), dtype=np.bool_)
                for operand in operands:
                    passes &= self.passing(operand)
                return passes
            case Disjunction(operands):
                passes = np.zeros(len(self._entries), dtype=np.bool_)
                for operand in operands:
                    passes |= self.passing(operand)
                return passes
            case Negation(operand):
                return ~self.passing(operand)
            case _:
                column = self._columns.setdefault(expression.field, _Column(expression.field))
                column.extend(self._entries)
                return column.passing(expression)


class _Column:
    """One field of all entries: distinct values, and which of them each entry has."""

    def __init__(self, field: str) -> None:
        self._field = field
        # Place 0 stands for a missing value. The type is part of the key because True equals 1.0.
        self._places: dict[tuple[type, MetadataValue | None], int] = {(type(None), None): 0}
        self._values: list[MetadataValue | None] = [None]
        self._codes = np.zeros(0, dtype=np.int32)
        self._found: LRUCache[_Condition, NDArray[np.bool_]] = LRUCache(_MAX_REMEMBERED_CONDITIONS)

    def extend(self, entries: Sequence[Metadata]) -> None:
        new = [self._place(entry.get(self._field)) for entry in entries[len(self._codes) :]]
        if new:
            self._codes = np.concatenate([self._codes, np.array(new, dtype=np.int32)])

    def passing(self, condition: _Condition) -> NDArray[np.bool_]:
        found = self._found.get(condition)
        known = 0 if found is None else len(found)
        if found is None or known < len(self._values):
            new = np.array([self._passes(condition, value) for value in self._values[known:]], dtype=np.bool_)
            found = new if found is None else np.concatenate([found, new])
            self._found[condition] = found
        return found[self._codes]

    def _passes(self, condition: _Condition, value: MetadataValue | None) -> bool:
        return evaluate(condition, {} if value is None else {self._field: value})

    def _place(self, value: MetadataValue | None) -> int:
        key = (type(value), value)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = len(self._values)
            self._values.append(value)
        return place


class AccessTable:
    """Distinct access policies by id."""

    def __init__(self) -> None:
        self._levels = np.zeros(0, dtype=np.int64)
        self._sets_of_token: dict[str, list[int]] = {}

    def put(self, entries: Sequence[tuple[int, int, str]]) -> None:
        """Adds (id, level, JSON list of tokens) in ascending order of ids."""
        if not entries:
            return
        grown = np.zeros(entries[-1][0] + 1, dtype=np.int64)
        grown[: len(self._levels)] = self._levels
        self._levels = grown
        for entry_id, level, tokens in entries:
            self._levels[entry_id] = level
            for token in json.loads(tokens):
                self._sets_of_token.setdefault(token, []).append(entry_id)

    def passing(self, tokens: frozenset[str], clearance: int) -> NDArray[np.bool_]:
        """Whether each policy lets a caller with these tokens and this clearance read, by id."""
        passes = np.zeros(len(self._levels), dtype=np.bool_)
        for token in tokens:
            sets = self._sets_of_token.get(token)
            if sets is not None:
                passes[sets] = True
        return passes & (self._levels <= clearance)
