"""A follow-up question, rewritten with the words of earlier turns so that it stands alone.

Two forms are known. *Ellipsis* ("And with firmware 2.3?"): the earlier question, with what is new in the place of what
it replaces. *Pointing* ("How long does its battery last?"): the pronoun gives way to what the earlier question was
about. A question that names what it is about is left as it is. Every word comes from what the caller sent.
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
    r"[ ,]*(?P<rest>.*)$",
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
_POSSESSIVE: Final = re.compile(r"\b(?:its|their|his|her|ihre?[rnms]?|seine?[rnms]?)\b", re.IGNORECASE)
_PRONOUN: Final = re.compile(
    r"\b(?:do that|do this|do it|do so)\b|\b(?:it|they|them|that one|this one|that|this|those|these|he|she|him)\b"
    r"|\b(?:sie|es|ihn|ihm|das|dies|il|elle|ils|elles|cela|ça)\b",
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
    known = [turn for turn in history if len(turn.question) <= MAX_RULED_CHARACTERS]
    earlier = [turn for turn in known if not _is_chat(turn.question)]
    if not earlier or len(text) > MAX_RULED_CHARACTERS or _is_chat(text):
        return text
    # An earlier question may have been a follow-up itself.
    last, before = earlier[-1], earlier[-_DEEP:-1]
    base = stand_alone(last.question, before) if before else last.question
    ellipsis = _ELLIPSIS.match(text.strip())
    if ellipsis is not None and not _QUESTION_START.match(ellipsis["rest"]):
        return _with_part_replaced(base, ellipsis["rest"].strip())
    question = ellipsis["rest"].strip() if ellipsis is not None else text
    if _BARE.match(question.strip()):
        return f"{question.strip(' ?')}: {base}"
    return _with_pronoun_replaced(question, text, base, last.answer)


def _is_chat(text: str) -> bool:
    return not classify(text)[0].searched


def _with_part_replaced(base: str, part: str) -> str:
    """The earlier question with its part of the same kind replaced; with the part behind it when it has none."""
    new = part.strip(" ?!.")
    if not new:
        return base
    bare = base.rstrip(" ?!.")
    own = telling_words(new)
    for word in own:
        old = _same_kind(word, words_of(bare), own)
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


def _same_kind(word: str, candidates: Sequence[str], own: Sequence[str]) -> str | None:
    """The last of the candidates that ``word`` may stand in for: a number for a number, a name for a name."""
    kind = _kind(word)
    if kind == "word":
        return None
    taken = {each.casefold() for each in own}
    found = [each for each in candidates[1:] if _kind(each) == kind and each.casefold() not in taken]
    return found[-1] if found else None


def _kind(word: str) -> str:
    if re.fullmatch(r"v?\d[\d.]*", word):
        return "number"
    if any(map(str.isdigit, word)) and any(map(str.isalpha, word)):
        return "identifier"
    return "name" if word[0].isupper() else "word"


def _with_pronoun_replaced(question: str, text: str, base: str, answer: str) -> str:
    folded = fold(question)
    if not cues.POINTING.search(folded):
        short = len(words_of(question)) <= _MOST_WORDS and not _QUESTION_START.match(question)
        return f"{base.rstrip(' ?!.')}, {question.strip(' ?!.')}?" if short and telling_words(question) else text
    topic = topic_of(base, answer)
    if not topic or fold(topic) in folded:
        return text
    for pattern, form in ((_POSSESSIVE, f"{topic}'s"), (_PRONOUN, topic)):
        found = pattern.search(question)
        if found is not None and not _stands_before_noun(question, found):
            if found.group().lower().startswith("do "):
                action = _ACTION.search(base)
                form = action["action"].strip() if action is not None else f"do {form}"
            return f"{question[: found.start()]}{form}{question[found.end() :]}".strip()
    return text


def _stands_before_noun(question: str, found: re.Match[str]) -> bool:
    """ "that rule" names something itself; "that" alone points."""
    if found.group().lower() not in ("that", "this", "these", "those", "das", "dies", "es"):
        return False
    following = words_of(question[found.end() :])
    return bool(following) and following[0].casefold() not in FUNCTION_WORDS


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
