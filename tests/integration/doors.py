"""Every way in which somebody outside can be shown something, spoken as a caller would; whatever came back, as bytes.

gRPC over a real channel, HTTP and the endpoint for OpenAI's clients over ASGI. Who calls is told by a badge, which the
tests' own authenticator knows: how tokens prove it is tested elsewhere, and five thousand groups fit into no header.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
from google.protobuf.message import Message

from chassis.errors import Unauthenticated
from chassis.identity import Caller
from headwater.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from headwater.retrieval.v1 import retrieval_pb2

BADGE = "x-badge"
SECONDS = 30.0

SEARCHES = ("grpc", "grpc batch", "http", "http batch")
ASKS = ("grpc", "grpc batch", "http", "http events", "http batch", "openai", "openai events")
LOOKS = ("grpc", "http")


@dataclass
class Badges:
    """Authenticates callers by the badge that they were given."""

    known: dict[str, Caller] = field(default_factory=dict)
    _numbers: Any = field(default_factory=itertools.count)

    def of(self, caller: Caller) -> str:
        badge = f"badge-{next(self._numbers)}"
        self.known[badge] = caller
        return badge

    async def authenticate(self, metadata: Mapping[str, str | bytes]) -> Caller:
        return self._caller(metadata.get(BADGE))

    async def identify(self, metadata: Mapping[str, Sequence[str]], *, peer_host: str) -> Caller:
        return self._caller(next(iter(metadata.get(BADGE, ())), None))

    def _caller(self, badge: object) -> Caller:
        if badge not in self.known:
            raise Unauthenticated("Nobody knows this badge.")
        return self.known[str(badge)]


@dataclass(frozen=True)
class Shown:
    """What a caller got: all of it, and the parts that tests look into."""

    raw: bytes
    ok: bool
    hits: tuple[tuple[str, int, str, str], ...] = ()
    """(document, chunks version, chunk id, text)."""
    dropped: int = 0
    degraded: tuple[str, ...] = ()
    answer_id: str = ""
    citations: int = 0
    documents: frozenset[str] = frozenset()
    changes: int = 0


@dataclass
class Doors:
    """The gateway's edges."""

    badges: Badges
    stub: gateway_pb2_grpc.GatewayServiceAsyncStub
    http: httpx.AsyncClient

    async def search(self, door: str, text: str, caller: Caller, k: int = 100) -> Shown:
        if door == "grpc":
            query = retrieval_pb2.SearchQuery(text=text, k=k, explain=True, expansion=retrieval_pb2.EXPANSION_SECTION)
            return await self._call(self.stub.Search, gateway_pb2.SearchRequest(query=query), caller)
        if door == "grpc batch":
            query = retrieval_pb2.SearchQuery(text=text, k=k, explain=True)
            return await self._call(self.stub.SearchBatch, gateway_pb2.SearchBatchRequest(queries=[query]), caller)
        body = {"query": text, "k": k, "explain": True, "expand": "section"}
        if door == "http":
            return await self._request("POST", "/v1/search", caller, body)
        return await self._request("POST", "/v1/search:batch", caller, {"queries": [body]})

    async def ask(self, door: str, question: str, caller: Caller) -> Shown:
        match door:
            case "grpc":
                asked = gateway_pb2.Question(text=question)
                return await self._stream(self.stub.Ask, gateway_pb2.AskRequest(question=asked), caller)
            case "grpc batch":
                asked = gateway_pb2.Question(text=question)
                return await self._call(self.stub.AskBatch, gateway_pb2.AskBatchRequest(questions=[asked]), caller)
            case "http" | "http events":
                accept = "text/event-stream" if door == "http events" else "application/json"
                return await self._request("POST", "/v1/ask", caller, {"question": question}, accept)
            case "http batch":
                return await self._request("POST", "/v1/ask:batch", caller, {"questions": [{"question": question}]})
            case _:
                body = {
                    "messages": [{"role": "user", "content": question}],
                    "stream": door == "openai events",
                    "stream_options": {"include_usage": True},
                }
                return await self._request("POST", "/v1/chat/completions", caller, body)

    async def replay(self, door: str, answer_id: str, caller: Caller) -> Shown:
        if door == "grpc":
            return await self._call(self.stub.GetAnswer, gateway_pb2.GetAnswerRequest(answer_id=answer_id), caller)
        return await self._request("GET", f"/v1/answers/{answer_id}", caller)

    async def list(self, door: str, caller: Caller) -> Shown:
        if door == "grpc":
            asked = gateway_pb2.ListDocumentsRequest(page_size=1000, include_deleted=True)
            return await self._call(self.stub.ListDocuments, asked, caller)
        return await self._request("GET", "/v1/documents?page_size=1000&include_deleted=true", caller)

    async def get(self, door: str, document_id: str, caller: Caller) -> Shown:
        if door == "grpc":
            return await self._call(
                self.stub.GetDocument, gateway_pb2.GetDocumentRequest(document_id=document_id), caller
            )
        return await self._request("GET", f"/v1/documents/{document_id}", caller)

    async def status(self, door: str, caller: Caller) -> Shown:
        if door == "grpc":
            return await self._call(
                self.stub.GetIngestStatus, gateway_pb2.GetIngestStatusRequest(list_limit=100), caller
            )
        return await self._request("GET", "/v1/status?list_limit=100", caller)

    async def _call(self, method: Any, request: Message, caller: Caller) -> Shown:
        metadata = ((BADGE, self.badges.of(caller)),)
        try:
            reply: Message = await method(request, metadata=metadata, timeout=SECONDS)
        except grpc.aio.AioRpcError as error:
            return _refused(error)
        return _of_message(reply)

    async def _stream(self, method: Any, request: Message, caller: Caller) -> Shown:
        raw, last = b"", Shown(b"", ok=True)
        call = method(request, metadata=((BADGE, self.badges.of(caller)),), timeout=SECONDS)
        try:
            async for event in call:
                raw += event.SerializeToString()
                if event.WhichOneof("event") == "final":
                    last = Shown(b"", True, answer_id=event.final.answer_id, citations=len(event.final.citations))
        except grpc.aio.AioRpcError as error:
            return _refused(error)
        return Shown(raw, True, answer_id=last.answer_id, citations=last.citations)

    async def _request(
        self, method: str, url: str, caller: Caller, body: object = None, accept: str = "application/json"
    ) -> Shown:
        headers = {BADGE: self.badges.of(caller), "accept": accept}
        reply = await self.http.request(method, url, json=body, headers=headers)
        raw = reply.content + repr(reply.headers.raw).encode()
        if not reply.is_success:
            return Shown(raw, ok=False)
        if reply.headers["content-type"].startswith("text/event-stream"):
            # JSON escapes what is not ASCII; a word is ASCII, and told in pieces: the last event has it whole.
            return Shown(raw + b"".join(_texts(reply.text)), ok=True)
        return _of_json(raw, reply.json())


