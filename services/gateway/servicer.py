"""gRPC edge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from chassis.identity import current_caller
from chassis.rpc.deadlines import budget
from gateway.adapters.messages import answer_message, event_message, question_of, replay_message
from gateway.feedback.messages import required_rating
from gateway.feedback.service import AnswerFeedback, Opinion
from gateway.forwarding import ForwardedDocuments, ForwardedSearch
from gateway.privacy.answers import RevealedAnswers
from gateway.replay import ReplayAnswers
from headwater.gateway.v1 import gateway_pb2, gateway_pb2_grpc

Context = Any


class GatewayServicer(gateway_pb2_grpc.GatewayServiceServicer):
    """Translates requests and replies; decides nothing. Each method is described in the proto."""

    def __init__(
        self,
        questions: RevealedAnswers,
        answers: ReplayAnswers,
        feedback: AnswerFeedback,
        search: ForwardedSearch,
        documents: ForwardedDocuments,
        *,
        ask_seconds: float,
    ) -> None:
        self._questions = questions
        self._answers = answers
        self._feedback = feedback
        self._search = search
        self._documents = documents
        self._ask_seconds = ask_seconds

    async def Ask(self, request: gateway_pb2.AskRequest, context: Context) -> AsyncIterator[gateway_pb2.AskResponse]:
        """See the proto."""
        async with aclosing(self._questions.ask(question_of(request.question), current_caller())) as events:
            async for event in events:
                yield event_message(event)

    async def AskBatch(self, request: gateway_pb2.AskBatchRequest, context: Context) -> gateway_pb2.AskBatchResponse:
        """See the proto."""
        async with budget(self._ask_seconds):
            answers = await self._questions.ask_batch([question_of(q) for q in request.questions], current_caller())
        return gateway_pb2.AskBatchResponse(answers=[answer_message(answer) for answer in answers])

    async def GetAnswer(self, request: gateway_pb2.GetAnswerRequest, context: Context) -> gateway_pb2.GetAnswerResponse:
        """See the proto."""
        return replay_message(await self._answers.replay(request.answer_id, current_caller()))

    async def SendFeedback(
        self, request: gateway_pb2.SendFeedbackRequest, context: Context
    ) -> gateway_pb2.SendFeedbackResponse:
        """See the proto."""
        opinion = Opinion(required_rating(request.rating), comment=request.comment)
        await self._feedback.give(request.answer_id, opinion, current_caller())
        return gateway_pb2.SendFeedbackResponse()

    async def Search(self, request: gateway_pb2.SearchRequest, context: Context) -> gateway_pb2.SearchResponse:
        """See the proto."""
        return await self._search.search(request, current_caller())

    async def SearchBatch(
        self, request: gateway_pb2.SearchBatchRequest, context: Context
    ) -> gateway_pb2.SearchBatchResponse:
        """See the proto."""
        return await self._search.search_batch(request, current_caller())

    async def PutDocument(
        self, request: gateway_pb2.PutDocumentRequest, context: Context
    ) -> gateway_pb2.PutDocumentResponse:
        """See the proto."""
        return await self._documents.put(request, current_caller())

    async def UploadDocument(
        self, request_iterator: AsyncIterator[gateway_pb2.UploadDocumentRequest], context: Context
    ) -> gateway_pb2.UploadDocumentResponse:
        """See the proto."""
        return await self._documents.upload(request_iterator, current_caller())

    async def DeleteDocument(
        self, request: gateway_pb2.DeleteDocumentRequest, context: Context
    ) -> gateway_pb2.DeleteDocumentResponse:
        """See the proto."""
        return await self._documents.delete(request, current_caller())

    async def SetDocumentAccess(
        self, request: gateway_pb2.SetDocumentAccessRequest, context: Context
    ) -> gateway_pb2.SetDocumentAccessResponse:
        """See the proto."""
        return await self._documents.set_access(request, current_caller())

    async def GetDocument(
        self, request: gateway_pb2.GetDocumentRequest, context: Context
    ) -> gateway_pb2.GetDocumentResponse:
        """See the proto."""
        return await self._documents.get(request, current_caller())

    async def ListDocuments(
        self, request: gateway_pb2.ListDocumentsRequest, context: Context
    ) -> gateway_pb2.ListDocumentsResponse:
        """See the proto."""
        return await self._documents.list(request, current_caller())

    async def GetChanges(
        self, request: gateway_pb2.GetChangesRequest, context: Context
    ) -> gateway_pb2.GetChangesResponse:
        """See the proto."""
        return await self._documents.changes(request, current_caller())

    async def GetIngestStatus(
        self, request: gateway_pb2.GetIngestStatusRequest, context: Context
    ) -> gateway_pb2.GetIngestStatusResponse:
        """See the proto."""
        return await self._documents.status(request, current_caller())

    async def ListOpenChanges(
        self, request: gateway_pb2.ListOpenChangesRequest, context: Context
    ) -> gateway_pb2.ListOpenChangesResponse:
        """See the proto."""
        return await self._documents.open_changes(request, current_caller())

    async def CreateTenant(
        self, request: gateway_pb2.CreateTenantRequest, context: Context
    ) -> gateway_pb2.CreateTenantResponse:
        """See the proto."""
        return await self._documents.create_tenant(request, current_caller())

    async def DeleteTenant(
        self, request: gateway_pb2.DeleteTenantRequest, context: Context
    ) -> gateway_pb2.DeleteTenantResponse:
        """See the proto."""
        return await self._documents.delete_tenant(request, current_caller())

    async def ListTenants(
        self, request: gateway_pb2.ListTenantsRequest, context: Context
    ) -> gateway_pb2.ListTenantsResponse:
        """See the proto."""
        return await self._documents.list_tenants(request, current_caller())
