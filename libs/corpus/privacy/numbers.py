"""Check digits and number ranges: what tells an account number from any other long number."""

from __future__ import annotations

import re
from typing import Final

_NOT_DIGIT: Final = re.compile(r"\D", re.ASCII)
_NOT_LETTER_OR_DIGIT: Final = re.compile(r"[^A-Z\d]", re.ASCII)

_CARD_RANGES: Final = (
    # First digits and lengths of the networks' numbers, ISO/IEC 7812 as its issuers publish them.
    (re.compile(r"4"), frozenset({13, 16, 19})),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), frozenset({16})),
    (re.compile(r"3[47]"), frozenset({15})),
    (re.compile(r"6011|64[4-9]|65"), frozenset(range(16, 20))),
    (re.compile(r"35"), frozenset(range(16, 20))),
    (re.compile(r"2131|1800"), frozenset({15})),
    (re.compile(r"30[0-5]|3095|36|3[89]"), frozenset(range(14, 20))),
    (re.compile(r"62|81"), frozenset(range(16, 20))),
    (re.compile(r"5[06-8]|6304|6390|6759|676[1-3]"), frozenset(range(12, 20))),
)

_SHORT_NETWORKS: Final = re.compile(r"3[47]|30[0-5]|3095|36|3[89]")

_IBAN_LENGTHS: Final = {
    # Length of an account number by country, from the registry of ISO 13616.
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE", "BI"), 16),
    **dict.fromkeys(("DK", "FO", "FI", "FK", "GL", "NL", "SD"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "XK", "MN"), 20),
    **dict.fromkeys(("HR", "LV", "LI", "CH"), 21),
    **dict.fromkeys(("BH", "BG", "CR", "GE", "DE", "IE", "ME", "RS", "GB", "VA"), 22),
    **dict.fromkeys(("TL", "GI", "IQ", "IL", "OM", "SO", "AE"), 23),
    **dict.fromkeys(("AD", "CZ", "MD", "PK", "RO", "SA", "SK", "ES", "SE", "TN", "VG"), 24),
    **dict.fromkeys(("LY", "PT", "ST"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("BF", "CM", "CG", "FR", "GR", "IT", "MC", "MR", "SM", "DJ"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "EG", "GT", "HU", "LB", "NI", "PL", "SV"), 28),
    **dict.fromkeys(("BR", "PS", "QA", "UA", "YE"), 29),
    **dict.fromkeys(("JO", "KW", "MU"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    "LC": 32,
    "RU": 33,
}


def digits_of(text: str) -> str:
    """The ASCII digits of ``text``."""
    return _NOT_DIGIT.sub("", text)


def is_of_a_network(text: str) -> bool:
    """Whether a payment network's card numbers begin so and are as long."""
    digits = digits_of(text)
    return any(start.match(digits) and len(digits) in lengths for start, lengths in _CARD_RANGES)


def is_of_a_short_network(text: str) -> bool:
    """Whether it is one of the networks that give out fewer than 16 digits and nothing else: American Express and
    Diners Club."""
    digits = digits_of(text)
    return _SHORT_NETWORKS.match(digits) is not None and is_of_a_network(digits)


def is_luhn(text: str) -> bool:
    """Whether the last digit is the check digit of those before it (ISO/IEC 7812-1, annex B)."""
    digits = digits_of(text)
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def iban_length(text: str) -> int | None:
    """Characters of an account number that begins so; None for a country without them."""
    return _IBAN_LENGTHS.get(text[:2].upper())


def is_iban(text: str) -> bool:
    """Whether it is an international bank account number: its country's length, and 1 modulo 97 (ISO 7064)."""
    compact = _NOT_LETTER_OR_DIGIT.sub("", text.upper())
    if len(compact) != iban_length(compact):
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def is_ssn(text: str) -> bool:
    """Whether the nine digits may be a social security number, or the taxpayer number that stands in for one: no part
    is all zeros, and area 666 was never given out."""
    digits = digits_of(text)
    return len(digits) == 9 and digits[:3] not in ("000", "666") and digits[3:5] != "00" and digits[5:] != "0000"