def _refused(error: grpc.aio.AioRpcError) -> Shown:
    said = f"{error.code()} {error.details()} {error.trailing_metadata()}"
    return Shown(said.encode(), ok=False)


def _of_message(reply: Any) -> Shown:
    raw = reply.SerializeToString()
    match reply:
        case gateway_pb2.SearchResponse():
            return _of_result(raw, reply.result)
        case gateway_pb2.SearchBatchResponse():
            return _of_result(raw, reply.results[0])
        case gateway_pb2.AskBatchResponse():
            (answer,) = reply.answers
            return Shown(raw, True, answer_id=answer.answer_id, citations=len(answer.citations))
        case gateway_pb2.ListDocumentsResponse():
            return Shown(raw, True, documents=frozenset(each.document_id for each in reply.documents))
        case gateway_pb2.GetDocumentResponse():
            return Shown(raw, True, documents=frozenset({reply.document.document_id}), changes=len(reply.changes))
    return Shown(raw, ok=True)


def _of_result(raw: bytes, result: retrieval_pb2.SearchResult) -> Shown:
    hits = tuple((each.document_id, each.chunks_version, each.chunk_id, each.text) for each in result.hits)
    return Shown(raw, True, hits, result.dropped_by_head_check, tuple(result.degraded))


def _of_json(raw: bytes, body: Mapping[str, Any]) -> Shown:
    result = body["results"][0] if "results" in body else body
    if "hits" in result:
        hits = tuple(
            (each["document_id"], int(each["chunks_version"]), each["chunk_id"], each["text"])
            for each in result["hits"]
        )
        return Shown(raw, True, hits, int(result["dropped_by_head_check"]), tuple(result["degraded"]))
    if "documents" in body:
        return Shown(raw, True, documents=frozenset(each["document_id"] for each in body["documents"]))
    if "document" in body:
        named = frozenset({body["document"]["document_id"]})
        return Shown(raw, True, documents=named, changes=len(body["changes"]))
    if "choices" in body:
        return Shown(raw, True, citations=len(body["choices"][0]["message"]["citations"]))
    answer = body["answers"][0] if "answers" in body else body
    return Shown(raw, True, answer_id=answer.get("answer_id", ""), citations=len(answer.get("citations", ())))


def _texts(events: str) -> Sequence[bytes]:
    """The pieces of text of a stream, which a word may be cut in two by."""
    found: list[bytes] = []
    for line in events.splitlines():
        if line.startswith("data: {"):
            data = json.loads(line.removeprefix("data: "))
            delta = data["choices"][0]["delta"] if data.get("choices") else {}
            found.append(str(data.get("text") or delta.get("content") or "").encode())
    return found
