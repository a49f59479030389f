"""What questions are answered with, as the settings say: the half of the composition root that chooses adapters of
answering."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc

from chassis.cache.memory import MemoryCache
from chassis.cache.port import Cache
from chassis.clock import Clock
from chassis.lifecycle import Lifecycle
from corpus.analysis import analyse
from gateway.adapters.embedder import GrpcSentenceEmbedder
from gateway.adapters.language_model_understanding import LanguageModelUnderstanding
from gateway.adapters.memory_token_ledger import MemoryTokenLedger
from gateway.adapters.retriever import GrpcRetrieval, described_query
from gateway.adapters.sqlite_token_ledger import SqliteTokenLedger
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.costs.budgets import TokenBudgets
from gateway.costs.metered import ModelMeter
from gateway.costs.ports import TokenLedger
from gateway.drift.watch import DriftWatch, WatchedEmbedder
from gateway.generators.extractive.generator import ExtractiveGenerator
from gateway.generators.openai_compatible.breaker import EndpointBreaker
from gateway.generators.openai_compatible.endpoint import ChatEndpoint, EndpointSettings
from gateway.generators.openai_compatible.endpoints import ChatEndpoints, NamedEndpoint
from gateway.generators.openai_compatible.generator import OpenAICompatibleGenerator
from gateway.generators.within_budget import WithinBudget
from gateway.ports import Generator
from gateway.rates import RateLimits, Spending
from gateway.record.domain import TextPolicy
from gateway.record.making import Recorder
from gateway.record.shaping import chosen
from gateway.settings import GatewaySettings
from gateway.stages.cache.answers import AnswerCache, CachePolicy
from gateway.stages.cache.recipe import recipe
from gateway.stages.conflicts.stage import ConflictFinder
from gateway.stages.context import ContextLimits
from gateway.stages.guard.output import OutputGuard
from gateway.stages.guard.question import QuestionGuard
from gateway.stages.guard.rails import Guardrails
from gateway.stages.understand.planner import Planner
from gateway.stages.verify.stage import Verifier, VerifyMode
from gateway.understanding import build_planner

if TYPE_CHECKING:
    from gateway.adapters.redis_token_ledger import RedisTokenLedger

_FIRST: Final = "first"
_SECOND: Final = "second"
"""What answers and metrics call the endpoints of language models."""


@dataclass(frozen=True, slots=True)
class Channels:
    """Channels to the services behind the gateway."""

    retriever: grpc.aio.Channel
    embedder: grpc.aio.Channel
    ingest: grpc.aio.Channel


def rate_limits(settings: GatewaySettings) -> RateLimits:
    """The rate limits of users, tenants and addresses."""

    def rates(of: str) -> dict[Spending, str]:
        return {kind: getattr(settings, f"rate_{of}{kind.value}") for kind in Spending}

    return RateLimits(
        rates(""), tenants=rates("tenant_"), addresses=rates("address_"), proxies=settings.trusted_proxies
    )


def guardrails_of(settings: GatewaySettings) -> Guardrails:
    """The guardrails that are switched on."""
    return Guardrails(
        question=QuestionGuard(settings.guard_question_score),
        sources=settings.guard_sources,
        output=OutputGuard(settings.link_hosts) if settings.guard_output else None,
    )


def verifier_of(settings: GatewaySettings, channels: Channels) -> Verifier:
    """What looks whether citations carry their sentences."""
    embedder = None
    if settings.verify_embeddings:
        # Sentences of answers are seldom written twice: none is remembered.
        embedder = GrpcSentenceEmbedder(channels.embedder, timeout_seconds=settings.embed_seconds, cache_bytes=0)
    conflicts = ConflictFinder(analyse) if settings.find_conflicts else None
    return Verifier(VerifyMode(settings.verify), analyse, embedder, conflicts)


def open_answer_cache(lifecycle: Lifecycle, settings: GatewaySettings) -> Cache | None:
    """Where answers are kept, None when they are not."""
    if not (settings.cache_answers or settings.cache_similar):
        return None
    if not settings.redis.url:
        return MemoryCache(settings.cache_bytes)
    from chassis.cache.redis import RedisCache

    cache = RedisCache(settings.redis, name="answers")
    lifecycle.stack.push_async_callback(cache.close)
    return cache


def open_token_ledger(stack: AsyncExitStack, settings: GatewaySettings) -> TokenLedger:
    """Where tokens are counted: for all gateways where they share a disk or a Redis, otherwise for this one alone."""
    ledger: SqliteTokenLedger | RedisTokenLedger
    if settings.profile == "embedded":
        ledger = SqliteTokenLedger(settings.data_dir / "tokens.sqlite")
    elif settings.redis.url:
        from gateway.adapters.redis_token_ledger import RedisTokenLedger

        ledger = RedisTokenLedger(settings.redis)
    else:
        return MemoryTokenLedger()
    stack.push_async_callback(ledger.close)
    return ledger


def drift_watch(settings: GatewaySettings, clock: Clock) -> DriftWatch:
    """What watches answers for drift."""
    file = settings.drift_reference
    if file is None and settings.profile == "embedded":
        file = settings.data_dir / "drift.json"
    return DriftWatch(settings.drift_window, file, clock)


def recorder_of(settings: GatewaySettings) -> Recorder:
    """What is recorded of answers."""
    shaping = settings.shaping_answers()
    fields = type(settings).model_fields
    defaults = {name: fields[name].get_default(call_default_factory=True) for name in shaping}
    return Recorder(
        settings.answer_record,
        TextPolicy(settings.answer_text),
        settings.mask_questions,
        _recipe_of(settings),
        chosen(shaping, defaults),
        described_query,
    )


def _recipe_of(settings: GatewaySettings) -> str:
    vocabulary = settings.understand_vocabulary
    return recipe(settings.shaping_answers(), [vocabulary] if vocabulary is not None else [])


def answer_cache_of(
    settings: GatewaySettings, channels: Channels, retrieval: GrpcRetrieval, clock: Clock, kept: Cache
) -> AnswerCache:
    """Answers that were given before, over the cache that was opened for them."""
    vectors = GrpcSentenceEmbedder(channels.embedder, timeout_seconds=settings.embed_seconds, cache_bytes=0)
    policy = CachePolicy(
        exact=settings.cache_answers,
        similar=settings.cache_similar,
        least_similarity=settings.cache_similarity,
        keep_seconds=settings.cache_seconds,
        recipe=_recipe_of(settings),
        # What the second endpoint wrote is never kept.
        models={OpenAICompatibleGenerator.name: settings.openai_model},
    )
    return AnswerCache(kept, retrieval, vectors, clock, policy, described_query)


def generator_of(
    lifecycle: Lifecycle,
    settings: GatewaySettings,
    channels: Channels,
    budgets: TokenBudgets,
    watch: DriftWatch,
) -> Generator:
    """Who writes answers: passages by themselves, or a language model."""
    if settings.generator == "extractive":
        return _extractive(settings, channels, watch)
    endpoints = [NamedEndpoint(_FIRST, _endpoint(lifecycle, settings, budgets, EndpointBreaker("language-model")))]
    if settings.openai_second_base_url:
        breaker = EndpointBreaker("language-model-second")
        endpoints.append(NamedEndpoint(_SECOND, _endpoint(lifecycle, settings, budgets, breaker, second=True)))
    generator = OpenAICompatibleGenerator(
        ChatEndpoints(endpoints),
        analyse,
        EstimatingTokenCounter(),
        total_seconds=settings.openai_total_seconds,
        redacts=settings.openai_redact,
        preferred=_FIRST,
    )
    if settings.over_budget == "extractive":
        return WithinBudget(generator, _extractive(settings, channels, watch))
    return generator


def context_limits(settings: GatewaySettings) -> ContextLimits:
    """What a generator reads: extraction quotes whole passages; a language model reads the sections around them, as
    far as there is room."""
    writes = settings.generator == "openai"
    return ContextLimits(
        settings.context_tokens,
        settings.context_blocks,
        sections=writes,
        prunes_with=analyse if writes and settings.context_prune else None,
        repeats=settings.context_repeats or not writes,
    )


def _extractive(settings: GatewaySettings, channels: Channels, watch: DriftWatch) -> ExtractiveGenerator:
    embedder = GrpcSentenceEmbedder(
        channels.embedder,
        timeout_seconds=settings.embed_seconds,
        cache_bytes=settings.sentence_cache_bytes,
    )
    return ExtractiveGenerator(WatchedEmbedder(embedder, watch), analyse, EstimatingTokenCounter())


def planner_of(lifecycle: Lifecycle, settings: GatewaySettings, budgets: TokenBudgets) -> Planner:
    """What makes a plan of a question."""
    language_model = None
    if settings.understand_with == "openai":
        endpoint = _endpoint(lifecycle, settings, budgets)
        language_model = LanguageModelUnderstanding(
            endpoint,
            total_seconds=settings.understand_seconds,
            freshness_weight=settings.understand_freshness_weight,
            redacts=settings.openai_redact,
            rewrites=settings.understand_rewrite,
            decomposes=settings.understand_decompose,
            guard=guardrails_of(settings).question,
        )
    return build_planner(settings, analyse, language_model)


def _endpoint(
    lifecycle: Lifecycle,
    settings: GatewaySettings,
    budgets: TokenBudgets,
    breaker: EndpointBreaker | None = None,
    *,
    second: bool = False,
) -> ChatEndpoint:
    model = settings.openai_second_model if second else settings.openai_model
    key = settings.openai_second_api_key if second else settings.openai_api_key
    endpoint = ChatEndpoint(
        EndpointSettings(
            base_url=settings.openai_second_base_url if second else settings.openai_base_url,
            model=model,
            api_key=key.get_secret_value(),
            connect_seconds=settings.openai_connect_seconds,
            token_seconds=settings.openai_token_seconds,
            max_tokens=settings.openai_max_tokens,
            temperature=settings.openai_temperature,
            attempts=settings.openai_attempts,
        ),
        meter=ModelMeter(model, settings.openai_max_tokens, EstimatingTokenCounter(), budgets),
        breaker=breaker,
    )
    lifecycle.stack.push_async_callback(endpoint.close)
    return endpoint
