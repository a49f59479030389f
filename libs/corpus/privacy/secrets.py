"""Credentials in text: keys and tokens whose form gives them away, and what is said to be one."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

_FORMS: Final = tuple(
    # What must be somewhere in the text is looked for first, which is a hundred times faster than the pattern.
    (needles, re.compile(pattern))
    for needles, pattern in (
        (("://",), r"(?<=://)[^\s/@:'\"<>]{1,128}:[^\s/@'\"<>]{1,128}(?=@)"),
        (("AKIA", "ASIA"), r"\bA[KS]IA[A-Z0-9]{16}\b"),
        (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
        (("github_pat_",), r"\bgithub_pat_\w{22,255}\b"),
        (("glpat-",), r"\bglpat-[\w-]{20,255}"),
        (("sk-",), r"\bsk-(?=[\w-]*\d)[A-Za-z0-9_-]{24,255}"),
        (("k_live_", "k_test_"), r"\b[rsp]k_(?:live|test)_[A-Za-z0-9]{16,255}"),
        (("xox",), r"\bxox[abposr]-[A-Za-z0-9-]{10,255}"),
        (("AIza",), r"\bAIza[\w-]{35}\b"),
        (("SG.",), r"\bSG\.[\w-]{16,255}\.[\w-]{16,255}"),
        (("eyJ",), r"\beyJ[\w-]{8,4096}\.[\w-]{8,8192}\.[\w-]{0,4096}"),
        (
            ("PRIVATE KEY-----",),
            r"-----BEGIN (?:[A-Z]{1,16} ){0,3}PRIVATE KEY-----"
            r"[^-]{1,8000}-----END (?:[A-Z]{1,16} ){0,3}PRIVATE KEY-----",
        ),
    )
)
_NAMES: Final = ("key", "token", "secret", "passw", "passphrase")
_SAID: Final = re.compile(
    r"(?:api[_\- ]?key|access[_\- ]?key|secret(?:[_\- ]?key)?|(?:access|auth|api|refresh)[_\- ]?token"
    r"|client[_\- ]secret|pass(?:word|wd|phrase))[\"']?\s{0,4}(?:[:=]|\bis\b)\s{0,4}(?:bearer\s+)?[\"']?"
    r"(?P<value>[^\s\"'`,;<>(){}\[\]|]{8,256})",
    re.IGNORECASE,
)
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
                value = match["value"].rstrip(".:!?")
                if _looks_random(value):
                    found.append((start + match.start("value"), start + match.start("value") + len(value)))
        start += len(line)
    return found


def _looks_random(value: str) -> bool:
    if len(value) < 8 or not (any(map(str.isdigit, value)) and any(map(str.isalpha, value))):
        return False
    counts = Counter(value)
    bits = -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    return bits >= _LEAST_BITS
