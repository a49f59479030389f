"""Finds personal data in text by rules: form, check digits, and the words around it.

Names of people and places are not looked for: they need a language model, and a wrong guess would take words out of
documents that are about something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from ipaddress import ip_address
from typing import Final

from corpus.privacy.alike import folded, visible
from corpus.privacy.cards import find_cards
from corpus.privacy.columns import telling_columns
from corpus.privacy.entities import ALL_KINDS, Entity, EntityKind
from corpus.privacy.numbers import iban_length, is_iban, is_ssn
from corpus.privacy.phones import find_phones
from corpus.privacy.secrets import find_secrets

_UNSPACED: Final = r"\u0e00-\u0eff\u2e80-\u2fff\u3005-\u3007\u3040-\ua4cf\uac00-\ud7ff\uf900-\ufaff"
"""Scripts written without blanks: a word before an address is no part of it."""
_SPACED: Final = r"A-Za-z0-9_\u00c0-\u0dff\u0f00-\u1fff\u2c00-\u2dff"
_HOST: Final = (
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,10}"
    # The last label ends where its script does.
    r"(?:xn--[a-z0-9-]{2,59}|[a-z\u00c0-\u0dff\u0f00-\u1fff]{2,24}(?![a-z0-9@\u00c0-\u0dff])"
    rf"|[{_UNSPACED}]{{2,24}})"
)
_EMAIL: Final = re.compile(
    rf"(?<![{_SPACED}.+\-])[{_SPACED}.!#$%&*+/=?^{{|}}~\-][{_SPACED}.!#$%&'*+/=?^{{|}}~\-]{{0,63}}@{_HOST}"
    rf"|[{_UNSPACED}]{{1,16}}@{_HOST}"
    r"|(?<![A-Za-z0-9_.+\-])[\w.+\-]{1,64}\s?[\[({]\s?at\s?[\])}]\s?"
    r"(?:[\w-]{1,63}(?:\s?[\[({]\s?dot\s?[\])}]\s?|\.)){1,8}[^\W\d_]{2,24}(?![a-z0-9@])",
    re.IGNORECASE,
)
_AT: Final = re.compile(r"[\[({]\s?at\s?[\])}]", re.IGNORECASE)
_IBAN: Final = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z\d]){11,30}", re.IGNORECASE | re.ASCII)
_SSN: Final = re.compile(r"(?<![A-Za-z0-9.\-/])\d{3}-\d{2}-\d{4}(?![A-Za-z0-9]|[.\-/]\d)", re.ASCII)
_SSN_SAID: Final = re.compile(
    r"(?<![a-z])(?:ssn|social[ _]security(?:[ _](?:number|no\.?|#))?|tax(?:payer)?[ _]id(?:entification)?)(?![a-z])"
    r"\D{0,20}?(?P<number>\d{3}[ .]?\d{2}[ .]?\d{4})(?![A-Za-z0-9]|[.\-/]\d)",
    re.IGNORECASE | re.ASCII,
)
_IPV4: Final = re.compile(r"(?<![A-Za-z0-9.])\d{1,3}(?:\.\d{1,3}){3}(?![A-Za-z0-9]|\.\d)", re.ASCII)
_IPV6: Final = re.compile(
    r"(?<![A-Za-z0-9:.])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|\d{1,3}(?:\.\d{1,3}){3})?(?![A-Za-z0-9:])",
    re.IGNORECASE | re.ASCII,
)
_IS_VERSION: Final = re.compile(
    r"(?:\b(?:versions?|releases?|builds?|firmware|chapters?|sections?|clauses?|appendix|oid)|§{1,2})\s{0,2}[:=]?\s{0,2}"
    r"(?:\d{1,5}(?:\.\d{1,5}){1,5}(?:,|\s?-| and| or| to)\s){0,2}$",
    re.IGNORECASE,
)
_IS_SECTION: Final = re.compile(r"(?:^|\n)[ #*]{0,8}$")
_HEADING: Final = re.compile(r"\.?[ \t]{1,4}[A-Z]")
_MOST_SECTIONS: Final = 30
_CONTEXT_CHARACTERS: Final = 48
_LEAST_IPV6_GROUPS: Final = 3
"""Of fewer groups are times, ratios and the scopes of programming languages."""

_NAMED: Final = frozenset({EntityKind.SECRET, EntityKind.CARD, EntityKind.SSN, EntityKind.PHONE})
"""What may be known by the name of its column alone."""

Spans = Iterator[tuple[int, int]]


def find_entities(text: str, kinds: Collection[EntityKind] = ALL_KINDS) -> tuple[Entity, ...]:
    """Personal data of the kinds, in order; no two overlap. Pure, deterministic; linear in the length of the text but
    for text made to be slow, which is bounded by the patterns' own limits."""
    found: list[Entity] = []
    taken = bytearray(len(text))
    plain = folded(text)
    seen = visible(plain)
    if seen is not None:
        for kind, start, end in _found(seen.text, kinds):
            _take(Entity(kind, *seen.span(start, end)), taken, found)
    for kind, start, end in _found(plain, kinds):
        _take(Entity(kind, start, end), taken, found)
    return tuple(sorted(found, key=lambda entity: entity.start))


