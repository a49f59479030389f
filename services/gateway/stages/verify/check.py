"""Scores one sentence against the passages it cites.

What is looked at, from the strictest: whether it stands in the source to the letter; whether every number, date,
version, identifier and name in it stands where its other words stand; whether one denies what the other says; how many
of its terms are there; how close the two are in meaning, where vectors are at hand. The sentence is compared with
single sentences of the source (and pairs of neighbours), not with all of it: in a passage about two limits, the wrong
one is somewhere too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.ports import TermAnalyser
from gateway.stages.verify.polarity import Polarity, polarity
from gateway.stages.verify.source import CLAUSE, ENDS, WORD, Source, Window, flat, wordy
from gateway.stages.verify.values import ADVERB, Value, ValueKind, agrees, rivals, values_of
from gateway.support import SupportReason, Verdict

SUPPORTED_FROM: Final = 0.60
WEAK_FROM: Final = 0.35
"""Set before anything was measured, and kept; see docs/verification.md for what they give."""
UNCITED_AT_MOST: Final = 0.5
"""A sentence that names no source may be true, but nobody can tell from where: never more than weak."""

_DISPROVED: Final = 0.1
_MISPLACED: Final = 0.5
_CONTEXT_SHARE: Final = 0.6
_PAIR_SHARE: Final = 0.95
_WORD_SHARE: Final = 0.65
_SIMILAR_FROM, _SIMILAR_TO = 0.35, 0.85
_CLOSER: Final = 0.1
_MOST_JUDGED: Final = 8
_ANSWER_WORDS: Final = frozenset(("yes", "no", "inde", "correct"))
"""Stems of words that only say how to take the sentence behind them."""

_QUOTED: Final = re.compile(r"[\"“„«]([^\"“”„«»]{8,300})[\"”“»]")
_NAME: Final = re.compile(r"\b[A-Z][a-zà-ÿ]+(?:-[A-Z][a-z]+)?\b")
_SENTENCE_START: Final = re.compile(r"(?:\A|[.!?:]\s+|[\n\"“(|])\W*\Z")


@dataclass(frozen=True, slots=True)
class Finding:
    """Result for one sentence."""

    score: float
    reason: SupportReason = SupportReason.NONE

    @property
    def verdict(self) -> Verdict:
        if self.score >= SUPPORTED_FROM:
            return Verdict.SUPPORTED
        return Verdict.WEAK if self.score >= WEAK_FROM else Verdict.UNSUPPORTED


Similarity = Callable[[str, str], float | None]
"""Cosine similarity of a sentence and a window's text; None where one of them has no vector."""

NOTHING: Final = Finding(0.0, SupportReason.WORDS)


def check(sentence: str, sources: Sequence[Source], analyse: TermAnalyser, similarity: Similarity | None) -> Finding:
    """The best finding over the sources together; a sentence of several clauses may take each from another place.

    Pure, but for ``similarity``; milliseconds for passages of ordinary size.
    """
    if not sources:
        return NOTHING
    if is_quoted(sentence, sources):
        return Finding(1.0)
    if any(not _stands(quoted, sources) for quoted in _QUOTED.findall(sentence)):
        return Finding(_DISPROVED, SupportReason.QUOTATION)
    windows = [window for source in sources for window in source.windows]
    clauses = _clauses(sentence, analyse)
    # Two clauses with a value each must not share out the values of two sentences as they like.
    apart = sum(bool(values_of(clause)) for clause in clauses) > 1
    single = [window for window in windows if len(window.parts) == 1] if apart else windows
    whole = _best(sentence, single, analyse, similarity)
    if whole.score >= SUPPORTED_FROM or len(clauses) < 2:
        return whole
    parts = min((_best(clause, windows, analyse, similarity) for clause in clauses), key=lambda found: found.score)
    return max(whole, Finding(parts.score * _PAIR_SHARE, parts.reason), key=lambda found: found.score)


def says_nothing(sentence: str, analyse: TermAnalyser) -> bool:
    """Whether there is nothing in it that could be looked up, as in "Yes."."""
    return frozenset(analyse(sentence)) <= _ANSWER_WORDS and not values_of(sentence)


def is_quoted(sentence: str, sources: Sequence[Source]) -> bool:
    """Whether the sentence is one or more whole sentences, items or rows of a source, to the letter."""
    wanted = flat(sentence).rstrip(ENDS)
    if not wanted:
        return False
    for source in sources:
        if not _within(wanted, source.flat):
            continue
        # A part of a sentence may say the opposite of the whole: "it works" of "nobody believes it works".
        if wanted in source.pieces or any(_covers(wanted, piece) for piece in source.pieces):
            return True
    return False


