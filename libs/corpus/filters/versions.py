"""One total order over version strings, as sort keys that compare byte for byte.

Where PEP 440 can read a version (``packaging.version``), the order is PEP 440's: "2.10" after "2.9", "2.0rc1" before
"2.0", "v1.0" equal to "1.0.0". Everything else that starts with a number keeps that number as its release and gets
the rest in natural order: a SemVer pre-release ("1.2.3-alpha.beta", SemVer 2.0.0 §11) before its release, any other
suffix ("1.1.1w") after it. Strings that start with something else ("RFC-7519") sort after all of those, in natural
order.
"""

from __future__ import annotations

import re
from functools import lru_cache

from packaging.version import InvalidVersion, Version

MAX_VERSION_LENGTH = 128
"""Longer values are no versions; the bound keeps sort keys short enough for every engine's term limit."""

_RELEASE = re.compile(r"\s*[vV]?(\d+(?:\.\d+)*)(.*)", re.DOTALL | re.ASCII)
_SEMVER_PRE_RELEASE = re.compile(r"-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)(?:\+.*)?\s*", re.ASCII)
_RUN = re.compile(r"[0-9]+|[^\W\d_]+")
_SAME_PRE_RELEASE = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}


@lru_cache(maxsize=65_536)
def version_key(version: str) -> str:
    """Sort key of a version: ``version_key(a) < version_key(b)`` exactly if a is older than b, equal for equal
    versions.

    Never fails. Keys hold printable characters and what the version itself holds.
    """
    try:
        return _pep440_key(Version(version))
    except InvalidVersion:
        return _natural_key(version)


def _pep440_key(version: Version) -> str:
    # The slots in the order in which PEP 440 compares them; a development release of the bare release comes before
    # everything else.
    if version.pre is not None:
        letter, number = version.pre
        phase = f"1{_text(letter)}{_number(str(number))}!"
    elif version.post is None and version.dev is not None:
        phase = "0"
    else:
        phase = "9"
    post = "0" if version.post is None else f"1{_number(str(version.post))}"
    dev = "9" if version.dev is None else f"0{_number(str(version.dev))}"
    local = "0" if version.local is None else f"1{_local(version.local)}!"
    return _release_key(version.epoch, version.release) + phase + post + dev + local


def _release_key(epoch: int, release: tuple[int, ...]) -> str:
    significant = list(release)
    while significant and significant[-1] == 0:
        significant.pop()
    # "!" sorts before every digit, so a release sorts before those that extend it.
    return "0" + _number(str(epoch)) + "".join(_number(str(part)) for part in significant) + "!"


def _local(local: str) -> str:
    return "".join(f"1{_number(part)}" if part.isdigit() else f"0{_text(part)}" for part in local.split("."))


def _natural_key(version: str) -> str:
    match = _RELEASE.match(version)
    # The string itself comes last, so that two different strings never count as the same version.
    if match is None:
        return f"1{_runs(version)}! {version}"
    release = _release_key(0, tuple(int(part) for part in match[1].split(".")))
    pre_release = _SEMVER_PRE_RELEASE.fullmatch(match[2])
    if pre_release is not None:
        return f"{release}1{_runs(pre_release[1])}! {version}"
    return f"{release}92{_runs(match[2])}! {version}"


def _runs(text: str) -> str:
    """Runs of digits compare as numbers and before runs of letters; everything between runs only separates."""
    return "".join(_number(run) if run.isdigit() else _text(run) for run in _RUN.findall(text.lower()))


def _number(digits: str) -> str:
    significant = digits.lstrip("0")
    # The length in front makes longer numbers greater. Two hexadecimal digits hold every length that a version can
    # have.
    return f"0{len(significant):02x}{significant}"


def _text(letters: str) -> str:
    # "!" ends the text below every letter, so that a prefix sorts first. The leading "1" puts text after numbers.
    return f"1{_SAME_PRE_RELEASE.get(letters, letters)}!"
