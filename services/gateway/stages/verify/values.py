"""Numbers, dates, versions, identifiers and names of a text, in one form however they are written.

A quantity is its dimension and its amount in the dimension's own unit, so that 60 s is 1 min and 30 s is not 30 min.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ValueKind(StrEnum):
    """What a value is; values of different kinds never agree."""

    NUMBER = "number"
    QUANTITY = "quantity"
    DATE = "date"
    TIME = "time"
    RATE = "rate"
    IDENTIFIER = "identifier"


@dataclass(frozen=True, slots=True)
class Value:
    """``key`` is equal where two texts say the same; ``family`` names the dimension of a quantity or the shape of an
    identifier: values of one family are rivals."""

    kind: ValueKind
    key: str
    family: str
    amount: str = ""


_DIMENSIONS: Final[Mapping[str, Mapping[str, float]]] = {
    "time": {
        "ms": 0.001, "millisecond": 0.001, "s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600,
        "hr": 3600, "hour": 3600, "day": 86400, "week": 604800, "month": 2629746, "year": 31556952,
    },
    "length": {
        "mm": 0.001, "millimetre": 0.001, "millimeter": 0.001, "cm": 0.01, "centimetre": 0.01, "centimeter": 0.01,
        "m": 1, "metre": 1, "meter": 1, "km": 1000, "kilometre": 1000, "kilometer": 1000, "inch": 0.0254, "ft": 0.3048,
        "foot": 0.3048, "feet": 0.3048, "mile": 1609.344,
    },
    "mass": {"mg": 0.001, "g": 1, "gram": 1, "kg": 1000, "kilogram": 1000, "tonne": 1e6, "lb": 453.592},
    "volume": {"ml": 0.001, "millilitre": 0.001, "l": 1, "litre": 1, "liter": 1, "gallon": 3.78541},
    "data": {
        "byte": 1, "kb": 1e3, "kilobyte": 1e3, "mb": 1e6, "megabyte": 1e6, "gb": 1e9, "gigabyte": 1e9, "tb": 1e12,
        "terabyte": 1e12, "kib": 1024, "mib": 1048576, "gib": 1073741824,
    },
    "pressure": {"bar": 1, "mbar": 0.001, "pa": 1e-5, "kpa": 0.01, "mpa": 10, "psi": 0.0689476},
    "temperature": {"°c": 1, "celsius": 1}, "fahrenheit": {"°f": 1, "fahrenheit": 1},
    "voltage": {"mv": 0.001, "v": 1, "volt": 1, "kv": 1000}, "current": {"ma": 0.001, "a": 1, "amp": 1, "ampere": 1},
    "power": {"mw": 0.001, "w": 1, "watt": 1, "kw": 1000}, "frequency": {"hz": 1, "khz": 1e3, "mhz": 1e6, "ghz": 1e9},
    "percent": {"%": 1, "percent": 1, "per cent": 1}, "points": {"percentage points": 1},
    "euro": {"€": 1, "eur": 1, "euro": 1}, "dollar": {"$": 1, "usd": 1, "dollar": 1},
    "sterling": {"£": 1, "gbp": 1}, "franc": {"chf": 1, "franc": 1},
}  # fmt: skip
_UNITS: Final = {name: (dimension, float(f)) for dimension, names in _DIMENSIONS.items() for name, f in names.items()}
_CASED: Final = {"MW": ("power", 1e6), "Mb": ("data_bits", 1e6), "kb": ("data", 1e3), "MPa": ("pressure", 10.0)}
_SPELLED: Final = (
    "zero . two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
"""Without "one", which is a pronoun more often than a number."""
_WORDS: Final = {word: number for number, word in enumerate(_SPELLED.split()) if word != "."} | {
    "half": 0.5, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90, "twice": 2, "dozen": 12,
}  # fmt: skip
_SCALE: Final = {"hundred": 100, "thousand": 1000, "million": 1e6, "billion": 1e9}
_MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH: Final = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATES: Final = (
    re.compile(r"\b(?P<year>\d{4})-(?P<m>\d{2})(?:-(?P<day>\d{2}))?(?![\d-])"),
    re.compile(
        rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+(?P<year>\d{{4}}))?\b", re.IGNORECASE
    ),
    re.compile(rf"\b{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?!\d)(?:,?\s+(?P<year>\d{{4}}))?\b", re.IGNORECASE),
    re.compile(rf"\b{_MONTH},?\s+(?P<year>\d{{4}})\b", re.IGNORECASE),
)
_TIME: Final = re.compile(r"\b(\d{1,2}):(\d{2})(?::\d{2})?(?:\s?([ap])\.?m\b)?", re.IGNORECASE)
_PERIOD: Final = r"(?P<period>second|minute|hour|day|week|month|quarter|year)"
_RATE: Final = re.compile(
    rf"(?:\b(?:per|each|every)\s+(?:\w+\s)?|/\s?|(?<!half )\ban?\s(?!second)){_PERIOD}\b", re.IGNORECASE
)
_RATE_WORD: Final = re.compile(r"\b(hourly|daily|weekly|monthly|quarterly|yearly|annually|nightly)\b", re.IGNORECASE)
_PERIOD_OF: Final = {"daily": "day", "nightly": "day", "annually": "year"}
_DIGITS: Final = r"\d{1,3}(?:[,\u202f\u00a0]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_UNIT_AHEAD: Final = re.compile(r"[\s-]?(?:an?\s)?(percentage points|per cent|°\s?[CF]\b|[%€$£]|[A-Za-z]+)")
_NUMBER: Final = re.compile(
    rf"(?<![\w.,])(?P<sign>[-−+](?=\d))?(?P<money>[€$£])?\s?(?P<digits>{_DIGITS})(?P<suffix>st|nd|rd|th)?"
    r"(?![\w]*[_-]?\d|\.\d|[A-Za-z]*\d)",
)
_NUMBER_WORD: Final = re.compile(rf"\b({'|'.join(_WORDS)})\b", re.IGNORECASE)
_VERSION: Final = re.compile(r"(?<![\w/.-])v(?=\d+\.\d)", re.IGNORECASE)
_RANGE: Final = re.compile(r"(?<=\d)\s?[–—-]\s?(?=[$€£]?\d)")
_TOKEN: Final = re.compile(r"(?<![\w°])/[\w./{}-]{2,80}|(?<![\w°@.-])[\w@.:-]{1,80}")
_MIXED: Final = re.compile(r"(?=[^\W\d]|\d)(?=\D*\d)(?=[\W\d_]*[^\W\d_])[\w/@.:-]+")
"""Letters and digits, as in E205 or wg3-004217."""
_PLAIN_ID: Final = re.compile(
    r"--?[a-z][\w-]*|\d+\.\d+(?:\.\d+)+|[A-Za-z]\w*_\w+|[a-z]+[A-Z]\w*|[A-Z]{2,}|[B-HJ-Z]|/[\w./{}-]{2,}|[A-Za-z_]\w*(?:\.\w+)+"
)
_AFTER_DIGIT: Final = re.compile(r"\d[\s-]?\Z")


ADVERB: Final = "adverb"
"""Amount of a rate that is said in one word, such as "monthly", which is often a mere description."""


def values_of(text: str) -> tuple[Value, ...]:
    """Every value of the text in order; dates are taken out before numbers are looked for."""
    found: list[tuple[int, Value]] = []
    rest = text
    for pattern in _DATES:
        for match in pattern.finditer(rest):
            found.append((match.start(), _date(match)))
        rest = pattern.sub(lambda match: " " * len(match.group()), rest)
    for match in _TIME.finditer(rest):
        found.append((match.start(), _time(match)))
    rest = _TIME.sub(lambda match: " " * len(match.group()), rest)
    for match in _RATE.finditer(rest):
        found.append((match.start(), Value(ValueKind.RATE, match["period"].lower(), "rate")))
    for match in _RATE_WORD.finditer(rest):
        word = match[1].lower()
        found.append(
            (match.start(), Value(ValueKind.RATE, _PERIOD_OF.get(word, word.removesuffix("ly")), "rate", ADVERB))
        )
    rest = _VERSION.sub(" ", rest)
    rest = _RANGE.sub(lambda match: "~".center(len(match.group())) if len(match.group()) > 1 else "~", rest)
    identifiers = list(_identifiers(rest))
    found += identifiers
    for start, value in identifiers:
        rest = rest[:start] + "§" * len(value.key) + rest[start + len(value.key) :]
    found += _numbers(rest.replace("~", " "))
    return tuple(value for _, value in sorted(found, key=lambda pair: pair[0]))


def _date(match: re.Match[str]) -> Value:
    groups = match.groupdict()
    month = groups.get("m") or f"{_MONTHS.index(groups['month'].lower()) + 1:02}"
    day, year = groups.get("day") or "", groups.get("year") or ""
    return Value(ValueKind.DATE, f"{year}-{month}-{day.zfill(2) if day else ''}", "date")


def _time(match: re.Match[str]) -> Value:
    hour = int(match[1]) % 24
    if match[3]:
        hour = hour % 12 + (12 if match[3].lower() == "p" else 0)
    return Value(ValueKind.TIME, f"{hour:02}:{match[2]}", "time of day")


def _identifiers(text: str) -> Iterator[tuple[int, Value]]:
    for match in _TOKEN.finditer(text):
        word = match.group().rstrip(".:,-/")
        if not (_PLAIN_ID.fullmatch(word) or _MIXED.fullmatch(word)):
            continue
        if _unit(word) is not None and _AFTER_DIGIT.search(text, 0, match.start()):
            continue
        if _attached_unit(word) is not None or re.fullmatch(r"\d+(?:st|nd|rd|th|s)", word):
            continue
        family = re.sub(r"[a-z]+", "a", re.sub(r"\d+", "9", word.casefold()))
        yield match.start(), Value(ValueKind.IDENTIFIER, word.casefold(), family)


def _attached_unit(word: str) -> tuple[str, float] | None:
    match = re.fullmatch(r"(?:\d[\d.,]*)-?([A-Za-z%°]+)", word)
    return _unit(match[1]) if match else None


def _unit(word: str) -> tuple[str, float] | None:
    if word in _CASED:
        return _CASED[word]
    folded = " ".join(word.casefold().replace("° ", "°").split())
    return _UNITS.get(folded) or (_UNITS.get(folded.removesuffix("s")) if len(folded) > 2 else None)


def _numbers(text: str) -> Iterator[tuple[int, Value]]:
    matches = [
        (m.start(), m.end(), float(re.sub(r"[,\u202f\u00a0]", "", m["digits"])), m) for m in _NUMBER.finditer(text)
    ]
    spelled = [(m.start(), m.end(), float(_WORDS[m[1].lower()]), None) for m in _NUMBER_WORD.finditer(text)]
    found: list[tuple[int, float, tuple[str, float] | None, str]] = []
    for start, end, amount, match in sorted([*matches, *spelled], key=lambda each: each[0]):
        unit = _unit(match["money"]) if match and match["money"] else None
        negative = match is not None and (match["sign"] or "") in ("-", "−") and match["sign"] != ""
        if (scale := re.match(r"\s(hundred|thousand|million|billion)\b", text[end:], re.IGNORECASE)) is not None:
            amount *= _SCALE[scale[1].lower()]
            end += scale.end()
        ahead = _UNIT_AHEAD.match(text, end)
        unit = unit or (_unit(ahead[1]) if ahead else None)
        written = match["digits"] if match else ""
        found.append((start, -amount if negative else amount, unit, written))
    for index, (start, amount, unit, written) in enumerate(found):
        if unit is None and index + 1 < len(found):
            # "10 to 20 seconds", "2, 5 or 10 days": the unit stands behind the last.
            following = found[index + 1]
            if re.fullmatch(r"[\d.,]+\s*(?:,|to|and|or|through)?\s*", text[start : following[0]]):
                unit = following[2]
        yield start, _value(amount, unit, written)


def _value(amount: float, unit: tuple[str, float] | None, written: str) -> Value:
    plain = f"{amount:.9g}"
    if unit is None:
        # 3.10 and 3.1 are one number but two versions: where both could be meant, what is written decides.
        return Value(ValueKind.NUMBER, written.replace(",", "") if "." in written else plain, "number", plain)
    dimension, factor = unit
    return Value(ValueKind.QUANTITY, f"{amount * factor:.6g} {dimension}", dimension, plain)


def agrees(claimed: Value, known: Value) -> bool:
    """Whether a source that says ``known`` says ``claimed``. A bare number agrees with any unit, for tables put units
    into their heads; a date without its year or day with the full one."""
    if claimed.kind is known.kind:
        if claimed.kind is ValueKind.DATE:
            pairs = zip(claimed.key.split("-"), known.key.split("-"), strict=True)
            return all(not ours or not theirs or ours == theirs for ours, theirs in pairs)
        return claimed.key == known.key
    kinds = {claimed.kind, known.kind}
    if kinds == {ValueKind.NUMBER, ValueKind.QUANTITY}:
        return claimed.amount == known.amount
    if kinds == {ValueKind.NUMBER, ValueKind.DATE}:
        number, date = (claimed, known) if claimed.kind is ValueKind.NUMBER else (known, claimed)
        return number.key in (date.key.split("-")[0], date.key.split("-")[2].lstrip("0"))
    return False


def rivals(missing: Value, known: Value) -> bool:
    """Whether ``known`` may stand in the source where ``missing`` stands in the claim."""
    numeric = {ValueKind.NUMBER, ValueKind.QUANTITY}
    if missing.kind in numeric and known.kind in numeric:
        return missing.family == known.family or ValueKind.NUMBER in (missing.kind, known.kind)
    return missing.kind is known.kind and missing.family == known.family
