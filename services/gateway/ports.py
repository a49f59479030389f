"""Ports of the gateway.

Nouns
    **Passage**: a hit of retrieval that the caller may read. **Context block**: text given to a generator under a
    number. **Draft**: what
    a generator ends with; it becomes an answer after its citations were checked once more.

Rules for every method here
    Nothing blocks the event loop. The caller is always named: whoever implements a port makes sure that the other side
    learns on whose behalf it works. Errors are those of ``chassis.errors``; what is down raises DependencyUnavailable
    with a retry delay, and a deadline that passed raises DeadlineExceeded.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from chassis.identity import Caller
from gateway.costs.domain import Account
from gateway.domain import (
    CitationKey,
    CitationSettled,
    Draft,
    LoggedAnswer,
    Passage,
    Place,
    Question,
    Retrieved,
    Span,
    TextPiece,
)
from gateway.plan import Plan


class Retrieval(Protocol):
    """Finds passages, and tells later whether they may still be read."""

    async def search(self, question: Question, caller: Caller) -> Retrieved:
        """Passages for the question, best first; none when nothing readable matches. Every passage was readable when
        it was
        returned. Raises InvalidRequest for a bad filter, NotFound UNKNOWN_TENANT, DependencyUnavailable, Overloaded,
        DeadlineExceeded."""
        ...

    async def search_batch(self, questions: Sequence[Question], caller: Caller) -> Sequence[Retrieved]:
        """As ``search`` for up to 64 questions, in their order. Raises for the whole batch."""
        ...

    async def readable(self, keys: Sequence[CitationKey], caller: Caller) -> Sequence[bool]:
        """For each key, in order, whether the caller may read that passage now. Fails closed: raises when it can't be
        known."""
        ...


@dataclass(frozen=True, slots=True)
class UnderstandingRequest:
    """What a stage of understanding knows besides the plan.

    Attributes:
        question: As it was sent, with its history and options.
        asked_at: Aware, in UTC.
    """

    question: Question
    caller: Caller
    asked_at: datetime


class Understanding(Protocol):
    """One stage of understanding a question, by rules or by a language model.

    Attributes:
        name: One of ``plan.STAGES``.
    """

    name: str

    async def refine(self, plan: Plan, request: UnderstandingRequest) -> Plan:
        """The plan with this stage's part set, all else as it was. Knows of documents only what is declared for the
        tenant. Never fails for want of a language model: it then returns what rules say, with its name in
        ``degraded``. Raises InvalidRequest for options that the tenant can't have."""
        ...


class SentenceEmbedder(Protocol):
    """Vectors of short texts, for people who wait."""

    async def embed(
        self, question: str, sentences: Sequence[str], caller: Caller
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(d,) and (n, d) float32, L2-normalised; an empty text gives zeros. Raises DependencyUnavailable, Overloaded,
        DeadlineExceeded."""
        ...

    async def embed_words(self, words: Sequence[str], caller: Caller) -> NDArray[np.float32]:
        """(n, d) float32, L2-normalised: what single words mean. Raises as ``embed``."""
        ...


class TokenCounter(Protocol):
    """Tokens of a text, as a generator would count them; may be an estimate."""

    def count(self, text: str) -> int:
        """At least 0, quickly, without I/O."""
        ...


class TermAnalyser(Protocol):
    """Text to index terms, the same for questions and passages."""

    def __call__(self, text: str) -> Sequence[str]:
        """Stemmed terms in order, without stop words; the same function that the lexical index uses."""
        ...


OMITTED: Final = "[…]"
"""Stands in what a generator reads for a sentence that it must not, or need not."""


@dataclass(frozen=True, slots=True)
class ContextBlock:
    """Text given to a generator. ``text`` equals the document's text at ``place.span``; ``tokens`` is its size.
    ``steering`` are the spans of ``text`` that speak to the machine, in order: nothing in them may be quoted or
    followed. ``pruned`` are spans, in order, that a prompt is spared: they may be quoted like the rest."""

    number: int
    passage: Passage
    text: str
    place: Place
    tokens: int
    steering: tuple[Span, ...] = ()
    pruned: tuple[Span, ...] = ()

    @property
    def readable(self) -> str:
        """What a generator reads of the text."""
        pieces, start = [], 0
        for span in sorted((*self.steering, *self.pruned), key=lambda each: each.start):
            if span.start >= start:
                pieces += [self.text[start : span.start], OMITTED]
                pieces.append("\n" if self.text[: span.end].endswith("\n") else "")
            start = max(start, span.end)
        return "".join([*pieces, self.text[start:]])


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a generator writes from.

    Attributes:
        blocks: What fits the token budget, best first, numbered from 1.
        asked_at: When it was asked, aware, in UTC; tells old information from new.
        account: Where what is used for it is noted.
    """

    question: str
    blocks: Sequence[ContextBlock]
    caller: Caller
    asked_at: datetime
    account: Account | None = None


class Generator(Protocol):
    """Writes an answer from context blocks, or says that they are not enough.

    Attributes:
        name: Shown in the answer, for instance "extractive".
    """

    name: str

    def generate(self, request: GenerationRequest) -> AsyncGenerator[TextPiece | CitationSettled | Draft, None]:
        """Pieces and citations as they are written, or none, then exactly one draft with all of the text. What comes
        as pieces reaches
        the reader at once; a draft without pieces reaches him after the last check of its citations. Every citation
        names one of the blocks, and its
        quote equals the block's text at its place. A generator that fails ends with outcome FALLBACK; it raises only
        DeadlineExceeded; Overloaded and DependencyUnavailable for a token budget that is used up or can't be read,
        before its first piece; and Defect for what should not be."""
        ...


class AnswerLog(Protocol):
    """What was answered to whom. Holds text of questions and documents, so nothing of it may reach logs or spans."""

    async def record(self, entry: LoggedAnswer) -> None:
        """Stores the answer durably. Idempotent by answer id. Raises DependencyUnavailable."""
        ...

    async def find(self, answer_id: str, tenant_id: str, subject: str | None) -> LoggedAnswer | None:
        """The answer if it was given to exactly this subject of this tenant; None stands for any of them."""
        ...

    async def forget_before(self, moment: datetime) -> int:
        """Removes answers given before ``moment``, with their feedback; returns how many. Idempotent."""
        ...
