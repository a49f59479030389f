"""Sentences as statements: what they speak of, and the values that they give it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.conflicts import ConflictKind
from gateway.generators.extractive.cues import is_imperative
from gateway.ports import TermAnalyser
from gateway.stages.verify.values import Value, ValueKind, agrees, rivals, values_of

_NUMBERED: Final = re.compile(
    r"\d|^(zero|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|"
    r"ninety|hundred|thousand|million|half|twice|dozen|januari|februari|march|april|may|june|juli|august|septemb|"
    r"octob|novemb|decemb|second|minut|hour|day|week|month|quarter|year|hourli|daili|weekli|monthli|quarterli|yearli|annual|nightli)$"
)
"""Terms that belong to a value. Other units do not: ten litres and ten metres are said of different things."""
_NAME: Final = re.compile(
    r"(?<=[a-z0-9,;:)] )(?!(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\b)[A-Z][\w’'-]+"
)
"""A capital inside a sentence, months aside."""
_LEAD: Final = re.compile(r"^(in|on|since|from|by|until|before|after|as of|during)\b", re.IGNORECASE)
_LEAD_WORDS: Final = 6
_VERSION: Final = re.compile(r"\b(?:firmware|version|release|v)\s?v?(?P<version>\d+(?:\.\d+)+)\b", re.IGNORECASE)
_STATED: Final = re.compile(r"\b(is|are|was|were|be|needs?|requires?|least|minimum|to|now)\s*$", re.IGNORECASE)
_KINDS: Final = {
    ValueKind.NUMBER: ConflictKind.NUMBER,
    ValueKind.QUANTITY: ConflictKind.QUANTITY,
    ValueKind.DATE: ConflictKind.DATE,
    ValueKind.TIME: ConflictKind.TIME,
    ValueKind.RATE: ConflictKind.RATE,
}
LEAST_SHARED: Final = 2
"""Terms that two statements about one thing have in common."""
_MOST_ADDED: Final = 3
"""Terms that one of them may have besides."""
_PLAIN: Final = (
    "a an the this that these those it its they their there is are was were be been being has have had do does did can "
    "could may might must shall should will would of in on at to for from by with and or as than then so also every "
    "each any all per up most your our his her one ones when if which who"
)
"""Words that say nothing of what a sentence is about."""
_LEANS: Final = re.compile(r"^(it|they|this|these|those|he|she|here|there|then|both)\b", re.IGNORECASE)
"""The sentence before, or its heading, says what it is about."""
_DOTTED: Final = re.compile(r"\d+(?:\.\d+)+")


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence taken apart.

    Attributes:
        terms: What it speaks of, its values left out.
        names: Words with a capital inside the sentence, in lower case.
        context: Terms of the title and the headings.
        title: Terms of the title alone.
        heading: Terms of the innermost heading, without those of the title.
        scope: Values of title and headings: a version, a year, a product.
    """

    text: str
    terms: frozenset[str]
    names: frozenset[str]
    values: tuple[Value, ...]
    context: frozenset[str]
    title: frozenset[str]
    heading: frozenset[str]
    scope: tuple[Value, ...]


class StatementReader:
    """Takes sentences apart. CPU-bound."""

    def __init__(self, analyse: TermAnalyser) -> None:
        self._analyse = analyse
        self._plain = frozenset(analyse(_PLAIN))

    def read(self, text: str, title: str, headings: Sequence[str]) -> Statement:
        """The statement of a sentence that stands under ``headings``, outermost first."""
        over = " ".join(headings)
        of_title = self._terms(title)
        return Statement(
            text,
            frozenset(term for term in self._terms(text) if not _NUMBERED.search(term)),
            frozenset(name.casefold() for name in _NAME.findall(text)),
            values_of(text),
            self._terms(f"{title} {over}"),
            of_title,
            self._terms(headings[-1]) - of_title if headings else frozenset(),
            (*values_of(title), *values_of(over)),
        )

    def _terms(self, text: str) -> frozenset[str]:
        return frozenset(self._analyse(text)) - self._plain


def disagreement(one: Statement, other: Statement) -> ConflictKind | None:
    """What the two say differently of the same thing; None unless everything else of them agrees.

    Exactly one value differs, and it is what is stated rather than what narrows the statement down: a version before
    the verb, or a date that the sentence opens with, makes it a statement about another thing.
    """
    if not one.values or not other.values or not _same_subject(one, other):
        return None
    ours = [value for value in one.values if not any(agrees(value, known) for known in other.values)]
    theirs = [value for value in other.values if not any(agrees(value, known) for known in one.values)]
    if len(ours) != 1 or len(theirs) != 1 or not rivals(ours[0], theirs[0]):
        return None
    version = _versioned(one, ours[0]), _versioned(other, theirs[0])
    if any(version):
        return ConflictKind.VERSION if all(version) and _stated(one) and _stated(other) else None
    if ours[0].kind is ValueKind.DATE and (_opens(one) or _opens(other)):
        return None
    return _KINDS.get(ours[0].kind)


def _same_subject(one: Statement, other: Statement) -> bool:
    """Whether the two speak of one thing. Words may be added on one side, but not be replaced by others: the cleaning
    of a probe and its repair differ in no more than that."""
    if len(one.terms & other.terms) < LEAST_SHARED or _parallel(one, other) or _other_headings(one, other):
        return False
    if any(rivals(a, b) and not agrees(a, b) for a in one.scope for b in other.scope):
        return False
    added = [ours.terms - theirs.terms - theirs.context for ours, theirs in ((one, other), (other, one))]
    if all(added) or max(map(len, added)) > _MOST_ADDED:
        return False
    leans = any(_LEANS.match(each.text) or is_imperative(each.text) for each in (one, other))
    if leans and not one.context & other.context:
        return False
    return all(name in other.text.casefold() for name in one.names) and all(
        name in one.text.casefold() for name in other.names
    )


def _other_headings(one: Statement, other: Statement) -> bool:
    """Whether both stand under headings that the other knows nothing of."""
    if not one.heading or not other.heading:
        return False
    said = one.terms | other.terms
    return one.heading.isdisjoint(said | other.context) and other.heading.isdisjoint(said | one.context)


def _parallel(one: Statement, other: Statement) -> bool:
    """Whether the titles are alike but for a word or two, as those of the same rules for two places are."""
    left, right = one.title - other.title, other.title - one.title
    return bool(one.title & other.title) and len(left) == len(right) and 0 < len(left) <= 2


def _versioned(statement: Statement, value: Value) -> bool:
    return _DOTTED.fullmatch(value.key) is not None and any(
        match["version"] == value.key for match in _VERSION.finditer(statement.text)
    )


def _stated(statement: Statement) -> bool:
    """Whether the version is what the sentence says, as in "needs firmware 3.1"."""
    return any(_STATED.search(statement.text[: match.start()]) for match in _VERSION.finditer(statement.text))


def _opens(statement: Statement) -> bool:
    lead = " ".join(statement.text.split()[:_LEAD_WORDS])
    return _LEAD.match(lead) is not None and any(value.kind is ValueKind.DATE for value in values_of(lead))
