"""What two questions must have in common before their vectors are compared.

Vectors of "How do I enable it on G2?" and "How do I disable it on G3?" are closer than those of most paraphrases, so a
threshold alone can't tell them apart. A signature holds what must be the same: numbers, versions, identifiers, quoted
strings, dates and times, names, negations, small words that decide, the words that say what is asked about, and their
order. What it does not know makes two signatures differ, so a miss is the price of doubt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from corpus.ids import length_prefixed
from gateway.plan import QuestionClass
from gateway.stages.cache import wording
from gateway.stages.understand.words import MAX_RULED_CHARACTERS, fold, is_specific

SIGNATURE_VERSION: Final = "headwater.question-signature.v1"

_QUOTED: Final = re.compile(r"\"([^\"]+)\"|“([^”]+)”|„([^“”]+)[“”]|«([^»]+)»|`([^`]+)`|(?<!\w)['‘]([^'’]+)['’](?!\w)")
_TOKEN: Final = re.compile(
    r"-{0,2}[^\W_](?:\w|[-'’._/:@+#](?=\w))*[%+#]*|[_/~.$][\w./-]+|[%€$£<>=+*&|!-]+(?=\s?\d)|[%€$£]"
)
_NEGATED: Final = re.compile(r"n't\b")
_POSSESSIVE: Final = re.compile(r"'s\b")
_PAST: Final = frozenset(("did", "was", "were", "had", "ago"))
_TOWARDS: Final = re.compile(r"\b\w+(?:ed|en|nt|ld|ade) (to|for|with|on|at)\b")
_OBJECT_ASKED: Final = re.compile(r"\bwho(?:m)? (?:do|does|did)\b")
_LEAST_ROTATED: Final = 3
_ENDING: Final = re.compile(r"(?<=[^\W\d_]{3})(?:(?<![siu])s|ing|ed)$")
_Y_ENDING: Final = re.compile(r"(?<=[^\W\d_]{2})ie[sd]$")
_DOUBLED: Final = re.compile(r"([^\Waeiou\d_])\1$")
_SHORT_STEM: Final = 3


def signature(text: str, kind: QuestionClass) -> str | None:
    """32 hexadecimal digits that are equal for questions that may be paraphrases; None for a text that the rules
    don't reach: too long, or with nothing that says what it is about. Pure; some 100 µs."""
    if len(text) > MAX_RULED_CHARACTERS or not _is_unicode(text):
        return None
    marks, order = _marks(text)
    if not order:
        return None
    parts = length_prefixed((SIGNATURE_VERSION, kind.value, *sorted(marks), "order", *_turned(order)))
    return hashlib.sha256(parts).hexdigest()[:32]


def _is_unicode(text: str) -> bool:
    """Whether it has no half of a character, as JSON may have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _marks(text: str) -> tuple[set[str], list[str]]:
    """Marks of any order, and the terms that the question is about, in theirs, each once."""
    marks = {f"quote:{next(filter(None, found.groups()))}" for found in _QUOTED.finditer(text)}
    # As they are written: names of programs differ by case alone.
    marks |= {f"exact:{word}" for word in _TOKEN.findall(text) if is_specific(word) or word.startswith("-")}
    marks |= {f"name:{word}" for word in _TOKEN.findall(text)[1:] if word[0].isupper() and word != "I"}
    folded = fold(text)
    for pattern, words in wording.PHRASES:
        folded = re.sub(pattern, words, folded)
    marks |= {f"towards:{found[1]}" for found in _TOWARDS.finditer(folded)}
    if _NEGATED.search(folded):
        marks.add("not")
    if _OBJECT_ASKED.search(folded):
        marks.add("object")
    order: dict[str, None] = {}
    for word in _TOKEN.findall(_POSSESSIVE.sub("", _NEGATED.sub(" ", folded))):
        mark, term = _meaning(word)
        if mark:
            marks.add(mark)
        if term:
            order[term] = None
    return marks, list(order)


def _meaning(word: str) -> tuple[str, str]:
    """The mark and the term of a folded word, both empty for one that only helps to ask."""
    if word in wording.NEGATIONS:
        return "not", ""
    if word in wording.NUMBERS or any(map(str.isdigit, word)):
        return "", wording.NUMBERS.get(word, word)
    if word in _PAST:
        return "past", ""
    if word in wording.ASKED_BY:
        return f"asks:{wording.ASKED_BY[word]}", ""
    if word in wording.DECISIVE:
        return f"word:{word}", ""
    if word in wording.ASKING:
        return "", ""
    return "", _SAME_STEMS.get(_stem(word), _stem(word))


def _stem(word: str) -> str:
    """Without the endings of plurals and verbs. Stemmers of search engines take off more: to them, employer and
    employee are one."""
    bare = _DOUBLED.sub(r"\1", _ENDING.sub("", _Y_ENDING.sub("y", word)))
    return bare.removesuffix("e") if len(bare) > _SHORT_STEM else bare


_SAME_STEMS: Final = {_stem(word): _stem(first) for word, first in wording.SAME.items()}


def _turned(order: Sequence[str]) -> Sequence[str]:
    """The least of the sequence's rotations: "Who pays when it breaks" and "When it breaks, who pays" are one question,
    "May a guest see what a member wrote" and "May a member see what a guest wrote" are two."""
    if len(order) < _LEAST_ROTATED:
        return order
    return min((*order[start:], *order[:start]) for start in range(len(order)))
