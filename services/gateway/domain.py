"""Nouns of the gateway: questions, passages, citations, answers, and the events an answer is told in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from gateway.conflicts import Conflict, readable_conflicts
from gateway.costs.domain import Account, QueryCost
from gateway.plan import Plan, PlanOptions, SearchHints, Turn
from gateway.record.domain import AnswerRecord, Scores
from gateway.support import AbstentionReason, SentenceSupport

ABSTENTION_TEXT: Final = "I don't know based on the available knowledge."
"""The whole text of an answer that is none. Programs compare with it, so it never varies."""

FALLBACK_TEXT: Final = (
    "The answer could not be written just now. These are the passages that were found for the question; "
    "please read them or ask again in a moment."
)
"""The whole text when the generator failed."""

REFUSED_TEXT: Final = (
    "This question was not answered: it reads as instructions to the system rather than as a question. "
    "Nothing was searched. Please ask in plain words for what you want to know."
)
"""The whole text when the question was refused by a guardrail; the reason comes beside it."""

MAX_QUESTION_CHARACTERS: Final = 8192
MAX_BATCH_QUESTIONS: Final = 64
MAX_COMMENT_CHARACTERS: Final = 4096


class Outcome(StrEnum):
    """How a question ended."""

    ANSWERED = "answered"
    ABSTAINED = "abstained"
    FALLBACK = "fallback"
    NOT_SEARCHED = "not_searched"
    CLARIFICATION = "clarification"
    REFUSED = "refused"


class Rating(StrEnum):
    """What a reader thought of an answer."""

    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Span:
    """``text[start:end]`` of a document's extracted text, in code points."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passage stands in its document."""

    heading_path: tuple[str, ...] = ()
    page: int = 0
    span: Span = Span(0, 0)


