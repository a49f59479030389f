"""Composition root of the gateway."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from chassis.cache.port import Cache
from chassis.clock import Clock, SystemClock
from chassis.errors import DependencyUnavailable
from chassis.expected import wait_until_as_expected
from chassis.lifecycle import Lifecycle
from chassis.resilience.admission import AdmissionController
from chassis.rpc.client import open_channel
from chassis.rpc.server import GrpcServer
from chassis.telemetry import logger
from chassis.tokens import create_keys
from corpus.analysis import analyse
from gateway.adapters.retriever import GrpcRetrieval, RetrievalDefaults, wishes_of
from gateway.adapters.sqlite_answer_log import SqliteAnswerLog
from gateway.adapters.sqlite_cost_log import SqliteCostLog
from gateway.adapters.sqlite_feedback import SqliteFeedback
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.auth.authenticator import EdgeAuthenticator
from gateway.auth.bearer import BearerTokens, TokenRules
from gateway.auth.claims import ClaimNames
from gateway.auth.jwks import KeySet, key_source
from gateway.costs.accounting import CostAccounting
from gateway.costs.budgets import BudgetLimits, TokenBudgets
from gateway.costs.domain import PriceTable
from gateway.costs.ports import CostLog, TokenLedger
from gateway.costs.prices import load_prices
from gateway.costs.report import ReportCosts
from gateway.costs.servicer import CostServicer
from gateway.dead_letters.servicer import ForwardedDeadLetters
from gateway.drift.servicer import DriftServicer
from gateway.drift.watch import DriftWatch
from gateway.feedback.ports import FeedbackStore
from gateway.feedback.service import AnswerFeedback
from gateway.feedback.servicer import FeedbackServicer
from gateway.forwarding import CallLimits, ForwardedDocuments, ForwardedSearch
from gateway.generations.servicer import ForwardedGenerations
from gateway.http.app import build_app
from gateway.http.guard import HttpLimits
from gateway.http.identity import HttpIdentity
from gateway.http.server import HttpServer
from gateway.parts import (
    Channels,
    answer_cache_of,
    context_limits,
    drift_watch,
    generator_of,
    guardrails_of,
    open_answer_cache,
    open_token_ledger,
    planner_of,
    rate_limits,
    recorder_of,
    verifier_of,
)
from gateway.ports import AnswerLog, Generator
from gateway.privacy.answers import RevealedAnswers
from gateway.privacy.servicer import ForwardedPrivacy
from gateway.record.replay import MakeAgain
from gateway.record.servicer import ReplayServicer
from gateway.replay import ReplayAnswers
from gateway.reviews.servicer import ForwardedReviews
from gateway.service import AnswerPolicy, AnswerQuestions
from gateway.servicer import GatewayServicer
from gateway.settings import GatewaySettings
from gateway.stages.understand.planner import Planner
from gateway.stores.servicer import ForwardedStores, ForwardedVersions
from gateway.use_cases import UseCases
from headwater.gateway.v1 import costs_pb2_grpc, drift_pb2_grpc, feedback_pb2_grpc, gateway_pb2_grpc, replay_pb2_grpc
from headwater.ingest.v1 import (
    dead_letters_pb2_grpc,
    generations_pb2_grpc,
    privacy_pb2_grpc,
    reviews_pb2_grpc,
    stores_pb2_grpc,
    versions_pb2_grpc,
)

SERVICE: Final = "headwater.gateway.v1.GatewayService"
FEEDBACK: Final = "headwater.gateway.v1.FeedbackService"
COSTS: Final = "headwater.gateway.v1.CostService"
REPLAYS: Final = "headwater.gateway.v1.ReplayService"
DRIFT: Final = "headwater.gateway.v1.DriftService"
GENERATIONS: Final = "headwater.ingest.v1.GenerationService"
DEAD_LETTERS: Final = "headwater.ingest.v1.DeadLetterService"
PRIVACY: Final = "headwater.ingest.v1.PrivacyService"
STORES: Final = ("headwater.ingest.v1.StoreService", "headwater.ingest.v1.VersionService")
REVIEWS: Final = "headwater.ingest.v1.ReviewService"
_ISSUERS: Final = ("gateway", "ingest", "retriever")
_PURGE_SECONDS: Final = 3600.0
_HTTP_DRAIN_SHARE: Final = 0.6
"""Share of the drain budget for HTTP requests in flight: closing stores and flushing traces comes after them."""

_log = logger("gateway")


async def serve(lifecycle: Lifecycle, settings: GatewaySettings) -> None:
    """Runs the gateway until told to stop."""
    if settings.profile == "embedded":
        # One machine, one key directory: whichever service starts first makes what is missing.
        await asyncio.to_thread(create_keys, settings.keys_dir, _ISSUERS)
    channels = await _open_channels(lifecycle, settings)
    log, opinions, cost_log = await _open_logs(lifecycle, settings)
    clock = SystemClock()
    ledger = open_token_ledger(lifecycle.stack, settings)
    limits = BudgetLimits(settings.token_budget_day, settings.token_budget_in_flight, settings.tenant_budgets)
    budgets = TokenBudgets(limits, ledger, clock)
    watch = drift_watch(settings, clock)
    generator = generator_of(lifecycle, settings, channels, budgets, watch)
    planner = planner_of(lifecycle, settings, budgets)
    kept = open_answer_cache(lifecycle, settings)
    use_cases = build_use_cases(
        settings, channels, log, clock, generator, planner, cost_log, feedback=opinions, kept=kept, watch=watch
    )
    authenticator = await _authenticator(lifecycle, settings)
    server = await lifecycle.stack.enter_async_context(GrpcServer(settings, lifecycle, authenticator))
    servicer = GatewayServicer(
        use_cases.questions,
        use_cases.answers,
        use_cases.feedback,
        use_cases.search,
        use_cases.documents,
        ask_seconds=settings.ask_seconds,
    )
    gateway_pb2_grpc.add_GatewayServiceServicer_to_server(servicer, server.grpc)
    feedback = FeedbackServicer(use_cases.feedback, seconds=settings.ask_seconds)
    feedback_pb2_grpc.add_FeedbackServiceServicer_to_server(feedback, server.grpc)
    dead_letters_pb2_grpc.add_DeadLetterServiceServicer_to_server(use_cases.dead_letters, server.grpc)
    stores_pb2_grpc.add_StoreServiceServicer_to_server(use_cases.stores, server.grpc)
    versions_pb2_grpc.add_VersionServiceServicer_to_server(use_cases.versions, server.grpc)
    reviews_pb2_grpc.add_ReviewServiceServicer_to_server(use_cases.reviews, server.grpc)
    generations_pb2_grpc.add_GenerationServiceServicer_to_server(use_cases.generations, server.grpc)
    costs_pb2_grpc.add_CostServiceServicer_to_server(use_cases.costs, server.grpc)
    privacy_pb2_grpc.add_PrivacyServiceServicer_to_server(use_cases.privacy, server.grpc)
    replays = ReplayServicer(use_cases.replays, seconds=settings.ask_seconds)
    drift_pb2_grpc.add_DriftServiceServicer_to_server(use_cases.drift, server.grpc)
    replay_pb2_grpc.add_ReplayServiceServicer_to_server(replays, server.grpc)
    await server.start(SERVICE, FEEDBACK, COSTS, REPLAYS, DRIFT, DEAD_LETTERS, GENERATIONS, PRIVACY, *STORES, REVIEWS)
    if settings.http_listen:
        _start_http(lifecycle, settings, use_cases, authenticator, server.admission)
    lifecycle.create_task(_forget_old_answers(log, settings, clock), "answer-retention")
    lifecycle.create_task(_forget_old_costs(ledger, cost_log, settings, clock), "cost-retention")
    await lifecycle.serve_until_signal()


def build_use_cases(
    settings: GatewaySettings,
    channels: Channels,
    log: AnswerLog,
    clock: Clock,
    generator: Generator,
    planner: Planner | None = None,
    cost_log: CostLog | None = None,
    *,
    feedback: FeedbackStore,
    kept: Cache | None = None,
    watch: DriftWatch | None = None,
) -> UseCases:
    """The use cases over their adapters."""
    tokens = EstimatingTokenCounter()
    rates = rate_limits(settings)
    costs = CostAccounting(
        load_prices(settings.prices) if settings.prices is not None else PriceTable(),
        cost_log,
        clock,
        metric_tenants=settings.cost_metric_tenants,
    )
    # Extraction quotes passages; a language model reads the sections around them as well.
    sections = settings.generator == "openai"
    retrieval = GrpcRetrieval(
        channels.retriever,
        RetrievalDefaults(
            settings.ask_k,
            settings.ask_max_per_document,
            sections,
            settings.search_seconds,
            explains=settings.answer_record,
        ),
    )
    policy = AnswerPolicy(
        context_limits(settings),
        min_similarity=settings.min_similarity,
        min_score=settings.min_score,
        mask_questions=settings.mask_questions,
    )
    limits = CallLimits(settings.search_seconds, settings.write_seconds, settings.upload_seconds)
    privacy = ForwardedPrivacy(channels.ingest, rates, settings.write_seconds)
    recorder = recorder_of(settings)
    watch = watch or drift_watch(settings, clock)
    questions = AnswerQuestions(
        retrieval,
        generator,
        log,
        tokens,
        clock,
        policy,
        rates,
        planner,
        guardrails=guardrails_of(settings),
        costs=costs,
        verifier=verifier_of(settings, channels),
        cache=answer_cache_of(settings, channels, retrieval, clock, kept) if kept is not None else None,
        recorder=recorder,
        watch=watch,
    )
    deterministic = settings.generator == "extractive" and settings.understand_with == "rules"
    return UseCases(
        questions=RevealedAnswers(questions, privacy),
        drift=DriftServicer(watch, rates),
        replays=MakeAgain(questions, log, retrieval, rates, recorder, wishes_of, deterministic=deterministic),
        answers=ReplayAnswers(log, retrieval, rates, redacts=settings.openai_redact),
        feedback=AnswerFeedback(log, feedback, retrieval, clock, rates, analyse, mask=settings.mask_questions),
        search=ForwardedSearch(channels.retriever, rates, limits),
        documents=ForwardedDocuments(channels.ingest, rates, limits),
        dead_letters=ForwardedDeadLetters(channels.ingest, rates, settings.write_seconds),
        stores=ForwardedStores(channels.ingest, rates),
        versions=ForwardedVersions(channels.ingest, rates, settings.write_seconds),
        reviews=ForwardedReviews(channels.ingest, rates, settings.write_seconds),
        generations=ForwardedGenerations(channels.ingest, rates),
        privacy=privacy,
        costs=CostServicer(ReportCosts(cost_log, rates, clock)),
    )


def _start_http(
    lifecycle: Lifecycle,
    settings: GatewaySettings,
    use_cases: UseCases,
    authenticator: EdgeAuthenticator,
    admission: AdmissionController,
) -> None:
    identity = HttpIdentity(authenticator, development=settings.development)
    limits = HttpLimits(
        settings.max_body_bytes,
        settings.max_upload_bytes,
        settings.ask_seconds,
        settings.upload_seconds,
        settings.body_idle_seconds,
    )
    app = build_app(use_cases, identity, limits, admission)
    server = HttpServer(app, settings.http_listen, drain_seconds=settings.drain_seconds * _HTTP_DRAIN_SHARE)
    lifecycle.publish_endpoint("http", server.bind())
    lifecycle.create_task(server.serve(), "http")
    # Unwinding starts here: requests in flight finish before the task above is cancelled.
    lifecycle.stack.push_async_callback(server.finish)
    lifecycle.create_task(_refuse_when_stopping(lifecycle, server), "http-drain")


async def _refuse_when_stopping(lifecycle: Lifecycle, server: HttpServer) -> None:
    await lifecycle.stopping.wait()
    server.refuse()


async def _open_logs(lifecycle: Lifecycle, settings: GatewaySettings) -> tuple[AnswerLog, FeedbackStore, CostLog]:
    if settings.profile == "embedded":
        log, feedback = SqliteAnswerLog(settings.answers_path), SqliteFeedback(settings.answers_path)
        costs = SqliteCostLog(settings.data_dir / "costs.sqlite")
        for opened in (log, feedback, costs):
            lifecycle.stack.push_async_callback(opened.close)
        return log, feedback, costs
    # Its client costs half a second to load, which the embedded profile needn't pay.
    from chassis.elasticsearch.client import open_store
    from chassis.elasticsearch.indexes import all_differences
    from gateway.adapters import elasticsearch_answer_log, elasticsearch_cost_log
    from gateway.adapters.elasticsearch_feedback import ElasticsearchFeedback

    store = open_store(settings.elasticsearch)
    lifecycle.stack.push_async_callback(store.close)
    specs = (*elasticsearch_answer_log.SPECS, *elasticsearch_cost_log.SPECS)
    await wait_until_as_expected(lambda: all_differences(store, specs))
    return (
        elasticsearch_answer_log.ElasticsearchAnswerLog(store),
        ElasticsearchFeedback(store),
        elasticsearch_cost_log.ElasticsearchCostLog(store),
    )


async def _open_channels(lifecycle: Lifecycle, settings: GatewaySettings) -> Channels:
    opened = []
    for target in (settings.retriever_target, settings.embedder_target, settings.ingest_target):
        opened.append(await lifecycle.stack.enter_async_context(open_channel(target, settings=settings)))
    return Channels(*opened)


async def _authenticator(lifecycle: Lifecycle, settings: GatewaySettings) -> EdgeAuthenticator:
    if not settings.jwt_issuer:
        return EdgeAuthenticator(None, development=settings.development)
    keys = KeySet(key_source(settings.jwt_jwks))
    await keys.refresh()
    lifecycle.create_task(keys.keep_current(settings.jwt_refresh_seconds), "jwks")
    claims = ClaimNames(
        settings.jwt_tenant_claim,
        settings.jwt_subject_claim,
        settings.jwt_groups_claim,
        settings.jwt_clearance_claim,
        settings.jwt_scopes_claim,
    )
    rules = TokenRules(settings.jwt_issuer, settings.jwt_audience, claims, settings.jwt_leeway_seconds)
    return EdgeAuthenticator(BearerTokens(keys, rules), development=settings.development)


async def _forget_old_answers(log: AnswerLog, settings: GatewaySettings, clock: Clock) -> None:
    while True:
        try:
            removed = await log.forget_before(clock.now() - timedelta(days=settings.answer_retention_days))
            if removed:
                _log.info("old answers removed", count=removed)
        except DependencyUnavailable:
            _log.warning("old answers could not be removed now")
        await asyncio.sleep(_PURGE_SECONDS)


async def _forget_old_costs(ledger: TokenLedger, log: CostLog, settings: GatewaySettings, clock: Clock) -> None:
    while True:
        today = clock.now().date()
        try:
            # A call that began before midnight may still be settled.
            await ledger.forget_before(today - timedelta(days=1))
            await log.forget_before(today - timedelta(days=settings.cost_retention_days))
        except DependencyUnavailable:
            _log.warning("old costs could not be removed now")
        await asyncio.sleep(_PURGE_SECONDS)
