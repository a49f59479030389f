"""A follow-up question, rewritten with the words of earlier turns so that it stands alone.

Two forms are known. *Ellipsis* ("And with firmware 2.3?"): the earlier question, with what is new in the place of what
it replaces. *Pointing* ("How long does its battery last?"): the pronoun gives way to what the earlier question was
about. A question that names what it is about is left as it is, and so is one where that is in doubt: a pronoun that may
stand for something in the same question, or for nothing ("Is it possible to …"). Every word comes from what the caller
sent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.plan import Plan, Turn
from gateway.ports import UnderstandingRequest
from gateway.stages.understand import cues
from gateway.stages.understand.classify import classify
from gateway.stages.understand.words import (
    FUNCTION_WORDS,
    MAX_RULED_CHARACTERS,
    VAGUE_WORDS,
    fold,
    is_ruled,
    is_specific,
    telling_words,
    words_of,
)

_DEEP: Final = 6
"""Earlier turns that are looked at."""
_MOST_WORDS: Final = 4
"""A follow-up of pure ellipsis has few words of its own."""

_ELLIPSIS: Final = re.compile(
    r"^(?:and|what about|how about|und|was ist mit|et|qu'en est-il d[eu']|y|e|what if it is|or|oder|same for|also)\b"
    r"(?![-'’/.])[ ,]*(?P<rest>.*)$",
    re.IGNORECASE | re.DOTALL,
)
_QUESTION_START: Final = re.compile(
    r"^(?:what|which|who|whom|whose|how|when|where|why|is|are|does|do|can|could|did|was|were|will|should|wer|wie|wann|wo|"
    r"warum|welche[rsn]?|was|ist|kann|qui|quel(?:le)?s?|quand|comment|où|pourquoi|est-ce|quién|qué|cuál|cuándo|cómo|"
    r"dónde|chi|cosa|quale|quando|come|dove)\b",
    re.IGNORECASE,
)
_BARE: Final = re.compile(
    r"^(?:why|why not|how so|how|when|since when|until when|where|who|how much|how long|how often|warum|wieso|wann|"
    r"bis wann|seit wann|wie lange|wo|wer|pourquoi|quand|jusqu'à quand|où|por qué|cuándo|hasta cuándo|dónde|perché)"
    r"\W*$",
    re.IGNORECASE,
)
_ORDER: Final = re.compile(
    r"^(?:please )?(?:list|show|explain|describe|give|tell|reset|compare|find|summari[sz]e|name|define|translate|open|"
    r"close|check|create|delete|write|send)\b",
    re.IGNORECASE,
)
"""A question that stands alone as well, though no question word says so."""
_PREPOSITION: Final = re.compile(
    r"^(?:in|on|at|for|from|with|without|by|under|over|after|before|during|since|until|within|per|für|bei|mit|ohne|im|am|"
    r"nach|vor|seit|ab|bis|pour|avec|sans|dans|en|chez|depuis|para|con|sin|desde|nel|nella|senza|dal|da)\b",
    re.IGNORECASE,
)
_POSSESSIVE: Final = re.compile(r"(?<![\w'’-])(?:its|their|his|her|ihre[rnms]?|seine[rnms]?)\b(?!-)", re.IGNORECASE)
_PRONOUN: Final = re.compile(
    r"(?<![\w'’-])(?:do that|do this|do it|do so|it|they|them|that one|this one|that|this|those|these|he|she|him"
    r"|sie|ihn|ihm|dies|das(?=\W*$)|elle|ils|elles|cela|ça)\b(?!-)",
    re.IGNORECASE,
)
"""Without what is an article, a copula or stands for nothing as often: es, il, and das but at the end."""
_POLITE: Final = frozenset(("sie", "ihre", "ihrer", "ihren", "ihrem", "ihres"))
_PLURAL: Final = frozenset(("they", "them", "their", "those", "these"))
_DEMONSTRATIVE: Final = frozenset(("that", "this", "these", "those", "dies"))
_COPULA: Final = re.compile(r"\b(?:is|was|isn['’]t|wasn['’]t)\W*$", re.IGNORECASE)
_JUDGED: Final = r" (?:not )?(?:\w+ly )?\w+,? (?:to|that|if|whether|when|how|for\b.* to)\b"
_EXPLETIVE_ASKED: Final = re.compile(f"^{_JUDGED}", re.IGNORECASE)
_EXPLETIVE: Final = re.compile(
    rf"^(?:['’]s| is| was| will be| would be){_JUDGED}|^ (?:comes|came) to\b"
    r"|^ (?:takes?|took|costs?|means?|matters?|makes? sense)\b.* (?:to|if|when|that|for|until|before)\b",
    re.IGNORECASE,
)
"""Behind an "it" that stands for nothing: "(is it) possible to …", "(does it) take to …", "(when it) comes to"."""
_SUBORDINATE: Final = re.compile(
    r"\b(?:if|when|once|because|while|until|whether|that|unless|after|before|as|since|where|which|who|and|or|but"
    r"|wenn|weil|ob|dass|sobald|si|quand|parce que)\W*$",
    re.IGNORECASE,
)
_DETERMINED: Final = re.compile(
    r"\b(?:the|a|an|my|our|your|each|one|every|der|die|das|den|dem|des|ein|eine|einen|meine?|la|le|les|l'|un|une|el|los|"
    r"las|una|il|lo|gli)\s+(?P<noun>[^,;:?!.]+)",
    re.IGNORECASE,
)
_NOUN_WORDS: Final = 4
_NAMES_FIRST: Final = re.compile(r"^(?: (?:[^\W\d_]*\d[\w.-]*|[A-Z][\w-]*))+")
"""Names that follow a name are part of it: "F4" of "Rill F4"."""
_ACTION: Final = re.compile(
    r"\b(?:how (?:do|can|should|could|must|would) (?:i|we|you|one)|how to|steps (?:to|for)) (?P<action>[^?.!]+)",
    re.IGNORECASE,
)


class RewriteFollowUps:
    """Sets the text to the question as it stands alone."""

    name = "rewrite"

    async def refine(self, plan: Plan, request: UnderstandingRequest) -> Plan:
        """The plan with its text."""
        return replace(plan, text=stand_alone(plan.text, request.question.history))


def stand_alone(text: str, history: Sequence[Turn]) -> str:
    """The question as it stands alone; as it is when it does, or when nothing earlier helps."""
    if not history or not is_ruled(text) or _is_chat(text):
        return text
    earlier = _questions(history)
    if not earlier:
        return text
    base = earlier[0].question
    # An earlier question may have been a follow-up itself.
    for turn, answer in zip(earlier[1:], [turn.answer for turn in earlier], strict=False):
        built = _after(turn.question, base, answer)
        base = built if is_ruled(built) else turn.question
    return _after(text, base, earlier[-1].answer)


def _questions(history: Sequence[Turn]) -> list[Turn]:
    """The last few turns that ask something, oldest first."""
    found: list[Turn] = []
    for turn in reversed(history):
        if words_of(turn.question[:MAX_RULED_CHARACTERS]) and is_ruled(turn.question) and not _is_chat(turn.question):
            found.append(turn)
        if len(found) == _DEEP:
            break
    return found[::-1]


def _after(text: str, base: str, answer: str) -> str:
    """The question as it stands alone after ``base``, which does, and its answer."""
    ellipsis = _ELLIPSIS.match(text.strip())
    if ellipsis is not None and not _QUESTION_START.match(ellipsis["rest"]):
        return text if _ORDER.match(ellipsis["rest"]) else _with_part_replaced(base, ellipsis["rest"].strip())
    question = ellipsis["rest"].strip() if ellipsis is not None else text
    if _BARE.match(question.strip()):
        return f"{question.strip(' ?')}: {base}"
    return _with_pronoun_replaced(question, text, base, answer)


def _is_chat(text: str) -> bool:
    return not classify(text)[0].searched


def _with_part_replaced(base: str, part: str) -> str:
    """The earlier question with its part of the same kind replaced; with the part behind it when it has none."""
    new = part.strip(" ?!.")
    if not new:
        return base
    bare = base.rstrip(" ?!.")
    own = telling_words(new)
    replaceable = _replaceable(bare, own)
    for word in own:
        old = replaceable.get(_kind(word))
        if old is not None:
            head, _, tail = bare.rpartition(old)
            if _kind(word) != "number":
                tail = _NAMES_FIRST.sub("", tail)
            return f"{_trimmed(head, own, word)}{' '.join(own)}{tail}?"
    return f"{bare}, {new}?"


def _trimmed(head: str, own: Sequence[str], word: str) -> str:
    """``head`` without the words before the replaced one that the new part says as well, or replaces as a name:
    "firmware" of "firmware 3.1", "Rill" of "Rill F4"."""
    words = head.split()
    known = {each.casefold() for each in own}
    named = word[0].isupper()
    while words and (words[-1].casefold() in known or (named and len(words) > 1 and words[-1][0].isupper())):
        words.pop()
    return " ".join(words) + (" " if words else "")


def _replaceable(bare: str, own: Sequence[str]) -> dict[str, str]:
    """The last word of each kind that another may stand in for: a number for a number, a name for a name."""
    taken = {each.casefold() for each in own}
    found = {_kind(each): each for each in words_of(bare)[1:] if each.casefold() not in taken}
    found.pop("word", None)
    return found


def _kind(word: str) -> str:
    if re.fullmatch(r"v?\d[\d.]*", word):
        return "number"
    if any(map(str.isdigit, word)) and any(map(str.isalpha, word)):
        return "identifier"
    return "name" if word[0].isupper() else "word"


def _with_pronoun_replaced(question: str, text: str, base: str, answer: str) -> str:
    folded = fold(question)
    if not cues.POINTING.search(folded):
        short = len(words_of(question)) <= _MOST_WORDS and _PREPOSITION.match(question.strip()) is not None
        return f"{base.rstrip(' ?!.')}, {question.strip(' ?!.')}?" if short and telling_words(question) else text
    topic = topic_of(base, answer)
    if not topic or fold(topic) in folded:
        return text
    for pattern, form in ((_POSSESSIVE, f"{topic}'s"), (_PRONOUN, topic)):
        found = next((each for each in pattern.finditer(question) if _points_back(question, each)), None)
        if found is not None:
            if found.group().lower().startswith("do "):
                action = _ACTION.search(base)
                form = action["action"].strip() if action is not None else f"do {form}"
            return f"{question[: found.start()]}{form}{question[found.end() :]}".strip()
    return text


def _points_back(question: str, found: re.Match[str]) -> bool:
    """Whether a pronoun stands for what was spoken of earlier, and not for something in its own question or nothing."""
    pronoun, before, behind = found.group(), question[: found.start()], question[found.end() :]
    word = pronoun.lower()
    # "the IT department"; "Können Sie mir Ihre Adresse geben?"
    if (pronoun.isupper() and not question.isupper()) or (word in _POLITE and pronoun[0].isupper()):
        return False
    if word.startswith("do "):
        return True
    if word in _DEMONSTRATIVE and (_stands_before_noun(behind) or _is_relative(before, behind)):
        return False
    if word == "it" and (_EXPLETIVE.match(behind) or (_COPULA.search(before) and _EXPLETIVE_ASKED.match(behind))):
        return False
    telling = telling_words(before)
    if telling and (word in _PLURAL or _SUBORDINATE.search(before)):
        return False
    return word in _DEMONSTRATIVE or not _names_something(before)


def _stands_before_noun(behind: str) -> bool:
    """ "that rule" names something itself; "that" alone points."""
    following = words_of(behind)
    return bool(following) and following[0].casefold() not in FUNCTION_WORDS


def _is_relative(before: str, behind: str) -> bool:
    """ "the fee that is charged"."""
    words = words_of(before)
    return bool(words) and words[-1].casefold() not in FUNCTION_WORDS and bool(words_of(behind))


def _names_something(before: str) -> bool:
    """Whether there is a noun that a pronoun behind it may stand for."""
    return bool(_names(before)) or any(_noun(match["noun"]) for match in _DETERMINED.finditer(before))


def topic_of(question: str, answer: str = "") -> str:
    """What a question is about: its name with the words that belong to it, else its first noun with an article, else a
    name in the answer, else all of its telling words."""
    found = [_noun(match["noun"]) for match in _DETERMINED.finditer(question)]
    nouns = [noun for noun in found if noun]
    names = _names(question)
    if names:
        name = max(names, key=len)
        return next((noun for noun in nouns if name in noun), name)
    if nouns:
        return nouns[0]
    named = _names(answer[:MAX_RULED_CHARACTERS])
    return named[0] if named else " ".join(telling_words(question))


def _noun(text: str) -> str:
    kept: list[str] = []
    for word in words_of(text)[:_NOUN_WORDS]:
        if word.casefold() in FUNCTION_WORDS or word.casefold() in VAGUE_WORDS:
            break
        kept.append(word)
    return " ".join(kept)


def _names(text: str) -> list[str]:
    """Runs of names: words with a capital or a digit, the first word of a sentence only if it is no common one."""
    runs: list[list[str]] = [[]]
    for number, word in enumerate(words_of(text)):
        capital = word[0].isupper() and word.casefold() not in FUNCTION_WORDS and number > 0
        if capital or (is_specific(word) and number > 0):
            runs[-1].append(word)
        elif runs[-1]:
            runs.append([])
    return [" ".join(run) for run in runs if run and not all(re.fullmatch(r"[\d.]+", word) for word in run)]