@dataclass(frozen=True, slots=True)
class SectionText:
    """The section around a passage."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class CitationKey:
    """What a citation points at."""

    document_id: str
    chunks_version: int
    chunk_id: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A hit: text that the caller may read, as of its retrieval.

    Attributes:
        score: Final score of retrieval, 0 to 1.
        similarity: Cosine similarity of question and passage; 0 where the vector leg did not find it.
        text: Equals the document's text at ``place.span``.
        section: The section it stands in, when retrieval was asked for it.
        document_version: Version of the document that was shown.
        ingest_trace_id: Trace that made the passage searchable.
        scores: The parts of its score, where retrieval was asked for them.
    """

    document_id: str
    chunks_version: int
    chunk_id: str
    text: str
    score: float
    similarity: float
    title: str = ""
    uri: str = ""
    doc_type: str = ""
    place: Place = Place()
    section: SectionText | None = None
    updated_at: datetime | None = None
    document_version: int = 0
    ingest_trace_id: str = ""
    scores: Scores | None = None

    @property
    def key(self) -> CitationKey:
        """What a citation of it points at."""
        return CitationKey(self.document_id, self.chunks_version, self.chunk_id)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one stage took."""

    stage: str
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What one search came back with."""

    passages: tuple[Passage, ...]
    degraded: tuple[str, ...] = ()
    timings: tuple[Timing, ...] = ()
    generation: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question and how to answer it.

    Attributes:
        context_tokens: Tokens of context given to the generator; 0 takes the setting.
        retrieval: How to search, in the form the retrieval adapter understands (its text is ignored); None for the
        defaults.
        history: Earlier turns of the conversation, oldest first.
        options: What the caller wants of the stages that understand it.
        hints: How to search where ``retrieval`` does not say; set by those stages.
        account: Where what is done for it is noted; set when it is asked.
        reveal: Whether the answer is told with what its pseudonyms stand for; the edges see to that, and nobody else.
    """

    text: str
    context_tokens: int = 0
    retrieval: object | None = None
    history: tuple[Turn, ...] = ()
    options: PlanOptions = field(default_factory=PlanOptions)
    hints: SearchHints = field(default_factory=SearchHints)
    account: Account | None = field(default=None, compare=False, repr=False)
    reveal: bool = False


@dataclass(frozen=True, slots=True)
class Citation:
    """The source of one or more sentences. ``quote`` is the document's text at ``place.span``, to the letter."""

    number: int
    key: CitationKey
    title: str
    uri: str
    place: Place
    quote: str
    ingest_trace_id: str = ""
    document_updated_at: datetime | None = None
    readable: bool = True

    def withheld(self) -> Citation:
        """The same citation for a reader who may not see its source: nothing of the document but its key is left."""
        return Citation(self.number, self.key, title="", uri="", place=Place(), quote="", readable=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a question is not answered: the guardrail's reason, and how sure it is, 0 to 1."""

    reason: str
    score: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, counted or estimated by the gateway unless the generator's endpoint said."""

    context_tokens: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """How an answer ends. ``text`` holds marks such as [1] that name citations; ``support`` is about its sentences, and
    empty where they were not verified."""

    answer_id: str
    outcome: Outcome
    text: str
    citations: tuple[Citation, ...] = ()
    confidence: float = 0.0
    degraded: tuple[str, ...] = ()
    timings: tuple[Timing, ...] = ()
    usage: Usage = Usage()
    trace_id: str = ""
    generator: str = ""
    generation: str = ""
    plan: Plan | None = None
    refusal: Refusal | None = None
    cost: QueryCost | None = None
    support: tuple[SentenceSupport, ...] = ()
    abstention: AbstentionReason = AbstentionReason.NONE
    conflicts: tuple[Conflict, ...] = ()

    def with_readable_parts(self) -> Answer:
        """The same without meanings of a question, and conflicts, whose sources may not be read."""
        known = {citation.number for citation in self.citations if citation.readable}
        answer = replace(self, conflicts=readable_conflicts(self.conflicts, known))
        if self.plan is None or not self.plan.meanings:
            return answer
        kept = tuple(meaning for meaning in self.plan.meanings if meaning.citation in known)
        return replace(answer, plan=replace(self.plan, meanings=kept))


@dataclass(frozen=True, slots=True)
class LoggedAnswer:
    """An answer as the log keeps it, with who asked; ``record`` is what it was made of, where that is kept."""

    tenant_id: str
    subject: str
    question: str
    answer: Answer
    answered_at: datetime
    record: AnswerRecord | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """A logged answer as its reader may see it now."""

    question: str
    answer: Answer
    answered_at: datetime
    redacted: bool


# What an answer is told in while it is made. The last event is always AnswerReady.


@dataclass(frozen=True, slots=True)
class StageFinished:
    """A stage is done."""

    timing: Timing


@dataclass(frozen=True, slots=True)
class TextPiece:
    """The next piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class CitationSettled:
    """A citation whose source and quote are known."""

    citation: Citation


@dataclass(frozen=True, slots=True)
class UsageKnown:
    """What the answer cost."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class AnswerReady:
    """The answer as it was logged."""

    answer: Answer


AnswerEvent = StageFinished | TextPiece | CitationSettled | UsageKnown | AnswerReady


@dataclass(frozen=True, slots=True)
class Draft:
    """What a generator ends with, before citations are checked a last time.

    Attributes:
        text: Everything it wrote, marks included.
        confidence: 0 to 1.
        degraded: Parts it did without.
        features: Numbers behind the confidence, by name; for calibration only.
        generator: Who wrote it, where that was not the one that was asked.
        support: Of its sentences, once they were verified.
        abstention: Why it is one; empty otherwise.
        conflicts: Of its sources, once they were compared.
        revealed: Personal data that its text holds in place of placeholders, each with its own: for this reader, and
            kept nowhere.
    """

    outcome: Outcome
    text: str
    confidence: float
    citations: tuple[Citation, ...] = ()
    usage: Usage = Usage()
    degraded: tuple[str, ...] = ()
    features: tuple[tuple[str, float], ...] = field(default=())
    generator: str = ""
    support: tuple[SentenceSupport, ...] = ()
    abstention: AbstentionReason = AbstentionReason.NONE
    conflicts: tuple[Conflict, ...] = ()
    revealed: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def abstention_reason(self) -> AbstentionReason:
        """Why it is an abstention; a generator that says no more found no answer in what it read."""
        if self.outcome is not Outcome.ABSTAINED:
            return AbstentionReason.NONE
        return self.abstention or AbstentionReason.NOT_IN_PASSAGES


_MARK: Final = re.compile(r"\s?\[(\d{1,3})\]")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?。！？])(?P<marks>(?:\s?\[\d{1,3}\])*)(?=\s|$)|\n+|(?<=\])(?=\s+[A-Z])")


def marks_in(text: str) -> tuple[int, ...]:
    """Numbers of the citation marks in ``text``, in order, repetitions included."""
    return tuple(int(number) for number in _MARK.findall(text))


def without_sentences_citing(text: str, gone: Sequence[int]) -> str:
    """``text`` without what rests on the citations ``gone``.

    A sentence without any mark goes as well, since nobody can tell what it was taken from.
    """
    lost = frozenset(gone)
    kept = []
    for sentence in _marked_sentences(text):
        numbers = marks_in(sentence)
        if numbers and lost.isdisjoint(numbers):
            kept.append(sentence.strip())
    return " ".join(kept)


def _marked_sentences(text: str) -> list[str]:
    sentences, start = [], 0
    for match in _SENTENCE_END.finditer(text):
        if match.end() > start:
            sentences.append(text[start : match.end()])
            start = match.end()
    sentences.append(text[start:])
    return [sentence for sentence in sentences if sentence.strip()]