def _covers(wanted: str, unit: str) -> bool:
    return unit == wanted or (len(unit) > 8 and (wanted.startswith(unit) or wanted.endswith(unit)))


def _stands(quoted: str, sources: Sequence[Source]) -> bool:
    wanted = flat(quoted).strip(" .,;:!?")
    return any(_within(wanted, source.flat) for source in sources)


def _within(wanted: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w|[.,]\d)", text) is not None


def _best(sentence: str, windows: Sequence[Window], analyse: TermAnalyser, similarity: Similarity | None) -> Finding:
    claimed = _claimed(sentence, analyse, similarity)
    if not claimed.terms and not claimed.values:
        return NOTHING
    near = sorted(((claimed.closeness(window), window) for window in windows), key=lambda pair: -pair[0])[:_MOST_JUDGED]
    found = [claimed.against(window, closeness) for closeness, window in near]
    if not found:
        return NOTHING
    best = max(found, key=lambda each: each.finding.score)
    closest = found[0]
    if best.finding.score < WEAK_FROM:
        return closest.finding
    if closest.finding.score < WEAK_FROM and closest.closeness > best.closeness + _CLOSER:
        # Another sentence speaks of the same more plainly, and says otherwise.
        return Finding(min(best.finding.score, _MISPLACED), closest.finding.reason)
    return best.finding


def _claimed(sentence: str, analyse: TermAnalyser, similarity: Similarity | None) -> _Claimed:
    clauses = tuple((wordy(analyse(clause)), values_of(clause)) for clause in _clauses(sentence, analyse))
    terms = frozenset(analyse(sentence))
    values = tuple(value for value in values_of(sentence) if value.amount != ADVERB)
    return _Claimed(sentence, terms, values, tuple(_names(sentence)), clauses, analyse, similarity)


@dataclass(frozen=True, slots=True)
class _Compared:
    closeness: float
    finding: Finding


