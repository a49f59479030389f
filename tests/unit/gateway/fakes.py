"""Hand-written fakes of the gateway's ports, and makers of what tests speak about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from chassis.clock import ManualClock
from chassis.errors import DependencyUnavailable
from chassis.identity import Caller, Scope
from corpus.analysis import analyse
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.costs.accounting import CostAccounting
from gateway.domain import CitationKey, LoggedAnswer, Outcome, Passage, Place, Question, Retrieved, Span
from gateway.feedback.domain import AskedQuestion, Feedback, RatedAnswer, asked, rated
from gateway.feedback.service import AnswerFeedback
from gateway.generators.extractive.generator import ExtractiveGenerator
from gateway.ports import Generator
from gateway.rates import RateLimits, Spending
from gateway.replay import ReplayAnswers
from gateway.service import NO_GUARDRAILS, AnswerPolicy, AnswerQuestions
from gateway.stages.context import ContextLimits
from gateway.stages.guard.rails import Guardrails
from gateway.stages.understand.planner import Planner

ALICE = Caller("acme", "alice", frozenset({"support"}), 0, frozenset(Scope))
BOB = Caller("acme", "bob", frozenset(), 0, frozenset({Scope.READ}))
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)

PROBE_TEXT = (
    "## Cleaning\n\nClean the probe every ten days in summer. Use household vinegar against lime.\n\n"
    "1. Take the probe out of the water.\n2. Wipe the window with the yellow cloth.\n3. Put it back.\n"
)
GATEWAY_TEXT = "A gateway with firmware 3.1 accepts at most 120 sensors. Firmware 2.3 accepted 64. The light is amber."


def passage(document_id: str, text: str, *, score: float = 0.9, start: int = 100, similarity: float = 0.6) -> Passage:
    """A passage that begins at ``start`` of its document."""
    return Passage(
        document_id=document_id,
        chunks_version=7,
        chunk_id=f"{document_id}-chunk",
        text=text,
        score=score,
        similarity=similarity,
        title=document_id.capitalize(),
        place=Place((document_id.capitalize(),), 0, Span(start, start + len(text))),
        updated_at=NOW,
        document_version=7,
        ingest_trace_id="0af7651916cd43dd8448eb211c80319c",
    )


PASSAGES = (passage("gateway", GATEWAY_TEXT), passage("probe", PROBE_TEXT, score=0.7))


class FakeRetrieval:
    """Answers every question with the same passages; ``unreadable`` documents are those revoked since."""

    def __init__(self, passages: Sequence[Passage] = PASSAGES) -> None:
        self.result = Retrieved(tuple(passages), generation="g1")
        self.unreadable: set[str] = set()
        self.down = False
        self.batches = 0
        self.asked: list[str] = []
        self.questions: list[Question] = []

    async def search(self, question: Question, caller: Caller) -> Retrieved:
        self._check()
        self.asked.append(question.text)
        self.questions.append(question)
        return self.result

    async def search_batch(self, questions: Sequence[Question], caller: Caller) -> Sequence[Retrieved]:
        self._check()
        self.batches += 1
        self.questions.extend(questions)
        return [self.result for _ in questions]

    async def readable(self, keys: Sequence[CitationKey], caller: Caller) -> Sequence[bool]:
        self._check()
        return [key.document_id not in self.unreadable for key in keys]

    def _check(self) -> None:
        if self.down:
            raise DependencyUnavailable("The retriever is down.", retry_after_seconds=2.0)


class BagOfWordsEmbedder:
    """Vectors of hashed terms: texts that share words are similar."""

    dimensions = 512

    def __init__(self) -> None:
        self.down = False

    async def embed(
        self, question: str, sentences: Sequence[str], caller: Caller
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._vectors([question])[0], self._vectors(sentences)

    async def embed_words(self, words: Sequence[str], caller: Caller) -> NDArray[np.float32]:
        return self._vectors(words)

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.down:
            raise DependencyUnavailable("The embedder is down.", retry_after_seconds=1.0)
        rows = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for term in analyse(text):
                row[sum(term.encode()) * 31 % self.dimensions] += 1
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


class MemoryAnswerLog:
    """A log, and the feedback on its answers, in dictionaries."""

    def __init__(self) -> None:
        self.entries: dict[str, LoggedAnswer] = {}
        self.feedback: dict[str, Feedback] = {}
        self.down = False

    async def record(self, entry: LoggedAnswer) -> None:
        if self.down:
            raise DependencyUnavailable("The disk is full.")
        self.entries.setdefault(entry.answer.answer_id, entry)

    async def find(self, answer_id: str, tenant_id: str, subject: str | None) -> LoggedAnswer | None:
        entry = self.entries.get(answer_id)
        mine = entry is not None and entry.tenant_id == tenant_id and subject in (None, entry.subject)
        return entry if mine else None

    async def forget_before(self, moment: datetime) -> int:
        old = [key for key, entry in self.entries.items() if entry.answered_at < moment]
        for key in old:
            del self.entries[key]
            self.feedback.pop(key, None)
        return len(old)

    async def give(self, answer_id: str, feedback: Feedback) -> bool:
        if answer_id not in self.entries:
            return False
        self.feedback[answer_id] = feedback
        return True

    async def rated(self, tenant_id: str, since: datetime | None, limit: int) -> Sequence[RatedAnswer]:
        entries = self._newest(tenant_id, since)
        return [rated(entry, self.feedback[key]) for key, entry in entries if key in self.feedback][:limit]

    async def unanswered(self, tenant_id: str, since: datetime | None, limit: int) -> Sequence[AskedQuestion]:
        entries = self._newest(tenant_id, since)
        return [asked(entry) for _, entry in entries if entry.answer.outcome is Outcome.ABSTAINED][:limit]

    def _newest(self, tenant_id: str, since: datetime | None) -> list[tuple[str, LoggedAnswer]]:
        mine = [each for each in self.entries.items() if each[1].tenant_id == tenant_id]
        young = [each for each in mine if since is None or each[1].answered_at >= since]
        return sorted(young, key=lambda each: each[1].answered_at, reverse=True)


class Gateway:
    """The use cases over fakes, wired as the composition root does."""

    def __init__(
        self,
        passages: Sequence[Passage] = PASSAGES,
        *,
        generator: Generator | None = None,
        rate: str = "1000/second",
        planner: Planner | None = None,
        guardrails: Guardrails = NO_GUARDRAILS,
        costs: CostAccounting | None = None,
    ) -> None:
        self.retrieval = FakeRetrieval(passages)
        self.embedder = BagOfWordsEmbedder()
        self.log = MemoryAnswerLog()
        self.clock = ManualClock(NOW)
        self.rates = RateLimits(dict.fromkeys(Spending, rate))
        tokens = EstimatingTokenCounter()
        self.generator = generator or ExtractiveGenerator(self.embedder, analyse, tokens)
        policy = AnswerPolicy(ContextLimits(3000, 12, sections=False))
        self.questions = AnswerQuestions(
            self.retrieval,
            self.generator,
            self.log,
            tokens,
            self.clock,
            policy,
            self.rates,
            planner,
            guardrails=guardrails,
            costs=costs,
        )
        self.answers = ReplayAnswers(self.log, self.retrieval, self.rates)
        self.feedback = AnswerFeedback(
            self.log, self.log, self.retrieval, self.clock, self.rates, analyse, mask=policy.mask_questions
        )

    def revoke(self, document_id: str) -> None:
        """From now on nobody may read the document."""
        self.retrieval.unreadable.add(document_id)


def retrieved(*passages: Passage, degraded: tuple[str, ...] = ()) -> Retrieved:
    """What a search came back with."""
    return replace(Retrieved(passages), degraded=degraded)
