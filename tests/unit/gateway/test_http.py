"""The HTTP edge."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from tests.unit.gateway.edges import CONTENT_LIMIT, Edges, edges

from chassis.identity import Scope
from gateway.domain import ABSTENTION_TEXT
from headwater.ingest.v1 import ingest_pb2

QUESTION = "How many sensors does a gateway with firmware 3.1 accept?"
AS_BOB = {"x-headwater-dev-tenant": "acme", "x-headwater-dev-subject": "bob", "x-headwater-dev-scopes": "read"}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Edges]:
    async with edges(tmp_path) as running:
        yield running


def sse_events(text: str) -> list[tuple[str, Any]]:
    events = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        events.append((lines.get("event", ""), json.loads(lines["data"]) if lines["data"] != "[DONE]" else None))
    return events


async def test_a_question_is_answered_with_citations(gateway: Edges) -> None:
    response = await gateway.http.post("/v1/ask", json={"question": QUESTION})

    body = response.json()
    assert response.status_code == 200
    assert body["outcome"] == "answered"
    assert body["text"].startswith("A gateway with firmware 3.1 accepts at most 120 sensors. [1]")
    assert body["citations"][0]["quote"] == "A gateway with firmware 3.1 accepts at most 120 sensors."
    assert body["citations"][0]["location"]["span"] == {"start": 100, "end": 156}
    assert body["degraded"] == ["rerank"]


async def test_the_same_question_as_a_stream_of_events(gateway: Edges) -> None:
    response = await gateway.http.post("/v1/ask", json={"question": QUESTION}, headers={"accept": "text/event-stream"})

    assert response.headers["content-type"].startswith("text/event-stream")
    events = sse_events(response.text)
    names = [name for name, _ in events]
    assert names[0] == "stage"
    assert names[-1] == "final"
    final = events[-1][1]
    assert "".join(data["text"] for name, data in events if name == "token") == final["text"]
    assert [data["number"] for name, data in events if name == "citation"] == [c["number"] for c in final["citations"]]


async def test_what_is_wrong_with_a_streamed_question_is_still_a_status(gateway: Edges) -> None:
    response = await gateway.http.post("/v1/ask", json={"question": " "}, headers={"accept": "text/event-stream"})

    assert response.status_code == 400
    assert response.json()["reason"] == "EMPTY_QUERY"


async def test_a_batch_keeps_its_order(gateway: Edges) -> None:
    questions = [{"question": QUESTION}, {"question": "Does it measure nitrate?"}]

    response = await gateway.http.post("/v1/ask:batch", json={"questions": questions})

    assert [answer["outcome"] for answer in response.json()["answers"]] == ["answered", "abstained"]


async def test_a_logged_answer_is_replayed_and_rated(gateway: Edges) -> None:
    answer = (await gateway.http.post("/v1/ask", json={"question": QUESTION})).json()

    replay = await gateway.http.get(f"/v1/answers/{answer['answer_id']}")
    rated = await gateway.http.post("/v1/feedback", json={"answer_id": answer["answer_id"], "rating": "good"})
    stranger = await gateway.http.get(f"/v1/answers/{answer['answer_id']}", headers=AS_BOB)

    assert replay.json()["answer"]["text"] == answer["text"]
    assert replay.json()["redacted"] is False
    assert rated.status_code == 204
    assert stranger.status_code == 404


async def test_a_search_passes_its_options_on_and_its_hits_back(gateway: Edges) -> None:
    body = {"query": "sensors", "k": 3, "filter": {"year": {"$gte": 2024}}, "rerank": "off", "legs": ["vector"]}

    response = await gateway.http.post("/v1/search", json=body)

    hit = response.json()["hits"][0]
    assert (hit["document_id"], hit["document_version"]) == ("gateway", 2**62)
    query = gateway.peers.queries[-1]
    assert (query.text, query.k, list(query.legs)) == ("sensors", 3, ["vector"])
    assert MessageToDict(query.filter) == {"year": {"$gte": 2024.0}}


async def test_the_services_are_told_who_calls(gateway: Edges) -> None:
    await gateway.http.post("/v1/search", json={"query": "x"}, headers=AS_BOB)

    caller = gateway.peers.callers[-1]
    assert (caller.tenant_id, caller.subject, caller.scopes) == ("acme", "bob", frozenset({Scope.READ}))
    assert caller.issuer == "gateway"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"query": "x", "k": 0}, 400, "INVALID_K"),
        ({"query": "x" * 1_000_000}, 400, "QUERY_TOO_LONG"),
        ({"query": "x" * 1_100_000}, 413, "BODY_TOO_LARGE"),
        ({"query": "x", "unknown": 1}, 400, "INVALID_REQUEST"),
        ({"query": 7}, 400, "INVALID_REQUEST"),
    ],
)
async def test_bad_searches_are_problems_with_a_reason(
    gateway: Edges, body: dict[str, Any], status: int, reason: str
) -> None:
    response = await gateway.http.post("/v1/search", json=body)

    assert (response.status_code, response.json()["reason"]) == (status, reason)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status


async def test_a_problem_never_repeats_what_was_sent(gateway: Edges) -> None:
    response = await gateway.http.post("/v1/search", json={"query": {"secret": "hunter2"}})

    assert "hunter2" not in response.text


async def test_an_unknown_tenant_is_named_as_such(gateway: Edges) -> None:
    response = await gateway.http.post("/v1/search", json={"query": "x"}, headers={"x-headwater-dev-tenant": "nobody"})

    assert (response.status_code, response.json()["reason"]) == (404, "UNKNOWN_TENANT")


async def test_an_outage_says_when_to_come_back(gateway: Edges) -> None:
    gateway.peers.down = True

    response = await gateway.http.post("/v1/ask", json={"question": QUESTION})

    assert (response.status_code, response.json()["reason"]) == (503, "HEADS_UNAVAILABLE")
    assert response.headers["retry-after"] == "3"


async def test_a_caller_over_his_rate_gets_429(tmp_path: Path) -> None:
    async with edges(tmp_path, rate_search="1/hour") as gateway:
        await gateway.http.post("/v1/search", json={"query": "x"})
        response = await gateway.http.post("/v1/search", json={"query": "x"})

    assert (response.status_code, response.json()["reason"]) == (429, "RATE_LIMITED")
    assert int(response.headers["retry-after"]) > 0


async def test_without_development_nobody_is_believed(tmp_path: Path) -> None:
    async with edges(tmp_path, development=False) as gateway:
        response = await gateway.http.post("/v1/search", json={"query": "x"}, headers=AS_BOB)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert gateway.peers.callers == []


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"host": "evil.example"}, {"origin": "null"}])
async def test_in_development_pages_of_other_sites_are_kept_out(gateway: Edges, headers: dict[str, str]) -> None:
    response = await gateway.http.post("/v1/search", json={"query": "x"}, headers=headers)

    assert (response.status_code, response.json()["reason"]) == (403, "FOREIGN_ORIGIN")


async def test_responses_carry_security_headers_and_a_request_id_and_no_cors(gateway: Edges) -> None:
    response = await gateway.http.post("/v1/search", json={"query": "x"})

    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    assert len(response.headers["x-request-id"]) == 32
    assert not any(name.startswith("access-control") for name in response.headers)


async def body_of(size: int) -> AsyncIterator[bytes]:
    for _ in range(0, size, 50_000):
        yield b"x" * 50_000


async def test_a_document_is_uploaded_in_parts_with_its_description(gateway: Edges) -> None:
    response = await gateway.http.put(
        "/v1/documents/folder/grüße.md",
        content=body_of(250_000),
        params={"title": "Grüße", "metadata": '{"year": 2026}', "principal": ["group:a", "public"], "version": 2**62}
        | {"bulk": "true"},
        headers={"content-type": "text/markdown; charset=utf-8"},
    )

    assert response.status_code == 202
    assert response.json()["version"] == 2**62
    draft = gateway.peers.drafts[-1]
    assert (draft.document_id, draft.title, draft.media_type) == ("folder/grüße.md", "Grüße", "text/markdown")
    assert list(draft.access.principals) == ["group:a", "public"]
    assert draft.metadata["year"] == 2026
    assert draft.lane == ingest_pb2.LANE_BULK
    assert gateway.peers.uploads["folder/grüße.md"] == b"x" * 250_000


async def test_a_document_that_is_too_large_is_refused_on_the_way_and_never_stored_half(gateway: Edges) -> None:
    response = await gateway.http.put("/v1/documents/big", content=body_of(CONTENT_LIMIT + 50_000))

    assert (response.status_code, response.json()["reason"]) == (413, "BODY_TOO_LARGE")
    assert "big" not in gateway.peers.uploads


async def test_a_text_document_is_put_as_json(gateway: Edges) -> None:
    body = {"document_id": "a", "content": "# Hällo", "access": {"principals": ["public"]}, "metadata": {"n": 1}}

    response = await gateway.http.post("/v1/documents", json=body)

    assert response.json()["outcome"] == "accepted"
    assert gateway.peers.uploads["a"] == "# Hällo".encode()


async def test_documents_are_shown_listed_deleted_and_opened_to_others(gateway: Edges) -> None:
    shown = (await gateway.http.get("/v1/documents/a/b")).json()
    listed = (await gateway.http.get("/v1/documents", params={"prefix": "p-"})).json()
    deleted = await gateway.http.delete("/v1/documents/a/b")
    opened = await gateway.http.put("/v1/documents/a/b/access", json={"principals": ["public"]})

    assert (shown["document"]["state"], shown["document"]["version"]) == ("live", 2**62)
    assert (shown["changes"][0]["state"], shown["changes"][0]["kind"]) == ("applied", "upsert")
    assert (listed["documents"][0]["document_id"], listed["next_page_token"]) == ("p-x", "next")
    assert (deleted.status_code, opened.status_code) == (202, 202)
    assert (await gateway.http.get("/v1/documents/other")).status_code == 404


async def test_changes_status_and_tenants(gateway: Edges) -> None:
    changes = (await gateway.http.get("/v1/changes", params={"event_id": ["a", "b"]})).json()
    status = (await gateway.http.get("/v1/status")).json()
    fields = [{"name": "year", "type": "number"}]
    created = await gateway.http.post("/v1/tenants", json={"tenant_id": "new", "fields": fields})

    assert [change["event_id"] for change in changes["changes"]] == ["a", "b"]
    assert (status["lag"], status["change_counts"]) == (5, [{"state": "applied", "count": 3}])
    assert (created.json()["tenant_id"], created.json()["fields"]) == ("new", fields)
    assert (await gateway.http.get("/v1/tenants")).json()["tenants"][0]["tenant_id"] == "acme"
    assert (await gateway.http.delete("/v1/tenants/new")).status_code == 204


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/v1/documents/a"), ("DELETE", "/v1/documents/a"), ("GET", "/v1/tenants")]
)
async def test_changing_things_needs_more_than_the_read_scope(gateway: Edges, method: str, path: str) -> None:
    response = await gateway.http.request(method, path, headers=AS_BOB)

    assert (response.status_code, response.json()["reason"]) == (403, "MISSING_SCOPE")
    assert gateway.peers.callers == []


async def test_unknown_addresses_and_methods_are_problems_too(gateway: Edges) -> None:
    assert (await gateway.http.get("/v1/nothing")).json()["reason"] == "UNKNOWN_PATH"
    assert (await gateway.http.get("/v1/search")).status_code == 405


async def test_openapi_describes_every_route(gateway: Edges) -> None:
    description = (await gateway.http.get("/openapi.json")).json()

    assert {"/v1/ask", "/v1/search", "/v1/documents/{document_id}", "/v1/chat/completions"} <= set(description["paths"])
    assert "ProblemBody" in description["components"]["schemas"]


CHAT = {
    "model": "gpt-4o",
    "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": QUESTION}],
}


async def test_a_chat_completion_has_the_official_shape_and_citations(gateway: Edges) -> None:
    body = (await gateway.http.post("/v1/chat/completions", json={**CHAT, "temperature": 0.2})).json()

    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    assert isinstance(body["created"], int)
    (choice,) = body["choices"]
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
    assert choice["message"]["role"] == "assistant"
    assert "120 sensors. [1]" in choice["message"]["content"]
    assert choice["message"]["citations"][0]["document_id"] == "gateway"
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


async def test_a_streamed_chat_completion_ends_with_citations_usage_and_done(gateway: Edges) -> None:
    request = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}

    response = await gateway.http.post("/v1/chat/completions", json=request)

    assert response.text.endswith("data: [DONE]\n\n")
    chunks = [data for _, data in sse_events(response.text)[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1])
    assert "120 sensors. [1]" in text
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-2]["choices"][0]["delta"]["citations"][0]["number"] == 1
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["prompt_tokens"] > 0) == ([], True)


async def test_the_last_user_message_is_the_question_in_either_form(gateway: Edges) -> None:
    parts = [{"type": "text", "text": "Does it measure nitrate?"}]
    messages = [*CHAT["messages"], {"role": "assistant", "content": "120"}, {"role": "user", "content": parts}]

    body = (await gateway.http.post("/v1/chat/completions", json={**CHAT, "messages": messages})).json()

    assert body["choices"][0]["message"]["content"] == ABSTENTION_TEXT


async def test_chat_errors_have_the_shape_that_openai_clients_read(gateway: Edges) -> None:
    response = await gateway.http.post("/v1/chat/completions", json={"model": "x", "messages": []})
    missing = await gateway.http.post(
        "/v1/chat/completions", json={"model": "x", "messages": [{"role": "system", "content": "x"}]}
    )

    assert response.status_code == missing.status_code == 400
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert missing.json()["error"]["code"] == "no_user_message"


async def test_there_is_one_model(gateway: Edges) -> None:
    models = (await gateway.http.get("/v1/models")).json()

    assert (models["object"], [model["id"] for model in models["data"]]) == ("list", ["headwater"])