@dataclass(frozen=True, slots=True)
class _Claimed:
    text: str
    terms: frozenset[str]
    values: tuple[Value, ...]
    names: tuple[str, ...]
    clauses: tuple[tuple[frozenset[str], tuple[Value, ...]], ...]
    analyse: TermAnalyser
    similarity: Similarity | None

    def against(self, window: Window, closeness: float) -> _Compared:
        if closeness < WEAK_FROM:
            return _Compared(closeness, Finding(closeness, SupportReason.WORDS))
        fault, disproved = self._fault(window)
        if fault is SupportReason.NONE:
            reason = fault if closeness >= SUPPORTED_FROM else SupportReason.WORDS
            return _Compared(closeness, Finding(closeness, reason))
        return _Compared(closeness, Finding(min(closeness, _DISPROVED if disproved else _MISPLACED), fault))

    def closeness(self, window: Window) -> float:
        """0 to 1: how much of the sentence is in the window."""
        return self._covered(window) * (_PAIR_SHARE if len(window.parts) > 1 else 1.0)

    def _covered(self, window: Window) -> float:
        known = sum(
            1.0 if term in window.terms else _CONTEXT_SHARE if term in window.context_terms else 0.0
            for term in self.terms
        )
        covered = known / len(self.terms) if self.terms else 1.0
        cosine = self.similarity(self.text, window.text) if self.similarity is not None else None
        if cosine is None:
            return covered
        meaning = (cosine - _SIMILAR_FROM) / (_SIMILAR_TO - _SIMILAR_FROM)
        return _WORD_SHARE * covered + (1 - _WORD_SHARE) * min(1.0, max(0.0, meaning))

    def _fault(self, window: Window) -> tuple[SupportReason, bool]:
        """What speaks against the sentence, and whether that is certain."""
        known = tuple(value for part in window.parts for value in part)
        # A title's "version 2" is no "2 MB": what stands over a sentence must say just the same.
        if any(not _found(value, known) and value not in window.context_values for value in self.values):
            return SupportReason.VALUE, True
        if (len(window.parts) > 1 and self._mixes(window)) or self._misplaces(window):
            return SupportReason.VALUE, True
        if self._has_foreign_name(window):
            return SupportReason.NAME, True
        sense = polarity(self.text, window.text, self.terms, window.terms, self.analyse)
        if sense is not Polarity.SAME:
            return SupportReason.NEGATION, sense is Polarity.OPPOSITE
        if self._replaces_a_word(window):
            return SupportReason.NAME, False
        return (SupportReason.NONE if self._in_order(window) else SupportReason.ORDER), False

    def _misplaces(self, window: Window) -> bool:
        """Whether a value of a clause stands in a clause of the source that says less of it than one which holds a
        rival: "it draws 6 W on average" of "it draws 2.4 W on average and 6 W at most"."""
        for terms, ours in self.clauses:
            for value in ours:
                own = max((_cover(terms, t) for t, v in window.clauses if _found(value, v)), default=1.0)
                rival = max(
                    (
                        _cover(terms, t)
                        for t, v in window.clauses
                        if not _found(value, v) and any(rivals(value, each) and not _found(each, ours) for each in v)
                    ),
                    default=0.0,
                )
                if rival > own + _CLOSER:
                    return True
        return False

    def _replaces_a_word(self, window: Window) -> bool:
        """Whether the source has, between the same two words, another one that the sentence lacks."""
        ours = WORD.findall(self.text.casefold())
        slots = {(left, right): word for left, word, right in _triples(window.words)}
        same = set(_triples(window.words))
        return any(
            self._replaced(slots.get((left, right), ""), word, right)
            for left, word, right in _triples(ours)
            if (left, word, right) not in same and slots.get((left, right)) not in ours
        )

    def _replaced(self, source_word: str, word: str, right: str) -> bool:
        """Before a word that says something, such as "beaker", another adjective is another thing."""
        one, other = self.analyse(source_word), self.analyse(word)
        return bool(one and other and self.analyse(right)) and set(one) != set(other)

    def _mixes(self, window: Window) -> bool:
        """Whether values are taken from two sentences that each say something else where the other value stands."""
        for part in window.parts:
            ours = [value for value in self.values if _found(value, part)]
            missing = [value for value in self.values if not _found(value, (*part, *window.context_values))]
            others = [value for value in part if not _found(value, self.values)]
            if ours and any(rivals(value, other) for value in missing for other in others):
                return True
        return False

    def _has_foreign_name(self, window: Window) -> bool:
        known = window.context_words.union(window.words)
        if any(name.casefold() not in known and not self._known_term(name, window) for name in self.names):
            return True
        # Every sentence begins with a capital. It is a name where the source has another before the same word.
        subject = re.match(r"([A-Z][a-zà-ÿ]+) (\w+)", self.text)
        if subject is None or subject[1].casefold() in known or not self.analyse(subject[1]):
            return False
        if not self.analyse(subject[2]):
            return False
        others = re.findall(rf"\b([A-Z][a-zà-ÿ]+) {re.escape(subject[2])}\b", window.text)
        return any(self.analyse(other) for other in others)

    def _known_term(self, name: str, window: Window) -> bool:
        stems = frozenset(self.analyse(name))
        return not stems or stems <= window.terms | window.context_terms

    def _in_order(self, window: Window) -> bool:
        """Names, or identifiers of one family, in the reverse order are a hint that they changed places."""
        ours = [value for value in self.values if value.kind is ValueKind.IDENTIFIER]
        theirs = [value.key for part in window.parts for value in part if value.kind is ValueKind.IDENTIFIER]
        families = {value.family for value in ours}
        alike = [[value.key for value in ours if value.family == family] for family in families]
        names = [name for name in dict.fromkeys(self.names) if name in window.text]
        return not _reversed(names, _NAME.findall(window.text)) and not any(_reversed(keys, theirs) for keys in alike)


def _triples(words: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    return zip(words, words[1:], words[2:], strict=False)


def _cover(terms: frozenset[str], source: frozenset[str]) -> float:
    return len(terms & source) / (len(terms) or 1)


def _reversed(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    common = [each for each in dict.fromkeys(ours) if theirs.count(each) == 1]
    if len(common) < 2:
        return False
    places = [theirs.index(each) for each in common]
    return places == sorted(places, reverse=True)


def _found(value: Value, known: Sequence[Value]) -> bool:
    return any(agrees(value, each) for each in known)


def _names(sentence: str) -> Iterator[str]:
    """Capitalised words that do not begin a sentence."""
    for match in _NAME.finditer(sentence):
        if not _SENTENCE_START.search(sentence[: match.start()]):
            yield match.group()


def _clauses(sentence: str, analyse: TermAnalyser) -> list[str]:
    """Clauses that say something by themselves; a piece of under two terms stays with the one before."""
    found: list[str] = []
    for piece in CLAUSE.split(sentence):
        if found and (len(set(analyse(piece))) < 2 or len(set(analyse(found[-1]))) < 2):
            found[-1] = f"{found[-1]}, {piece}"
        else:
            found.append(piece)
    return found
