"""Filters that the words of a question speak of: over declared fields and dates, never over anything else.

A filter is a suggestion, shown with the answer. It is applied when the caller asks for that, or when it is certain: the
question names a field with one of its declared values ("product: rill-q2"), or says that it wants nothing else ("only
runbooks"), and neither denies nor asks that ("not only", "is it only"), nor speaks of another value. One that is
applied is never given up: when nothing passes it, nothing is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from gateway.plan import Condition, Plan, SuggestedFilter
from gateway.ports import UnderstandingRequest
from gateway.stages.understand.dates import date_conditions
from gateway.stages.understand.vocabulary import FilterField, TenantVocabulary, Vocabulary
from gateway.stages.understand.words import fold, fold_ruled

_ONLY: Final = r"\b(?:only|just|exclusively|nur|ausschließlich|seulement|uniquement|solo|sólo|solamente|soltanto)\b"
_UNSURE: Final = re.compile(
    r"(?:\b(?:not|nicht|pas|no|non|never|nie|niemals|jamais|nunca|mai)|n't)(?: \w+)? ?$"
    r"|\b(?:is|are|was|were) (?:it|this|that|these|those|they|there) ?$|\b(?:ist|sind) (?:es|das|dies|sie) ?$"
    r"|\b(?:est-ce|es|è) ?$"
)
"""What stands before words that seem to name a filter and takes the certainty from them."""
_BETWEEN: Final = r" (?:(?:in|from|for|about|aus|in den|dans|en|de|los|las|les|the|die|nei) )*"
_NUMBER: Final = r"v?(?P<number>\d{1,4}(?:\.\d{1,6}){0,4})"
_NEWER: Final = re.compile(r"\b(since|after|from|newer than|at least|ab|seit|neuer als|depuis|desde|da)\W*$")
_OLDER: Final = re.compile(r"\b(before|until|older than|up to|vor|bis|älter als|avant|antes de|prima di)\W*$")


@dataclass(frozen=True, slots=True)
class _FieldPatterns:
    """How questions may speak of a field: ``name: value``, and a value's words."""

    field: str
    declared: FilterField
    named: re.Pattern[str]
    values: tuple[tuple[str, re.Pattern[str], re.Pattern[str]], ...]


class SuggestFilters:
    """Sets the suggested filters, and which of them are applied."""

    name = "filters"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._patterns = lru_cache(maxsize=256)(self._compile)

    async def refine(self, plan: Plan, request: UnderstandingRequest) -> Plan:
        """The plan with its filters."""
        wanted = request.question.options.apply_filters
        found = self.suggest(plan.text, request.caller.tenant_id)
        return replace(plan, filters=tuple(replace(each, applied=wanted or each.certain) for each in found))

    def suggest(self, text: str, tenant_id: str) -> tuple[SuggestedFilter, ...]:
        """At most one filter per field, none of them applied yet."""
        folded = fold_ruled(text)
        found: dict[str, SuggestedFilter] = {}
        for patterns in self._patterns(tenant_id):
            for suggestion in _of_field(patterns, folded):
                known = found.get(patterns.field)
                if known is None or (suggestion.certain and not known.certain):
                    found[patterns.field] = suggestion
        dated = date_conditions(folded, self._vocabulary.of(tenant_id).date_field)
        dates = (SuggestedFilter(dated.conditions, dated.words, certain=False),) if dated else ()
        return (*found.values(), *dates)

    def _compile(self, tenant_id: str) -> tuple[_FieldPatterns, ...]:
        declared: TenantVocabulary = self._vocabulary.of(tenant_id)
        return tuple(_patterns_of(name, field) for name, field in declared.filter_fields().items())


def _patterns_of(name: str, field: FilterField) -> _FieldPatterns:
    names = _any((name, *field.names))
    values = tuple(
        (value, re.compile(rf"(?<![\w.-]){words}(?![\w-])"), re.compile(rf"{_ONLY}{_BETWEEN}{words}(?![\w-])"))
        for value, words in ((value, _any((value, *words))) for value, words in field.values.items())
    )
    return _FieldPatterns(name, field, re.compile(rf"(?<!\w){names} ?[:=] ?(?P<value>[^\s,;?!]+)"), values)


def _any(words: Sequence[str]) -> str:
    # Longest first: "Rill Q2" before "Q2".
    ordered = sorted({fold(word) for word in words}, key=len, reverse=True)
    return f"(?:{'|'.join(map(re.escape, ordered))})"


def _of_field(patterns: _FieldPatterns, folded: str) -> Iterator[SuggestedFilter]:
    named = patterns.named.search(folded)
    if named is not None:
        value = named["value"].rstrip(".")
        known = _known_value(patterns.declared, value)
        certain = known is not None and _is_sure(patterns, folded, known, named)
        yield _equal(patterns.field, known or value, named.group().rstrip("."), certain=certain)
    for value, mentioned, only in patterns.values:
        found = only.search(folded)
        if found is not None:
            certain = _is_sure(patterns, folded, value, found)
            yield _equal(patterns.field, value, found.group(), certain=certain)
        elif (found := mentioned.search(folded)) is not None:
            yield _equal(patterns.field, value, found.group(), certain=False)
    if patterns.declared.type == "version":
        yield from _versions(patterns, folded)


def _is_sure(patterns: _FieldPatterns, folded: str, value: str, found: re.Match[str]) -> bool:
    """Whether nothing but ``value`` is wanted, as ``found`` seems to say."""
    if _UNSURE.search(folded[: found.start()]):
        return False
    others = (other for each, mentioned, _ in patterns.values if each != value for other in mentioned.finditer(folded))
    # "policy" in "only the privacy policy" is no other value.
    return all(found.start() <= other.start() and other.end() <= found.end() for other in others)


def _known_value(field: FilterField, said: str) -> str | None:
    """The declared value that these words stand for."""
    return next((value for value, words in field.values.items() if said in {fold(w) for w in (value, *words)}), None)


def _equal(field: str, value: str, words: str, *, certain: bool) -> SuggestedFilter:
    return SuggestedFilter((Condition(field, "$eq", value),), words, certain)


def _versions(patterns: _FieldPatterns, folded: str) -> Iterator[SuggestedFilter]:
    """ "firmware 3.1" is 3.1 and every 3.1.x; one with three parts or more is itself."""
    names = _any((patterns.field, "version", *patterns.declared.names))
    found = re.search(rf"(?<!\w){names} (?:version )?{_NUMBER}(?![\w.]*\w)", folded)
    if found is None:
        return
    number, before = found["number"], folded[: found.start()]
    field = patterns.field
    if _NEWER.search(before):
        conditions: tuple[Condition, ...] = (Condition(field, "$gte", number),)
    elif _OLDER.search(before):
        conditions = (Condition(field, "$lt", number),)
    elif number.count(".") >= 2:
        conditions = (Condition(field, "$eq", number),)
    else:
        conditions = (Condition(field, "$gte", number), Condition(field, "$lt", _next(number)))
    yield SuggestedFilter(conditions, found.group(), certain=False)


def _next(number: str) -> str:
    *kept, last = number.split(".")
    return ".".join((*kept, str(int(last) + 1)))
