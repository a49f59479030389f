"""Dates in a question as conditions on a timestamp field."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.plan import Condition

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "january januar janvier enero gennaio",
            "february februar février febrero febbraio",
            "march märz mars marzo",
            "april avril abril aprile",
            "may mai mayo maggio",
            "june juni juin junio giugno",
            "july juli juillet julio luglio",
            "august août agosto",
            "september septembre septiembre settembre",
            "october oktober octobre octubre ottobre",
            "november novembre noviembre",
            "december dezember décembre diciembre dicembre",
        ),
        start=1,
    )
    for name in names.split()
}
_MONTH: Final = "|".join(sorted(_MONTHS, key=len, reverse=True))
_YEAR: Final = r"(?:19|20)\d\d"
_DATE: Final = rf"(?:{_YEAR}-\d\d-\d\d|{_YEAR}-\d\d|(?:\d{{1,2}}\.? )?(?:{_MONTH}) {_YEAR}|{_YEAR})(?!\w|[.,-]\d)"
_RANGES: Final = (
    ("between", rf"\b(?:between|zwischen|entre|tra|fra) (?P<one>{_DATE}) (?:and|und|et|y|e) (?P<other>{_DATE})"),
    ("between", rf"\b(?:from|von|de|del|dal) (?P<one>{_DATE}) (?:to|until|bis|à|a|al|hasta) (?P<other>{_DATE})"),
    ("since", rf"\b(?:since|from|seit|ab|depuis|desde|dal) (?P<one>{_DATE})"),
    ("after", rf"\b(?:after|later than|nach|après|después de|dopo) (?P<one>{_DATE})"),
    ("before", rf"\b(?:before|earlier than|prior to|vor|avant|antes de|prima del?) (?P<one>{_DATE})"),
    ("until", rf"\b(?:until|till|up to|bis|jusqu'en|hasta|fino al?) (?P<one>{_DATE})"),
    ("in", rf"\b(?:in|on|during|of|im|am|en|nel) (?P<one>{_DATE})"),
)
_PATTERNS: Final = tuple((kind, re.compile(pattern)) for kind, pattern in _RANGES)
_LAST_MONTH: Final = 12


@dataclass(frozen=True, slots=True)
class Dated:
    """Conditions and the words they come from."""

    conditions: tuple[Condition, ...]
    words: str


def date_conditions(folded: str, field: str) -> Dated | None:
    """The first range of dates in folded text; None where there is none. Days are those of UTC; ends are exclusive."""
    for kind, pattern in _PATTERNS:
        found = pattern.search(folded)
        if found is None:
            continue
        first = _span(found["one"])
        last = _span(found["other"]) if kind == "between" else first
        if first is None or last is None:
            continue
        start, end = first[0], last[1]
        match kind:
            case "since":
                ends: tuple[tuple[str, datetime], ...] = (("$gte", start),)
            case "after":
                ends = (("$gte", end),)
            case "before":
                ends = (("$lt", start),)
            case "until":
                ends = (("$lt", end),)
            case _:
                ends = (("$gte", start), ("$lt", end))
        return Dated(tuple(Condition(field, each, f"{moment:%Y-%m-%dT%H:%M:%SZ}") for each, moment in ends), found[0])
    return None


def _span(text: str) -> tuple[datetime, datetime] | None:
    """First moment of a day, month or year, and the first one after it; None for a day that no calendar has."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    month = next((_MONTHS[word] for word in text.split() if word in _MONTHS), 0)
    try:
        if month:
            day, year = numbers if len(numbers) > 1 else (0, numbers[-1])
        else:
            year, month, day = (*numbers, 0, 0)[:3]
        start = datetime(year, month or 1, day or 1, tzinfo=UTC)
        if day:
            return start, datetime.fromtimestamp(start.timestamp() + 86_400, UTC)
        if month:
            return start, datetime(year + month // _LAST_MONTH, month % _LAST_MONTH + 1, 1, tzinfo=UTC)
        return start, datetime(year + 1, 1, 1, tzinfo=UTC)
    except ValueError:
        return None
