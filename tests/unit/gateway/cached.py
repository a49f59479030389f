"""A gateway over fakes that keeps its answers, and what can be done to the world behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import numpy as np
from tests.unit.gateway.fakes import ALICE, BagOfWordsEmbedder, Gateway

from chassis.errors import DependencyUnavailable, NotFound
from chassis.identity import Caller
from corpus.access import access_fingerprint, access_tokens
from corpus.analysis import analyse
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.domain import Answer, AnswerEvent, AnswerReady, CitationKey, Question
from gateway.service import AnswerPolicy, AnswerQuestions
from gateway.settings import GatewaySettings
from gateway.stages.cache.answers import AnswerCache, CachePolicy
from gateway.stages.cache.ports import QuestionVector, Standing
from gateway.stages.context import ContextLimits
from gateway.understanding import build_planner


class FakeSources:
    """What the retriever says: ``incarnations`` are ids of the tenants that have a name now."""

    def __init__(self, unreadable: set[str]) -> None:
        self.unreadable = unreadable
        self.hidden_from: dict[str, set[str]] = {}
        self.superseded: set[str] = set()
        self.incarnations = {"acme": "acme", "other": "other"}
        self.generation = "g1"
        self.down = False
        self.calls = 0

    async def standing(self, keys: Sequence[CitationKey], caller: Caller) -> Standing:
        self.calls += 1
        if self.down:
            raise DependencyUnavailable("The heads can't be read.", retry_after_seconds=1.0)
        tenant = self.incarnations.get(caller.tenant_id)
        if tenant is None:
            raise NotFound("There is no such tenant.", reason="UNKNOWN_TENANT")
        gone = self.unreadable | self.superseded | self.hidden_from.get(caller.subject, set())
        access = access_fingerprint(access_tokens(tenant, caller.principals), caller.clearance)
        return Standing(tuple(key.document_id not in gone for key in keys), access, self.generation)


class WordVectors:
    """Questions as bags of words; ``model`` can be another one."""

    def __init__(self) -> None:
        self.model = "words@1"
        self.down = False
        self.calls = 0

    async def embed_question(self, text: str, caller: Caller) -> QuestionVector:
        self.calls += 1
        if self.down:
            raise DependencyUnavailable("The embedder is down.", retry_after_seconds=1.0)
        rows = np.zeros(BagOfWordsEmbedder.dimensions, np.float32)
        for term in analyse(text):
            rows[sum(term.encode()) * 31 % rows.size] += 1
        return QuestionVector(rows / max(float(np.linalg.norm(rows)), 1e-6), self.model)


class OpenCache:
    """A cache whose bytes a test can read and replace, and that can be down."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.seconds: dict[str, float] = {}
        self.down = False

    async def get(self, key: str) -> bytes | None:
        return None if self.down else self.values.get(key)

    async def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return {} if self.down else {key: self.values[key] for key in keys if key in self.values}

    async def put(self, key: str, value: bytes, ttl_seconds: float) -> None:
        if not self.down:
            self.values[key], self.seconds[key] = value, ttl_seconds

    async def put_many(self, values: Mapping[str, bytes], ttl_seconds: float) -> None:
        for key, value in values.items():
            await self.put(key, value, ttl_seconds)

    async def delete(self, key: str) -> None:
        if not self.down:
            self.values.pop(key, None)

    @property
    def answers(self) -> list[str]:
        return [key for key in self.values if key.startswith("answer/")]


class Counted:
    """Stands in for a metric."""

    def __init__(self) -> None:
        self.total: Counter[tuple[str, ...]] = Counter()

    def add(self, amount: float, **labels: str) -> None:
        self.total[tuple(labels.values())] += int(amount)


POLICY = CachePolicy(exact=True, similar=True, least_similarity=0.8, keep_seconds=300.0, recipe="r1")


class CachedGateway(Gateway):
    """As ``Gateway``, with a cache of answers."""

    def __init__(self, policy: CachePolicy = POLICY, **options: Any) -> None:
        super().__init__(**options)
        self.sources = FakeSources(self.retrieval.unreadable)
        self.vectors = WordVectors()
        self.cache = OpenCache()
        self.use(policy)

    def use(self, policy: CachePolicy) -> None:
        """From now on with this policy, as after a restart: the cache stays."""
        stage = AnswerCache(
            self.cache, self.sources, self.vectors, self.clock, policy, lambda retrieval: repr(retrieval).encode()
        )
        settings = GatewaySettings()
        self.questions = AnswerQuestions(
            self.retrieval,
            self.generator,
            self.log,
            EstimatingTokenCounter(),
            self.clock,
            AnswerPolicy(ContextLimits(3000, 12, sections=False)),
            self.rates,
            build_planner(settings, analyse),
            cache=stage,
        )

    @property
    def searched(self) -> int:
        """How many questions were searched for: those that were not answered from the cache."""
        return len(self.retrieval.questions)

    async def tell(self, question: str | Question, caller: Caller = ALICE) -> list[AnswerEvent]:
        """All events of an answer."""
        asked = Question(question) if isinstance(question, str) else question
        async with aclosing(self.questions.ask(asked, caller)) as events:
            return [event async for event in events]

    async def answer(self, question: str | Question, caller: Caller = ALICE) -> Answer:
        """The answer alone."""
        last = (await self.tell(question, caller))[-1]
        assert isinstance(last, AnswerReady)
        return last.answer


def as_member(caller: Caller, *groups: str) -> Caller:
    """The same subject with other groups."""
    return replace(caller, groups=frozenset(groups))