def _found(text: str, kinds: Collection[EntityKind]) -> Iterator[tuple[EntityKind, int, int]]:
    # What check digits prove goes first: a telephone number may look like a piece of a card's.
    for kind, find in _FINDERS:
        if kind in kinds:
            yield from ((kind, start, end) for start, end in find(text))
    for column in telling_columns(text):
        for kind, find in _FINDERS:
            if kind in kinds and kind in _NAMED:
                yield from ((kind, start, end) for start, end in column.find(find))


def _take(entity: Entity, taken: bytearray, found: list[Entity]) -> None:
    """Notes an entity unless one lies there already; ``taken`` marks every character of those noted."""
    if taken.find(1, entity.start, entity.end) < 0:
        taken[entity.start : entity.end] = b"\1" * (entity.end - entity.start)
        found.append(entity)


def _emails(text: str) -> Spans:
    if "@" in text or _AT.search(text):
        yield from (match.span() for match in _EMAIL.finditer(text))


def _ibans(text: str) -> Spans:
    place = 0
    while (match := _IBAN.search(text, place)) is not None:
        place = match.start() + 1
        length = iban_length(match.group())
        end = _end_of(match.group(), length) if length else None
        if end is None or not is_iban(match.group()[:end]):
            continue
        end += match.start()
        behind = text[end : end + 1]
        if not (behind.isascii() and behind.isalnum()):
            yield match.start(), end
            place = end


def _end_of(text: str, characters: int) -> int | None:
    """Where the first ``characters`` letters and digits of ``text`` end."""
    seen = 0
    for index, character in enumerate(text):
        seen += character.isalnum()
        if seen == characters:
            return index + 1
    return None


def _ssns(text: str) -> Spans:
    yield from (match.span() for match in _SSN.finditer(text) if is_ssn(match.group()))
    lowered = text.lower()
    if "ssn" in lowered or "social" in lowered or "tax" in lowered:
        yield from (match.span("number") for match in _SSN_SAID.finditer(text) if is_ssn(match["number"]))


def _ips(text: str) -> Spans:
    for match in _IPV4.finditer(text):
        if _is_address(match.group()) and not _is_numbering(text, match):
            yield match.span()
    for match in _IPV6.finditer(text):
        groups = [group for group in match.group().split(":") if group]
        if len(groups) >= _LEAST_IPV6_GROUPS and _is_address(match.group()):
            yield match.span()


def _is_numbering(text: str, match: re.Match[str]) -> bool:
    """Whether the four numbers are called a version or a section's, or number a heading."""
    before = text[max(0, match.start() - _CONTEXT_CHARACTERS) : match.start()]
    if _IS_VERSION.search(before) is not None:
        return True
    small = all(0 < int(part) <= _MOST_SECTIONS for part in match.group().split("."))
    return small and _IS_SECTION.search(before) is not None and _HEADING.match(text, match.end()) is not None


def _is_address(text: str) -> bool:
    """Whether it may be somebody's: not this machine's own, nor a mask."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or text.startswith("255."))


_FINDERS: Final[tuple[tuple[EntityKind, Callable[[str], Iterator[tuple[int, int]] | list[tuple[int, int]]]], ...]] = (
    (EntityKind.SECRET, find_secrets),
    (EntityKind.EMAIL, _emails),
    (EntityKind.IBAN, _ibans),
    (EntityKind.CARD, find_cards),
    (EntityKind.SSN, _ssns),
    (EntityKind.IP, _ips),
    (EntityKind.PHONE, find_phones),
)
