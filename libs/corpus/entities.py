"""Entities without a model: what a passage mentions by name, and what a document is named.

A mention is a run of capitalised words ("Two Dollar Radio", "University of Bath", "M. Ward"), an identifier
(``HttpClient``, ``max_retries``, ``os.path``) or a phrase in quotation marks. A name is a title without
what stands in parentheses, and what stands before a comma where what follows only tells it from others ("Laie, Hawaii"
is named "Laie" too). Both are brought to one form, so that a mention meets a name by being equal to it: a document
mentions another one where it has that one's name in its text.

Scripts without capital letters have names and quoted phrases, and no other mentions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

MAX_MENTIONS: Final = 64
"""Of one passage, first come first kept: prose has about twelve, and tables of names have no end of them."""
MAX_NAMES: Final = 8
MAX_CHARACTERS: Final = 80
"""Longer ones are sentences that happen to be quoted, capitalised or a title."""

_LONGEST_TEXT: Final = 20_000
_MOST_CONNECTORS: Final = 2
_LEAST_CHARACTERS: Final = 2

_TOKEN: Final = re.compile(r"[^\W_](?:[\w'’&.\-]{0,80}\w)?")
_WORD: Final = re.compile(r"\w+")
_QUOTED: Final = re.compile(r"[\"“”„«]([^\"“”„«»\n]{2,80})[\"“”»]")
_IN_PARENTHESES: Final = re.compile(r"\([^()]{0,200}\)")
_APART: Final = re.compile(r"([^,]+),\s*(?=[^\W_a-z])(?:[^\s,]+(?:\s+|$)){1,4}$")
_POSSESSIVE: Final = re.compile(r"['’]s\b")
_INNER_CAPITAL: Final = re.compile(r"[a-z\d][A-Z]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CONNECTORS: Final = _words("of the and de van von der la le du da di del for in on ap al bin y et und")
"""Words that stand inside a name without a capital letter."""
_BETWEEN_NAMES: Final = _words("and in on for und et y")
"""Those that also stand between two names: there the whole and its parts are mentioned."""
_AT_NO_END: Final = _CONNECTORS | _words(
    """
    a an at or but if is are was were he she it they his her its their this that these those who what which when
    where why how do does did as by from to with after before during while since there here between both many most
    some we our you your i not no also however although because be being been such than then thus under over into about
    whose whom all any each every more other only so see use using note der die das ein eine und ist im les des un
    une el los las il lo
    """
)
"""Words that a name neither begins nor ends with: they have a capital letter where a sentence begins."""


def mentions(*texts: str) -> tuple[str, ...]:
    """Names that the texts mention, in one form, each once, in the order in which they come. Linear in the text, of
    which the first 20,000 characters count."""
    found: dict[str, None] = {}
    for text in texts:
        for phrase in _phrases(text[:_LONGEST_TEXT]):
            name = _in_one_form(phrase)
            if name:
                found.setdefault(name)
    return tuple(islice(found, MAX_MENTIONS))


def names(*titles: str) -> tuple[str, ...]:
    """What something with these titles is named, in the form of ``mentions``."""
    found: dict[str, None] = {}
    for title in titles:
        bare = _IN_PARENTHESES.sub(" ", title[:_LONGEST_TEXT])
        # "Laie, Hawaii" and "Presidential election, 2000" are names with what tells them apart; "EMT, the cytoskeleton"
        # is no name of EMT.
        place = _APART.match(bare)
        for each in (bare, place.group(1) if place else ""):
            name = _in_one_form(each.split())
            if name:
                found.setdefault(name)
    return tuple(islice(found, MAX_NAMES))


def _phrases(text: str) -> Iterator[Sequence[str]]:
    for run in _runs(text):
        yield run
        if not _BETWEEN_NAMES.isdisjoint(run):
            yield from _split(run)
    for quoted in _QUOTED.finditer(text):
        yield quoted.group(1).split()


def _runs(text: str) -> Iterator[Sequence[str]]:
    """Capitalised words that follow each other, with the connectors between them; and identifiers by themselves."""
    run: list[str] = []
    between: list[str] = []
    end = 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        adjoins = bool(run) and _adjoins(text[end : match.start()], (between or run)[-1])
        end = match.end()
        if adjoins and (token[0].isupper() or (token[0].isdigit() and not between)):
            run += [*between, token]
            between = []
        elif adjoins and token in _CONNECTORS and len(between) < _MOST_CONNECTORS:
            between.append(token)
        else:
            if run:
                yield run
            run, between = ([token] if token[0].isupper() else []), []
            if not run and _is_identifier(token):
                yield [token]
    if run:
        yield run


def _adjoins(gap: str, before: str) -> bool:
    # Text is wrapped: a line may end inside a name, a paragraph may not. "M. Ward" goes on after its initial.
    if gap == ". ":
        return len(before) == 1 and before.isupper()
    return gap.isspace() and len(gap) <= 2 and gap != "\n\n"


def _is_identifier(token: str) -> bool:
    if "_" in token or _INNER_CAPITAL.search(token):
        return True
    parts = token.split(".")
    return len(parts) > 1 and all(len(part) > 1 for part in parts) and not token[0].isdigit()


def _split(words: Sequence[str]) -> Iterator[Sequence[str]]:
    part: list[str] = []
    for word in words:
        if word in _BETWEEN_NAMES:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def _in_one_form(words: Iterable[str]) -> str:
    """Lower case without accents, possessives and punctuation; "" for what is no name."""
    kept = list(words)
    while kept and kept[0].lower() in _AT_NO_END:
        del kept[0]
    while kept and kept[-1].lower() in _AT_NO_END:
        del kept[-1]
    text = _POSSESSIVE.sub("", " ".join(kept))
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    name = " ".join(_WORD.findall(text.casefold()))
    is_name = _LEAST_CHARACTERS <= len(name) <= MAX_CHARACTERS and not name.replace(" ", "").isdigit()
    return name if is_name else ""
