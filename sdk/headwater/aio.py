"""The asyncio client."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import grpc

from headwater import channel, messages
from headwater.common.v1 import common_pb2
from headwater.costs import Costs
from headwater.dead_letters import DeadLetters
from headwater.drift import Drift
from headwater.errors import (
    GATEWAY_UNREACHABLE,
    HeadwaterError,
    TimeoutExceededError,
    UnavailableError,
    from_rpc_error,
)
from headwater.feedback import Feedback
from headwater.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from headwater.generations import Generations
from headwater.ingest.v1 import dead_letters_pb2_grpc
from headwater.privacy import Privacy
from headwater.replays import Replays
from headwater.reviews import Reviews
from headwater.stores import Stores
from headwater.types import (
    Answer,
    AnswerEvent,
    Change,
    Document,
    Identity,
    IngestStatus,
    LoggedAnswer,
    OpenChange,
    Receipt,
    SearchResult,
    Tenant,
)


class AsyncClient:
    """Calls a Headwater gateway. Safe for concurrent use within one event loop.

    Args:
        target: "host:port" of the gateway's gRPC port.
        token: Bearer token (JWT). Without one, ``identity`` is sent, which only a gateway in development mode takes.
        identity: Development identity; its defaults are the tenant "default" and all scopes.
        credentials: TLS credentials; None connects without TLS.

    Every method raises a subclass of ``HeadwaterError``. Calls without effect are retried while the gateway is
    unavailable; changes are not, unless you repeat them yourself with a version of your own.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:7700",
        *,
        token: str | None = None,
        identity: Identity | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, options=channel.options())
        else:
            self._channel = grpc.aio.secure_channel(target, credentials, options=channel.options())
        self._stub: gateway_pb2_grpc.GatewayServiceAsyncStub = gateway_pb2_grpc.GatewayServiceStub(self._channel)
        dead_letters: dead_letters_pb2_grpc.DeadLetterServiceAsyncStub = dead_letters_pb2_grpc.DeadLetterServiceStub(
            self._channel
        )
        self.dead_letters = DeadLetters(dead_letters, self._read, self._call)
        self._metadata = messages.call_metadata(token, identity or (Identity() if token is None else None))
        self.stores = Stores(self._channel, self._metadata, self._read, self._call)
        self.generations = Generations(self._channel, self._read, self._call)
        self.reviews = Reviews(self._channel, self._read, self._call)
        self.feedback = Feedback(self._channel, self._metadata, self._read, self._call)
        self.costs = Costs(self._channel, self._read)
        self.drift = Drift(self._channel, self._read, self._call)
        self.privacy = Privacy(self._channel, self._read, self._call)
        self.replays = Replays(self._channel, self._call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close(None)

    async def _call(self, method: Any, request: Any, timeout_seconds: float) -> Any:
        try:
            return await method(request, timeout=timeout_seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def _read(self, method: Any, request: Any, timeout_seconds: float) -> Any:
        """A call without effect: repeated a few times while the gateway answers that something behind it is away."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_seconds
        for _ in range(channel.READ_ATTEMPTS - 1):
            try:
                return await self._call(method, request, deadline - clock())
            except UnavailableError as error:
                pause = error.retry_after_seconds or channel.READ_PAUSE_SECONDS
                # gRPC itself has tried often enough to reach the gateway.
                if error.reason == GATEWAY_UNREACHABLE or clock() + pause >= deadline:
                    raise
                await asyncio.sleep(pause)
        return await self._call(method, request, deadline - clock())

    # -- questions ----------------------------------------------------------------------------------------------------

    async def search(
        self, text: str, *, k: int = 10, timeout_seconds: float = channel.READ_SECONDS, **options: Any
    ) -> SearchResult:
        """Passages for ``text``, best first.

        Options: ``filter`` (a mapping such as ``{"language": "python"}``), ``rerank`` ("auto", "on", "off"), ``legs``,
        ``expand`` (adds the passages' sections), ``explain``, ``min_score``, ``max_per_document``, ``generation`` (not
        the active one; for administrators), ``freshness_weight`` (share of a hit's score that ages).
        """
        request = gateway_pb2.SearchRequest(query=messages.search_query(text, k=k, **options))
        reply = await self._read(self._stub.Search, request, timeout_seconds)
        return messages.search_result(reply.result)

    async def search_batch(
        self, texts: Sequence[str], *, k: int = 10, timeout_seconds: float = channel.READ_SECONDS, **options: Any
    ) -> list[SearchResult]:
        """Up to 64 searches with the same options in one call."""
        queries = [messages.search_query(text, k=k, **options) for text in texts]
        reply = await self._read(
            self._stub.SearchBatch, gateway_pb2.SearchBatchRequest(queries=queries), timeout_seconds
        )
        return [messages.search_result(result) for result in reply.results]

    async def ask_stream(
        self,
        question: str,
        *,
        timeout_seconds: float = channel.ANSWER_SECONDS,
        **options: Any,
    ) -> AsyncIterator[AnswerEvent]:
        """The answer as it is made: stages, text (str), citations, and last the whole ``Answer``.

        Options: ``filter``, ``rerank`` ("auto", "on", "off"), ``k``, ``history`` (earlier ``Turn``s, oldest first),
        ``without`` (stages of understanding to leave out), ``apply_suggested_filters``, ``collections`` (the only ones
        to search), ``reveal`` (tells what pseudonyms stand for; scope reveal).
        """
        call = self._stub.Ask(
            gateway_pb2.AskRequest(question=messages.question(question, **options)),
            timeout=timeout_seconds,
            metadata=self._metadata,
        )
        try:
            async for reply in call:
                event = messages.answer_event(reply)
                if event is not None:
                    yield event
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        finally:
            call.cancel()

    async def ask(self, question: str, **options: Any) -> Answer:
        """The whole answer; options as in ``ask_stream``."""
        async for event in self.ask_stream(question, **options):
            if isinstance(event, Answer):
                return event
        raise HeadwaterError("The stream ended without an answer.", reason="STREAM_ENDED")

    async def ask_batch(
        self, questions: Sequence[str], *, timeout_seconds: float = channel.ANSWER_SECONDS
    ) -> list[Answer]:
        """Up to 64 answers in one call."""
        request = gateway_pb2.AskBatchRequest(questions=[messages.question(text) for text in questions])
        reply = await self._call(self._stub.AskBatch, request, timeout_seconds)
        return [messages.answer(item) for item in reply.answers]

    async def get_answer(self, answer_id: str, *, timeout_seconds: float = channel.READ_SECONDS) -> LoggedAnswer:
        """A logged answer of your own; what you may no longer read is taken out."""
        reply = await self._read(
            self._stub.GetAnswer, gateway_pb2.GetAnswerRequest(answer_id=answer_id), timeout_seconds
        )
        return messages.logged_answer(reply)

    async def send_feedback(
        self, answer_id: str, *, good: bool, comment: str = "", timeout_seconds: float = channel.READ_SECONDS
    ) -> None:
        """Says what you think of an answer; ``feedback.give`` takes a reason and a correction as well."""
        rating = gateway_pb2.RATING_GOOD if good else gateway_pb2.RATING_BAD
        request = gateway_pb2.SendFeedbackRequest(answer_id=answer_id, rating=rating, comment=comment)
        await self._call(self._stub.SendFeedback, request, timeout_seconds)

    # -- documents ----------------------------------------------------------------------------------------------------

    async def put_document(
        self,
        document_id: str,
        content: bytes | Path,
        *,
        timeout_seconds: float = channel.WRITE_SECONDS,
        **description: Any,
    ) -> Receipt:
        """Stores a document and returns once the change is accepted durably; it is searchable a moment later.

        Description: ``readers`` ("public", "group:…", "user:…"; none means nobody), ``filename``, ``media_type``,
        ``title``, ``doc_type``, ``uri``, ``metadata``, ``security_level``, ``expires_at``, ``version`` (your own,
        growing with each change of the document), ``bulk`` (True for a backfill: it waits for whatever else there is to
        do).
        """
        draft = messages.draft(document_id, **description)
        size = len(content) if isinstance(content, bytes) else await asyncio.to_thread(_size, content)
        if size <= channel.INLINE_BYTES:
            data = content if isinstance(content, bytes) else await asyncio.to_thread(content.read_bytes)
            request = gateway_pb2.PutDocumentRequest(draft=draft, content=data)
            return messages.receipt((await self._call(self._stub.PutDocument, request, timeout_seconds)).receipt)
        return await self._upload(draft, content, timeout_seconds)

    async def _upload(self, draft: Any, content: bytes | Path, timeout_seconds: float) -> Receipt:
        # Closed here, not by the stream: nobody finishes a stream whose call was refused half-way.
        with io.BytesIO(content) if isinstance(content, bytes) else await asyncio.to_thread(content.open, "rb") as file:
            reply = await self._call(self._stub.UploadDocument, _upload(draft, file), timeout_seconds)
        return messages.receipt(reply.receipt)

    async def delete_document(
        self, document_id: str, *, version: int = 0, timeout_seconds: float = channel.WRITE_SECONDS
    ) -> Receipt:
        """Deletes a document; deleting one that does not exist is accepted."""
        request = gateway_pb2.DeleteDocumentRequest(document_id=document_id, version=version)
        return messages.receipt((await self._call(self._stub.DeleteDocument, request, timeout_seconds)).receipt)

    async def set_document_access(
        self,
        document_id: str,
        readers: Sequence[str],
        *,
        security_level: int = 0,
        version: int = 0,
        timeout_seconds: float = channel.WRITE_SECONDS,
    ) -> Receipt:
        """Replaces a document's readers."""
        request = gateway_pb2.SetDocumentAccessRequest(
            document_id=document_id,
            version=version,
            access=common_pb2.Access(principals=readers, security_level=security_level),
        )
        return messages.receipt((await self._call(self._stub.SetDocumentAccess, request, timeout_seconds)).receipt)

    async def get_document(self, document_id: str, *, timeout_seconds: float = channel.READ_SECONDS) -> Document:
        """A document's live state and, with the write scope, its newest changes."""
        reply = await self._read(
            self._stub.GetDocument, gateway_pb2.GetDocumentRequest(document_id=document_id), timeout_seconds
        )
        return messages.document(reply.document, reply.changes)

    async def list_documents(
        self, *, prefix: str = "", include_deleted: bool = False, timeout_seconds: float = channel.READ_SECONDS
    ) -> AsyncIterator[Document]:
        """All documents in the order of their ids."""
        page_token = ""
        while True:
            request = gateway_pb2.ListDocumentsRequest(
                page_size=500, page_token=page_token, document_id_prefix=prefix, include_deleted=include_deleted
            )
            reply = await self._read(self._stub.ListDocuments, request, timeout_seconds)
            for item in reply.documents:
                yield messages.document(item)
            page_token = reply.next_page_token
            if not page_token:
                return

    async def get_changes(
        self, event_ids: Sequence[str], *, timeout_seconds: float = channel.READ_SECONDS
    ) -> list[Change]:
        """What became of these changes (up to 1,000)."""
        reply = await self._read(
            self._stub.GetChanges, gateway_pb2.GetChangesRequest(event_ids=event_ids), timeout_seconds
        )
        return [messages.change(item) for item in reply.changes]

    async def wait_for_changes(self, event_ids: Collection[str], *, timeout_seconds: float = 60.0) -> dict[str, Change]:
        """Waits until every one of these changes is in a terminal state. Raises TimeoutExceededError."""
        open_ids, finished = set(event_ids), dict[str, Change]()
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        pause = 0.02
        while open_ids:
            for change in await self.get_changes(sorted(open_ids)[:1000]):
                if change.state != "pending":
                    finished[change.event_id] = change
            open_ids -= finished.keys()
            if open_ids:
                if asyncio.get_running_loop().time() > deadline:
                    raise TimeoutExceededError(
                        f"{len(open_ids)} changes are still open; look at 'headwater status'.", reason="CHANGES_OPEN"
                    )
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, 0.5)
        return finished

    async def ingest_status(
        self, *, list_limit: int = 0, timeout_seconds: float = channel.READ_SECONDS
    ) -> IngestStatus:
        """Where ingestion stands."""
        reply = await self._read(
            self._stub.GetIngestStatus, gateway_pb2.GetIngestStatusRequest(list_limit=list_limit), timeout_seconds
        )
        return messages.ingest_status(reply.status)

    async def open_changes(self, *, timeout_seconds: float = channel.READ_SECONDS) -> AsyncIterator[OpenChange]:
        """All changes of the tenant that are in no terminal state, oldest first."""
        page_token = ""
        while True:
            request = gateway_pb2.ListOpenChangesRequest(page_size=500, page_token=page_token)
            reply = await self._read(self._stub.ListOpenChanges, request, timeout_seconds)
            for item in reply.changes:
                yield messages.open_change(item)
            page_token = reply.next_page_token
            if not page_token:
                return

    # -- tenants ------------------------------------------------------------------------------------------------------

    async def create_tenant(
        self, tenant_id: str, fields: Mapping[str, str] | None = None, *, timeout_seconds: float = channel.WRITE_SECONDS
    ) -> Tenant:
        """Creates a tenant or adds declared metadata fields to it (name to type: string, number, boolean, timestamp,
        version, string_list, number_list)."""
        request = gateway_pb2.CreateTenantRequest(tenant_id=tenant_id, fields=messages.declarations(fields or {}))
        return messages.tenant((await self._call(self._stub.CreateTenant, request, timeout_seconds)).tenant)

    async def delete_tenant(self, tenant_id: str, *, timeout_seconds: float = channel.ANSWER_SECONDS) -> None:
        """Removes a tenant with everything it holds."""
        await self._call(self._stub.DeleteTenant, gateway_pb2.DeleteTenantRequest(tenant_id=tenant_id), timeout_seconds)

    async def list_tenants(self, *, timeout_seconds: float = channel.READ_SECONDS) -> list[Tenant]:
        """All tenants."""
        reply = await self._read(self._stub.ListTenants, gateway_pb2.ListTenantsRequest(), timeout_seconds)
        return [messages.tenant(item) for item in reply.tenants]


def _size(file: Path) -> int:
    return file.stat().st_size


async def _upload(draft: Any, file: BinaryIO) -> AsyncIterator[gateway_pb2.UploadDocumentRequest]:
    yield gateway_pb2.UploadDocumentRequest(draft=draft)
    while not file.closed and (part := await asyncio.to_thread(_read, file)):
        yield gateway_pb2.UploadDocumentRequest(content=part)


def _read(file: BinaryIO) -> bytes:
    try:
        return file.read(channel.PART_BYTES)
    except ValueError:
        if file.closed:  # the call has ended meanwhile
            return b""
        raise
