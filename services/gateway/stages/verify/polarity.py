"""Whether a sentence and its source say the opposite of each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from gateway.ports import TermAnalyser

_NEGATOR: Final = re.compile(
    r"\b(?:not|no|never|without|cannot|neither|nor|none|nobody|nothing|nowhere|hardly|isn't|aren't|wasn't|weren't"
    r"|don't|doesn't|didn't|can't|couldn't|won't|wouldn't|shouldn't|mustn't|needn't|hasn't|haven't|hadn't"
    r"|fails? to|failed to|unable to|instead of|rather than|nicht|kein\w*|nie|ohne)\b"
    r"(?:\s+(?:claims?|says?|believes?|means?|mean|true|the case|sure)\s+that\b)?",
    re.IGNORECASE,
)
_HARMLESS: Final = re.compile(
    r"\b(?:not only|no (?:later|more|less|fewer|longer) than|no matter|whether or not|not until|not just)\b",
    re.IGNORECASE,
)
_CLAUSE: Final = re.compile(
    r"[,;:—()]|\s–\s|\b(?:but|although|though|whereas|while|because|if|unless|when|so that)\b", re.IGNORECASE
)
_REACH: Final = 2
"""Terms behind a negator that it is taken to speak of, within its clause."""
_ABOUT: Final = 0.5
_ROUNDABOUT: Final = re.compile(
    r"\bun\w{3,}(?:able|ed)\b|\b(?:exceeds?|exceeded|at most|up to|maximum|beyond|refus\w+|reject\w+|prevent\w*"
    r"|except|apart from|otherwise|unless|only|lack\w*|fail\w*|los[et]\w*|lost|forb[ia]d\w*|free of|missing|remains?"
    r"|avoid\w*)\b",
    re.IGNORECASE,
)
"""Words that deny without a negator."""
_OPPOSITES: Final = tuple(
    (re.compile(rf"\b(?:{one})\b", re.IGNORECASE), re.compile(rf"\b(?:{other})\b", re.IGNORECASE))
    for one, other in (
        (r"enabl(?:e|es|ed|ing)", r"disabl(?:e|es|ed|ing)"),
        (r"allow(?:s|ed)?|permit(?:s|ted)?", r"forbid(?:s|den)?|prohibit(?:s|ed)?|den(?:y|ies|ied)"),
        (r"required|mandatory|must|compulsory", r"optional|voluntary"),
        (r"before", r"after"),
        (r"above|over|exceeds?", r"below|under"),
        (r"minimum|at least", r"maximum|at most|up to"),
        (r"more than", r"less than|fewer than"),
        (r"increas(?:e|es|ed|ing)|rais(?:e|es|ed)|rises?", r"(?:decreas|reduc)(?:e|es|ed|ing)|lower(?:s|ed)?|falls?"),
        (r"higher|larger|greater|faster|longer", r"lower|smaller|slower|shorter"),
        (r"always", r"never"),
        (r"includ(?:e|es|ed|ing)", r"exclud(?:e|es|ed|ing)"),
        (r"accept(?:s|ed)?", r"reject(?:s|ed)?|refus(?:e|es|ed)"),
        (r"internal(?:ly)?", r"external(?:ly)?"),
        (r"supported|works", r"unsupported"),
        (r"possible", r"impossible"),
        (r"valid", r"invalid"),
        (r"online", r"offline"),
        (r"open(?:s|ed)?", r"clos(?:e|es|ed)"),
        (r"start(?:s|ed)?|begins?", r"stop(?:s|ped)?|ends?"),
        (r"with", r"without"),
        (r"all|every", r"none"),
        (r"encrypted", r"unencrypted"),
        (r"safe", r"unsafe|dangerous"),
    )
)  # fmt: skip
_CLOSED: Final = tuple(
    re.compile(rf"\b(?:{words})\b", re.IGNORECASE)
    for words in (
        "red|green|blue|yellow|amber|orange|white|black|grey|gray|purple|brown|pink",
        "mondays?|tuesdays?|wednesdays?|thursdays?|fridays?|saturdays?|sundays?",
        "january|february|march|april|june|july|august|september|october|november|december",
        "spring|summer|autumn|winter",
        "north|south|east|west",
        "left|right",
        "top|bottom",
        "first|last",
        "hourly|daily|weekly|fortnightly|monthly|quarterly|yearly|annually",
        "low|medium|high",
    )
)
"""Words of which one holds: another one in its place says something else."""


def denials(text: str, analyse: TermAnalyser) -> tuple[frozenset[str], ...]:
    """For each negator of the text, the terms within its reach, in the clause of it."""
    found = []
    plain = _HARMLESS.sub(" ", text.replace("’", "'"))
    for clause in _CLAUSE.split(plain):
        for negator in _NEGATOR.finditer(clause):
            behind = list(analyse(clause[negator.end() :]))[:_REACH]
            # "Filters are not." has nothing behind: what it denies stands before.
            found.append(frozenset(behind or list(analyse(clause[: negator.start()]))[-_REACH:]))
    return tuple(denied for denied in found if denied)


class Polarity(StrEnum):
    """How two texts about the same stand to each other; UNSURE where one of them denies in a roundabout way."""

    SAME = "same"
    UNSURE = "unsure"
    OPPOSITE = "opposite"


def polarity(
    claim: str, source: str, claim_terms: frozenset[str], source_terms: frozenset[str], analyse: TermAnalyser
) -> Polarity:
    """Whether one of the two denies what the other says of the same terms, or says the opposite word."""
    ours, theirs = _shared(claim, source_terms, analyse), _shared(source, claim_terms, analyse)
    if (ours or theirs) and ours.isdisjoint(theirs):
        silent = source if ours else claim
        return Polarity.UNSURE if _ROUNDABOUT.search(silent) else Polarity.OPPOSITE
    if any(_opposed(claim, source, pair) for pair in _OPPOSITES) or any(
        _other_of(claim, source, words) for words in _CLOSED
    ):
        return Polarity.OPPOSITE
    return Polarity.SAME


def _shared(text: str, terms: frozenset[str], analyse: TermAnalyser) -> frozenset[str]:
    """Denied terms of the text that the other text has too; a denial of mostly other things is not about it."""
    found: frozenset[str] = frozenset()
    for denied in denials(text, analyse):
        if len(denied & terms) > _ABOUT * len(denied):
            found |= denied & terms
    return found


def _other_of(claim: str, source: str, words: re.Pattern[str]) -> bool:
    said = {word.casefold() for word in words.findall(claim)}
    known = {word.casefold() for word in words.findall(source)}
    return bool(said - known) and bool(known - said)


def _opposed(claim: str, source: str, pair: Sequence[re.Pattern[str]]) -> bool:
    said = [word.search(claim) is not None for word in pair]
    known = [word.search(source) is not None for word in pair]
    return said != known and sum(said) == 1 and sum(known) == 1
