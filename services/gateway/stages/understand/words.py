"""Words of questions, cut and folded the same way in every stage."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_RULED_CHARACTERS: Final = 600
"""What rules look at of a text. A longer one is no question that they know, and some patterns take quadratic time."""

_BLANKS: Final = re.compile(r"\s+")
_WORD: Final = re.compile(r"[^\W_]+(?:[-'._/][^\W_]+)*")

_LISTED: Final = {
    "en": """
a an the this that these those some any all each every one two no not only just also too very more most much many
i me my mine we us our you your he him his she her it its they them their there here who whom whose which what when
where why how is are was were be been being am do does did done doing have has had having can could may might must
shall should will would let go get got take takes make makes give gives know tell show find see say about of in on
at by for from to into onto with without over under between during before after since until as than then if or and
but so because please thanks thank hello hi
""",
    "de": """
der die das den dem des ein eine einen einem einer und oder aber nicht nur auch ist sind war waren wird werden hat
haben kann können muss soll wie was wer wo wann warum welche welcher welches ich wir sie er es man mein mit von zu
im in am an auf für bei nach aus über lange viel viele dauert geht gibt
""",
    "fr": """
le la les un une des du de et ou mais ne pas est sont était il elle on nous vous je mon ma mes que qui quoi quel
quelle quels quelles quand où comment pourquoi combien pour par sur dans avec sans au aux ce cette ces en y
""",
    "es": """
el la los las de en un que una unos unas del al y o pero no es son era hay se su sus mi mis que qué quién cuál cuáles
cuándo dónde cómo cuánto cuántos cuánta cuántas por para con sin sobre este esta esto
""",
    "it": """
il lo la le gli i un una uno del al di da e ma non è sono si che chi quale quali quando dove come quanto quanti
per con su
""",
}
_LISTED_VAGUE: Final = """
long far old big work works working fail fails happen happens mean means need needs use used using want like thing
things something anything everything cost costs
"""
_BY_LANGUAGE: Final = {language: frozenset(listed.split()) for language, listed in _LISTED.items()}
FUNCTION_WORDS: Final = frozenset().union(*_BY_LANGUAGE.values())
"""Words that say how something is asked, not what about; of the five languages that cues know."""
VAGUE_WORDS: Final = frozenset(_LISTED_VAGUE.split())
"""Words that say something, but name nothing: "How much does it cost?"."""


def fold(text: str) -> str:
    """The text for comparing: NFKC, case folded, straight apostrophes, single blanks, no Spanish opening marks."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return _BLANKS.sub(" ", folded.replace("¿", " ").replace("¡", " ")).strip()


def ruled(text: str) -> str:
    """What rules look at of a text, in NFKC; that may make one character eighteen, so it is cut before and after."""
    return unicodedata.normalize("NFKC", text[:MAX_RULED_CHARACTERS])[:MAX_RULED_CHARACTERS]


def fold_ruled(text: str) -> str:
    """What rules look at of a text, folded."""
    return fold(ruled(text))


def is_ruled(text: str) -> bool:
    """Whether rules look at the whole text, which they must where they write a question of their own."""
    return len(text) <= MAX_RULED_CHARACTERS and len(unicodedata.normalize("NFKC", text)) <= MAX_RULED_CHARACTERS


def words_of(text: str) -> list[str]:
    """Words in order, as they are written; identifiers and versions whole."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).replace("’", "'"))


def telling_words(text: str) -> list[str]:
    """Words that say what a question is about."""
    known = FUNCTION_WORDS | VAGUE_WORDS
    return [word for word in words_of(text) if word.casefold() not in known]


def is_specific(word: str) -> bool:
    """Whether a word names one thing: it holds a digit or a capital beyond a plain first one ("E412", "tarnCtl")."""
    return any(map(str.isdigit, word)) or any(letter.isupper() for letter in word[1:]) or "_" in word or "/" in word


def language_of(text: str) -> str:
    """The language that most words of how it asks are of; "en" where that is not clear."""
    words = [word.casefold() for word in words_of(text[:MAX_RULED_CHARACTERS])]
    counts = {language: sum(word in listed for word in words) for language, listed in _BY_LANGUAGE.items()}
    return max(counts, key=lambda language: counts[language])
