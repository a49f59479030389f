"""Finds personal data in text by rules: form, check digits, and the words around it.

Names of people and places are not looked for: they need a language model, and a wrong guess would take words out of
documents that are about something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from ipaddress import ip_address
from typing import Final

from corpus.privacy.entities import ALL_KINDS, Entity, EntityKind
from corpus.privacy.numbers import iban_length, is_iban, is_luhn, is_of_a_network, is_ssn
from corpus.privacy.phones import find_phones
from corpus.privacy.secrets import find_secrets

_EMAIL: Final = re.compile(
    r"(?<![\w.+\-])[\w.!#$%&*+/=?^{|}~\-][\w.!#$%&'*+/=?^{|}~\-]{0,63}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,24}(?![\w@])"
    r"|(?<![\w.+\-])[\w.+\-]{1,64}\s?[\[({]\s?at\s?[\])}]\s?[\w-]+(?:\s?(?:[\[({]\s?dot\s?[\])}]|\.)\s?[\w-]+)+",
    re.IGNORECASE,
)
_AT: Final = re.compile(r"[\[({]\s?at\s?[\])}]", re.IGNORECASE)
_CARD: Final = re.compile(r"(?<![\w+.,-])\d{4}(?:[ -]?\d){8,15}(?![\w]|[.,-]\d)")
_CARD_SAID: Final = re.compile(r"\b(?:cards?|cc|credit|debit|visa|master\s?card|maestro|amex|karte|carte)\b", re.I)
_CONTEXT_CHARACTERS: Final = 48
_IBAN: Final = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ -]?[A-Z\d]){11,30}", re.IGNORECASE)
_SSN: Final = re.compile(r"(?<![\w.\-/])\d{3}-\d{2}-\d{4}(?![\w]|[.\-/]\d)")
_SSN_SAID: Final = re.compile(
    r"\b(?:ssn|social security(?: (?:number|no\.?|#))?|tax(?:payer)? id(?:entification)?)\b\D{0,20}?"
    r"(?P<number>\d{3}[ .]?\d{2}[ .]?\d{4})(?![\w]|[.\-/]\d)",
    re.IGNORECASE,
)
_IPV4: Final = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6: Final = re.compile(
    r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])", re.I
)
_IS_VERSION: Final = re.compile(r"\b(?:version|release|build|firmware|chapter|section|oid)\s*[:=]?\s*$", re.IGNORECASE)
_LEAST_IPV6_GROUPS: Final = 3
"""Of fewer groups are times, ratios and the scopes of programming languages."""

Spans = Iterator[tuple[int, int]]


def find_entities(text: str, kinds: Collection[EntityKind] = ALL_KINDS) -> tuple[Entity, ...]:
    """Personal data of the kinds, in order; no two overlap. Pure, deterministic; linear in the length of the text but
    for text made to be slow, which is bounded by the patterns' own limits."""
    taken: list[Entity] = []
    # What check digits prove goes first: a telephone number may look like a piece of a card's.
    for kind, find in _FINDERS:
        if kind in kinds:
            found = (Entity(kind, start, end) for start, end in find(text))
            taken.extend(entity for entity in found if not any(_overlap(entity, other) for other in taken))
    return tuple(sorted(taken, key=lambda entity: entity.start))


def _overlap(one: Entity, other: Entity) -> bool:
    return one.start < other.end and other.start < one.end


def _emails(text: str) -> Spans:
    if "@" in text or _AT.search(text):
        yield from (match.span() for match in _EMAIL.finditer(text))


def _ibans(text: str) -> Spans:
    for match in _IBAN.finditer(text):
        length = iban_length(match.group())
        end = _end_of(match.group(), length) if length else None
        if end is None or not is_iban(match.group()[:end]):
            continue
        if not text[match.start() + end : match.start() + end + 1].isalnum():
            yield match.start(), match.start() + end


def _end_of(text: str, characters: int) -> int | None:
    """Where the first ``characters`` letters and digits of ``text`` end."""
    seen = 0
    for index, character in enumerate(text):
        seen += character.isalnum()
        if seen == characters:
            return index + 1
    return None


def _cards(text: str) -> Spans:
    """Numbers with the check digit, of a network that is known or where a card is spoken of: there are more networks
    than any list."""
    for match in _CARD.finditer(text):
        if is_luhn(match.group()) and (is_of_a_network(match.group()) or _is_said_to_be_a_card(text, match)):
            yield match.span()


def _is_said_to_be_a_card(text: str, match: re.Match[str]) -> bool:
    around = text[max(0, match.start() - _CONTEXT_CHARACTERS) : match.end() + _CONTEXT_CHARACTERS]
    return _CARD_SAID.search(around) is not None


def _ssns(text: str) -> Spans:
    yield from (match.span() for match in _SSN.finditer(text) if is_ssn(match.group()))
    folded = text.lower()
    if "ssn" in folded or "social security" in folded or "tax" in folded:
        yield from (match.span("number") for match in _SSN_SAID.finditer(text) if is_ssn(match["number"]))


def _ips(text: str) -> Spans:
    for match in _IPV4.finditer(text):
        if _is_address(match.group()) and not _IS_VERSION.search(text[max(0, match.start() - 16) : match.start()]):
            yield match.span()
    for match in _IPV6.finditer(text):
        groups = [group for group in match.group().split(":") if group]
        if len(groups) >= _LEAST_IPV6_GROUPS and _is_address(match.group()):
            yield match.span()


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
    (EntityKind.CARD, _cards),
    (EntityKind.SSN, _ssns),
    (EntityKind.IP, _ips),
    (EntityKind.PHONE, find_phones),
)
