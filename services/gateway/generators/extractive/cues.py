"""What kind of answer a question asks for, read off its words, and whether a unit offers it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from gateway.generators.extractive.units import UnitKind


class AnswerKind(StrEnum):
    """What a question asks for."""

    NUMBER = "number"
    DATE = "date"
    NAME = "name"
    STEPS = "steps"
    REASON = "reason"
    OTHER = "other"


_QUESTION_CUES: Final = (
    (
        AnswerKind.NUMBER,
        re.compile(
            r"\bhow (many|much|long|often|old|far|large|big|high|deep|fast|hot|cold|wide|heavy|late|soon|quickly)\b"
            r"|\b(what|which) (is the )?(number|percentage|share|price|cost|limit|maximum|minimum|size|rate|port|"
            r"temperature|amount|interval|version|address|register)\b",
            re.IGNORECASE,
        ),
    ),
    (AnswerKind.DATE, re.compile(r"\bwhen\b|\b(what|which) (date|day|year|month|time)\b", re.IGNORECASE)),
    (AnswerKind.NAME, re.compile(r"\b(who|whom|whose|where)\b|\b(what|which) (person|company|team|city)\b", re.I)),
    (
        AnswerKind.STEPS,
        re.compile(
            r"\bhow (do|does|can|should|could|would|to|must)\b|\bwhat (are the steps|should (i|we) do)\b|\bsteps\b",
            re.IGNORECASE,
        ),
    ),
    (AnswerKind.REASON, re.compile(r"\bwhy\b|\bwhat (causes?|caused|is the reason)\b|\bhow come\b", re.IGNORECASE)),
)
_NUMBER: Final = re.compile(
    r"\d|\b(zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|"
    r"thousand|million|once|twice|half|never|always|daily|weekly|monthly|yearly)\b",
    re.IGNORECASE,
)
_DATE: Final = re.compile(
    r"\b(1[89]|20)\d\d\b|\d{1,2}:\d\d|\b(january|february|march|april|may|june|july|august|september|october|"
    r"november|december|after|before|until|within|once|every|first|as soon as)\b",
    re.IGNORECASE,
)
# A capital inside the sentence: the first word says nothing.
_NAME: Final = re.compile(r"(?<=\S\s)[A-Z][\w-]+|@")
_REASON: Final = re.compile(
    r"\b(because|since|so that|due to|caused?|reason|therefore|otherwise|leads? to|means)\b", re.IGNORECASE
)
_IMPERATIVE: Final = re.compile(
    r"^(please |then |first,? |now )?(add|allow|announce|call|change|check|choose|clean|click|close|connect|copy|"
    r"create|delete|download|enter|find|give|go|hold|install|keep|leave|make|measure|mount|move|open|order|press|pull|"
    r"push|put|read|reload|remove|replace|request|reset|restart|rinse|run|select|send|set|stand|start|stop|switch|take|"
    r"tell|tighten|turn|type|"
    r"unplug|update|use|wait|watch|write)\b",
    re.IGNORECASE,
)
_COMMAND: Final = re.compile(r"^\s*(\$ )?[a-z][\w.-]+ (-{1,2}\w|\w+ )")


def kind_of(question: str) -> AnswerKind:
    """What the question asks for; the first cue that matches decides."""
    return next((kind for kind, cue in _QUESTION_CUES if cue.search(question)), AnswerKind.OTHER)


def is_imperative(sentence: str) -> bool:
    """Whether a sentence tells somebody what to do."""
    return _IMPERATIVE.match(sentence) is not None


def offers(kind: AnswerKind, unit_text: str, unit_kind: UnitKind, question: str) -> float:
    """0 to 1: how well a unit's form suits the kind of answer; 0.5 where the question asks for nothing in
    particular."""
    match kind:
        case AnswerKind.NUMBER:
            return float(_new_match(_NUMBER, unit_text, question))
        case AnswerKind.DATE:
            return float(_DATE.search(unit_text) is not None)
        case AnswerKind.NAME:
            return float(_new_match(_NAME, unit_text, question))
        case AnswerKind.STEPS:
            if unit_kind is UnitKind.ITEM or _IMPERATIVE.match(unit_text):
                return 1.0
            return 0.8 if unit_kind is UnitKind.CODE or _COMMAND.match(unit_text) else 0.3
        case AnswerKind.REASON:
            return 1.0 if _REASON.search(unit_text) else 0.3
        case AnswerKind.OTHER:
            return 0.5


def _new_match(pattern: re.Pattern[str], text: str, question: str) -> bool:
    """Whether the text has a match that the question does not hold already: "3" is no news to "what is new in
    firmware 3"."""
    asked = question.lower()
    return any(_word_at(text, match.start()).lower() not in asked for match in pattern.finditer(text))


def _word_at(text: str, position: int) -> str:
    start = position
    while start > 0 and not text[start - 1].isspace():
        start -= 1
    end = position
    while end < len(text) and not text[end].isspace():
        end += 1
    return text[start:end].strip(".,;:!?()\"'")
