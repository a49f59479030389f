# ruff: noqa: N802 - gRPC names its methods
"""Both edges of a gateway over small services that speak real gRPC and verify internal tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from google.protobuf.timestamp_pb2 import Timestamp
from tests.unit.gateway.fakes import NOW, PASSAGES, BagOfWordsEmbedder

from chassis.clock import ManualClock
from chassis.errors import DependencyUnavailable, FailedPrecondition, NotFound
from chassis.identity import Caller, Scope, current_caller
from chassis.lifecycle import Lifecycle
from chassis.rpc.client import open_channel
from chassis.rpc.server import GrpcServer
from chassis.settings import ServiceSettings
from chassis.tokens import InternalTokenVerifier, create_keys, jwks_file
from corpus.analysis import analyse
from gateway.adapters.sqlite_answer_log import SqliteAnswerLog
from gateway.adapters.sqlite_cost_log import SqliteCostLog
from gateway.adapters.sqlite_feedback import SqliteFeedback
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.auth.authenticator import EdgeAuthenticator
from gateway.domain import Passage
from gateway.feedback.servicer import FeedbackServicer
from gateway.generators.extractive.generator import ExtractiveGenerator
from gateway.http.app import build_app
from gateway.http.guard import HttpLimits
from gateway.http.identity import HttpIdentity
from gateway.main import SERVICE, build_use_cases
from gateway.parts import Channels
from gateway.record.servicer import ReplayServicer
from gateway.servicer import GatewayServicer
from gateway.settings import GatewaySettings
from gateway.understanding import build_planner
from gateway.use_cases import UseCases
from headwater.common.v1 import common_pb2
from headwater.gateway.v1 import costs_pb2_grpc, drift_pb2_grpc, feedback_pb2_grpc, gateway_pb2_grpc, replay_pb2_grpc
from headwater.ingest.v1 import (
    ingest_pb2,
    ingest_pb2_grpc,
    privacy_pb2,
    privacy_pb2_grpc,
    reviews_pb2,
    reviews_pb2_grpc,
)
from headwater.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc

CONTENT_LIMIT = 300_000


class PeerSettings(ServiceSettings):
    """Settings of the services behind the gateway."""

    service_name = "retriever"


@dataclass
class Peers(
    retrieval_pb2_grpc.RetrievalServiceServicer,
    ingest_pb2_grpc.IngestServiceServicer,
    privacy_pb2_grpc.PrivacyServiceServicer,
    reviews_pb2_grpc.ReviewServiceServicer,
):
    """Retriever and ingest service in one. ``callers`` are who called, as the internal tokens said."""

    callers: list[Caller] = field(default_factory=list)
    pseudonyms: dict[str, str] = field(default_factory=dict)
    passages: Sequence[Passage] = PASSAGES
    vault_error: bool = False

    async def RevealPseudonyms(
        self, request: privacy_pb2.RevealPseudonymsRequest, context: Any
    ) -> privacy_pb2.RevealPseudonymsResponse:
        caller = current_caller()
        self.callers.append(caller)
        caller.require(Scope.REVEAL)
        if self.vault_error:
            raise FailedPrecondition("The vault's key is not in the key ring.", reason="VAULT_KEY_MISSING")
        return privacy_pb2.RevealPseudonymsResponse(
            revealed=[
                privacy_pb2.RevealedPseudonym(pseudonym=name, value=self.pseudonyms[name], kind="email")
                for name in request.pseudonyms
                if name in self.pseudonyms
            ]
        )

    async def ListVaultKeys(
        self, request: privacy_pb2.ListVaultKeysRequest, context: Any
    ) -> privacy_pb2.ListVaultKeysResponse:
        self.callers.append(current_caller())
        return privacy_pb2.ListVaultKeysResponse(
            keys=[privacy_pb2.VaultKey(key_id="0a0a0a0a", records=3, newest=True, known=True)]
        )

    async def RotateVault(
        self, request: privacy_pb2.RotateVaultRequest, context: Any
    ) -> privacy_pb2.RotateVaultResponse:
        self.callers.append(current_caller())
        return privacy_pb2.RotateVaultResponse(resealed=3)

    queries: list[retrieval_pb2.SearchQuery] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    drafts: list[ingest_pb2.DocumentDraft] = field(default_factory=list)
    broken_uploads: int = 0
    down: bool = False
    held: dict[str, reviews_pb2.HeldDocument] = field(default_factory=dict)
    released: list[tuple[str, int]] = field(default_factory=list)

    async def HoldDocument(
        self, request: reviews_pb2.HoldDocumentRequest, context: Any
    ) -> reviews_pb2.HoldDocumentResponse:
        self._called()
        hold = reviews_pb2.HeldDocument(
            document_id=request.document_id, reason=request.reason, held_by=current_caller().subject
        )
        hold.since.FromDatetime(NOW)
        self.held[request.document_id] = hold
        return reviews_pb2.HoldDocumentResponse(hold=hold)

    async def ReleaseDocument(
        self, request: reviews_pb2.ReleaseDocumentRequest, context: Any
    ) -> reviews_pb2.ReleaseDocumentResponse:
        self._called()
        self.released.append((request.document_id, request.document_version))
        return reviews_pb2.ReleaseDocumentResponse()

    async def ListHolds(self, request: reviews_pb2.ListHoldsRequest, context: Any) -> reviews_pb2.ListHoldsResponse:
        self._called()
        return reviews_pb2.ListHoldsResponse(holds=self.held.values())

    async def ListReviews(
        self, request: reviews_pb2.ListReviewsRequest, context: Any
    ) -> reviews_pb2.ListReviewsResponse:
        self._called()
        return reviews_pb2.ListReviewsResponse(
            reviews=[reviews_pb2.Review(review_id="r1", document_id="a", state=request.state)]
        )

    async def DecideReview(
        self, request: reviews_pb2.DecideReviewRequest, context: Any
    ) -> reviews_pb2.DecideReviewResponse:
        self._called()
        review = reviews_pb2.Review(review_id=request.review_id, state=request.decision, note=request.note)
        review.raised_at.FromDatetime(NOW)
        return reviews_pb2.DecideReviewResponse(review=review)

    def _called(self) -> None:
        caller = current_caller()
        self.callers.append(caller)
        if self.down:
            raise DependencyUnavailable("The heads can't be read.", reason="HEADS_UNAVAILABLE", retry_after_seconds=3.0)
        if caller.tenant_id == "nobody":
            raise NotFound("There is no such tenant.", reason="UNKNOWN_TENANT")

    async def Search(self, request: retrieval_pb2.SearchRequest, context: Any) -> retrieval_pb2.SearchResponse:
        self._called()
        self.queries.append(request.query)
        return retrieval_pb2.SearchResponse(result=_result(self.passages))

    async def SearchBatch(
        self, request: retrieval_pb2.SearchBatchRequest, context: Any
    ) -> retrieval_pb2.SearchBatchResponse:
        self._called()
        self.queries.extend(request.queries)
        return retrieval_pb2.SearchBatchResponse(results=[_result(self.passages) for _ in request.queries])

    async def ResolveCitations(
        self, request: retrieval_pb2.ResolveCitationsRequest, context: Any
    ) -> retrieval_pb2.ResolveCitationsResponse:
        self._called()
        found = [retrieval_pb2.ResolvedCitation(key=key, readable=True) for key in request.keys]
        return retrieval_pb2.ResolveCitationsResponse(citations=found)

    async def PutDocument(self, request: ingest_pb2.PutDocumentRequest, context: Any) -> ingest_pb2.PutDocumentResponse:
        self._called()
        self.drafts.append(request.draft)
        self.uploads[request.draft.document_id] = request.content
        return ingest_pb2.PutDocumentResponse(receipt=_receipt(request.draft.document_id))

    async def UploadDocument(
        self, request_iterator: AsyncIterator[ingest_pb2.UploadDocumentRequest], context: Any
    ) -> ingest_pb2.UploadDocumentResponse:
        self._called()
        draft, content = ingest_pb2.DocumentDraft(), b""
        complete = False
        try:
            async for part in request_iterator:
                if part.HasField("draft"):
                    draft = part.draft
                content += part.content
            complete = True
        finally:
            self.broken_uploads += not complete
        # As in the ingest service, work lies between the last part and acceptance: a stream that was cancelled may end
        # like one that is complete, and its cancellation arrives a moment later.
        await asyncio.sleep(0.05)
        self.drafts.append(draft)
        self.uploads[draft.document_id] = content
        return ingest_pb2.UploadDocumentResponse(receipt=_receipt(draft.document_id))

    async def DeleteDocument(
        self, request: ingest_pb2.DeleteDocumentRequest, context: Any
    ) -> ingest_pb2.DeleteDocumentResponse:
        self._called()
        return ingest_pb2.DeleteDocumentResponse(receipt=_receipt(request.document_id))

    async def SetDocumentAccess(
        self, request: ingest_pb2.SetDocumentAccessRequest, context: Any
    ) -> ingest_pb2.SetDocumentAccessResponse:
        self._called()
        return ingest_pb2.SetDocumentAccessResponse(receipt=_receipt(request.document_id))

    async def GetDocument(self, request: ingest_pb2.GetDocumentRequest, context: Any) -> ingest_pb2.GetDocumentResponse:
        self._called()
        if request.document_id != "a/b":
            raise NotFound("There is no such document.", reason="UNKNOWN_DOCUMENT")
        document = ingest_pb2.Document(
            document_id="a/b", version=2**62, state=ingest_pb2.DOCUMENT_STATE_LIVE, updated_at=_now()
        )
        change = ingest_pb2.Change(
            event_id="e", state=ingest_pb2.CHANGE_STATE_APPLIED, kind=ingest_pb2.CHANGE_KIND_UPSERT
        )
        return ingest_pb2.GetDocumentResponse(document=document, changes=[change])

    async def ListDocuments(
        self, request: ingest_pb2.ListDocumentsRequest, context: Any
    ) -> ingest_pb2.ListDocumentsResponse:
        self._called()
        document = ingest_pb2.Document(document_id=request.document_id_prefix + "x")
        return ingest_pb2.ListDocumentsResponse(documents=[document], next_page_token="next")

    async def GetChanges(self, request: ingest_pb2.GetChangesRequest, context: Any) -> ingest_pb2.GetChangesResponse:
        self._called()
        return ingest_pb2.GetChangesResponse(changes=[ingest_pb2.Change(event_id=e) for e in request.event_ids])

    async def GetIngestStatus(
        self, request: ingest_pb2.GetIngestStatusRequest, context: Any
    ) -> ingest_pb2.GetIngestStatusResponse:
        self._called()
        counts = [ingest_pb2.StateCount(state=ingest_pb2.CHANGE_STATE_APPLIED, count=3)]
        return ingest_pb2.GetIngestStatusResponse(lag=5, change_counts=counts)

    async def ListOpenChanges(
        self, request: ingest_pb2.ListOpenChangesRequest, context: Any
    ) -> ingest_pb2.ListOpenChangesResponse:
        self._called()
        change = ingest_pb2.Change(event_id="e", state=ingest_pb2.CHANGE_STATE_PENDING)
        return ingest_pb2.ListOpenChangesResponse(changes=[ingest_pb2.OpenChange(change=change)])

    async def CreateTenant(
        self, request: ingest_pb2.CreateTenantRequest, context: Any
    ) -> ingest_pb2.CreateTenantResponse:
        self._called()
        tenant = common_pb2.Tenant(tenant_id=request.tenant_id, fields=request.fields, created_at=_now())
        return ingest_pb2.CreateTenantResponse(tenant=tenant)

    async def DeleteTenant(
        self, request: ingest_pb2.DeleteTenantRequest, context: Any
    ) -> ingest_pb2.DeleteTenantResponse:
        self._called()
        return ingest_pb2.DeleteTenantResponse()

    async def ListTenants(self, request: ingest_pb2.ListTenantsRequest, context: Any) -> ingest_pb2.ListTenantsResponse:
        self._called()
        return ingest_pb2.ListTenantsResponse(tenants=[common_pb2.Tenant(tenant_id="acme")])


def _result(passages: Sequence[Passage]) -> retrieval_pb2.SearchResult:
    hits = []
    for found in passages:
        span = common_pb2.TextSpan(start=found.place.span.start, end=found.place.span.end)
        hits.append(
            retrieval_pb2.Hit(
                chunk_id=found.chunk_id,
                document_id=found.document_id,
                chunks_version=found.chunks_version,
                document_version=2**62,
                score=found.score,
                similarity=found.similarity,
                text=found.text,
                title=found.title,
                location=common_pb2.Location(heading_path=found.place.heading_path, span=span),
                updated_at=_now(),
                ingest_trace_id=found.ingest_trace_id,
            )
        )
    return retrieval_pb2.SearchResult(hits=hits, generation="g1", degraded=["rerank"])


def _receipt(document_id: str) -> ingest_pb2.ChangeReceipt:
    return ingest_pb2.ChangeReceipt(
        event_id="e-1", document_id=document_id, version=2**62, outcome=ingest_pb2.ACCEPT_OUTCOME_ACCEPTED
    )


def _now() -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(NOW)
    return timestamp


@dataclass
class Edges:
    """A running gateway: ``http`` speaks ASGI without a socket, ``grpc`` is a real channel."""

    peers: Peers
    http: httpx.AsyncClient
    grpc: gateway_pb2_grpc.GatewayServiceAsyncStub
    embedder: BagOfWordsEmbedder
    feedback: feedback_pb2_grpc.FeedbackServiceAsyncStub
    costs: costs_pb2_grpc.CostServiceAsyncStub
    target: str
    use_cases: UseCases


@asynccontextmanager
async def edges(folder: Path, *, development: bool = True, **settings: Any) -> AsyncIterator[Edges]:
    """Starts everything on free ports of this machine."""
    create_keys(folder / "keys", ["gateway"])
    own = GatewaySettings(data_dir=folder, development=development, trace_files=False, **settings)
    async with AsyncExitStack() as stack:
        peers = Peers()
        target = await _serve_peers(stack, folder, peers)
        channels = [await stack.enter_async_context(open_channel(target, settings=own)) for _ in range(3)]
        log = SqliteAnswerLog(folder / "answers.sqlite")
        stack.push_async_callback(log.close)
        feedback = SqliteFeedback(folder / "answers.sqlite")
        stack.push_async_callback(feedback.close)
        cost_log = SqliteCostLog(folder / "costs.sqlite")
        stack.push_async_callback(cost_log.close)
        embedder = BagOfWordsEmbedder()
        generator = ExtractiveGenerator(embedder, analyse, EstimatingTokenCounter())
        use_cases = build_use_cases(
            own,
            Channels(*channels),
            log,
            ManualClock(NOW),
            generator,
            build_planner(own, analyse),
            cost_log,
            feedback=feedback,
        )
        authenticator = EdgeAuthenticator(None, development=development)
        server = await stack.enter_async_context(GrpcServer(own, Lifecycle(own), authenticator))
        servicer = GatewayServicer(
            use_cases.questions,
            use_cases.answers,
            use_cases.feedback,
            use_cases.search,
            use_cases.documents,
            ask_seconds=30,
        )
        gateway_pb2_grpc.add_GatewayServiceServicer_to_server(servicer, server.grpc)
        feedback_pb2_grpc.add_FeedbackServiceServicer_to_server(
            FeedbackServicer(use_cases.feedback, seconds=30), server.grpc
        )
        costs_pb2_grpc.add_CostServiceServicer_to_server(use_cases.costs, server.grpc)
        drift_pb2_grpc.add_DriftServiceServicer_to_server(use_cases.drift, server.grpc)
        privacy_pb2_grpc.add_PrivacyServiceServicer_to_server(use_cases.privacy, server.grpc)
        replays = ReplayServicer(use_cases.replays, seconds=30)
        replay_pb2_grpc.add_ReplayServiceServicer_to_server(replays, server.grpc)
        await server.start(SERVICE)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{server.port}"))
        limits = HttpLimits(
            own.max_body_bytes, CONTENT_LIMIT, own.ask_seconds, own.upload_seconds, own.body_idle_seconds
        )
        app = build_app(use_cases, HttpIdentity(authenticator, development=development), limits, server.admission)
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 5))
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1"))
        yield Edges(
            peers,
            http,
            gateway_pb2_grpc.GatewayServiceStub(channel),
            embedder,
            feedback_pb2_grpc.FeedbackServiceStub(channel),
            costs_pb2_grpc.CostServiceStub(channel),
            f"127.0.0.1:{server.port}",
            use_cases,
        )


async def _serve_peers(stack: AsyncExitStack, folder: Path, peers: Peers) -> str:
    settings = PeerSettings(data_dir=folder / "peers", trace_files=False)
    verifier = InternalTokenVerifier(jwks_file(folder / "keys"), {"gateway"})
    server = await stack.enter_async_context(GrpcServer(settings, Lifecycle(settings), verifier))
    retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server(peers, server.grpc)
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(peers, server.grpc)
    privacy_pb2_grpc.add_PrivacyServiceServicer_to_server(peers, server.grpc)
    reviews_pb2_grpc.add_ReviewServiceServicer_to_server(peers, server.grpc)
    await server.start()
    return f"127.0.0.1:{server.port}"
