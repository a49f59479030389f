"""Credentials in text: keys and tokens whose form gives them away, and what is said to be one."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

_FORMS: Final = tuple(
    # What must be somewhere in the text is looked for first, which is a hundred times faster than the pattern.
    (needles, re.compile(pattern, re.ASCII))
    for needles, pattern in (
        (("://",), r"(?<=://)[^\s/@:'\"<>\ufffc]{1,128}:[^\s/@'\"<>\ufffc]{1,128}(?=@)"),
        (("AKIA", "ASIA"), r"(?<![A-Za-z0-9])A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"),
        (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{36,4096}"),
        (("github_pat_",), r"(?<![A-Za-z0-9])github_pat_\w{22,4096}"),
        (("glpat-",), r"(?<![\w-])glpat-[\w-]{20,4096}"),
        (("sk-",), r"(?<![\w-])sk-(?=[\w-]{0,255}\d)[A-Za-z0-9_-]{24,4096}"),
        (("k_live_", "k_test_"), r"(?<![\w-])[rsp]k_(?:live|test)_[A-Za-z0-9]{16,4096}"),
        (("xox",), r"(?<![\w-])xox[abposr]-[A-Za-z0-9-]{10,4096}"),
        (("AIza",), r"(?<![\w-])AIza[\w-]{35}(?![\w-])"),
        (("SG.",), r"(?<![\w-])SG\.[\w-]{16,255}\.[\w-]{16,4096}"),
        (("eyJ",), r"(?<![\w-])eyJ[\w-]{8,4096}\.[\w-]{8,8192}\.[\w-]{0,4096}"),
        (
            ("PRIVATE KEY",),
            r"-----BEGIN (?:[A-Z]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            # The lines before the key itself may have single hyphens: how it is encrypted, what wrote it.
            r"(?:[^-\ufffc]|-(?!----)){1,32000}-----END (?:[A-Z]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----",
        ),
    )
)
_NAMES: Final = ("key", "token", "secret", "passw", "passphrase", "authorization")
_SAID: Final = re.compile(
    r"(?:(?:api[_\- ]?key|access[_\- ]?key|secret(?:[_\- ]?key)?|(?:access|auth|api|refresh)[_\- ]?token"
    r"|client[_\- ]secret|pass(?:word|wd|phrase))[\"']?\s{0,4}(?:[:=]|\bis\b)\s{0,4}(?:bearer\s{1,4})?"
    r"|authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:bearer|basic|token)\s{1,4})"
    r"(?:(?P<quote>[\"'])(?P<quoted>[^\"'`\s\ufffc]{8,4096})(?P=quote)|[\"']?(?P<value>[^\s\"'`,;<>\ufffc]{8,4096}))",
    re.IGNORECASE,
)
_CALL: Final = re.compile(r"[$%@]*\{.*|[A-Za-z_][\w.]*(?:[(\[][^()\[\]]*(?:[)\]](?:\.\w+)?)?)+")
"""A value that the program gets from elsewhere."""
_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
_LEAST_BITS: Final = 2.8
"""Shannon entropy per character; words and names of variables stay below, random keys of eight characters reach it."""


def find_secrets(text: str) -> list[tuple[int, int]]:
    """Spans of credentials, by their form."""
    found: list[tuple[int, int]] = []
    for needles, form in _FORMS:
        if any(needle in text for needle in needles):
            found += [match.span() for match in form.finditer(text)]
    found += _said_in(text)
    return found


def _said_in(text: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    start = 0
    for line in text.splitlines(keepends=True):
        folded = line.lower()
        if any(name in folded for name in _NAMES):
            for match in _SAID.finditer(line):
                found += _value_of(match, start)
        start += len(line)
    return found


def _value_of(match: re.Match[str], line: int) -> list[tuple[int, int]]:
    """The span of what is called a secret, if it looks like one; none for code that fetches it."""
    name = "quoted" if match["quoted"] else "value"
    value = match[name]
    if name == "value":
        value = value.rstrip(".:!?")
        while value and value[-1] in _CLOSING and value.count(value[-1]) > value.count(_CLOSING[value[-1]]):
            value = value[:-1].rstrip(".:!?")
        if _CALL.fullmatch(value):
            return []
    start = line + match.start(name)
    return [(start, start + len(value))] if _looks_random(value) else []


def _looks_random(value: str) -> bool:
    if len(value) < 8 or not (any(map(str.isdigit, value)) and any(map(str.isalpha, value))):
        return False
    counts = Counter(value)
    bits = -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    return bits >= _LEAST_BITS
