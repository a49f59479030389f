"""Plans over HTTP, in OpenAI's form and over gRPC: what callers send, what the retriever is asked, what is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from tests.unit.gateway.edges import Edges, edges

from headwater.gateway.v1 import gateway_pb2

QUESTION = "How many sensors does a gateway with firmware 3.1 accept?"
VOCABULARY = """
[[tenants."*".collections]]
name = "people"
description = "Holiday and travel."
doc_types = ["policy"]

[tenants."*".fields.doc_type.values]
runbook = ["runbooks"]
"""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Edges]:
    file = tmp_path / "vocabulary.toml"
    file.write_text(VOCABULARY)
    async with edges(tmp_path, understand_vocabulary=file, understand_decompose=True) as running:
        yield running


async def test_over_http_a_follow_up_is_rewritten_and_the_plan_is_shown(gateway: Edges) -> None:
    body = {"question": "And with firmware 2.3?", "history": [{"question": QUESTION, "answer": "120."}]}

    answer = (await gateway.http.post("/v1/ask", json=body)).json()

    assert answer["plan"]["rewritten_question"] == "How many sensors does a gateway with firmware 2.3 accept?"
    assert answer["plan"]["question_class"] == "lookup"
    assert [stage["stage"] for stage in answer["plan"]["timings"]][:2] == ["rewrite", "classify"]
    assert gateway.peers.queries[0].text == answer["plan"]["rewritten_question"]


async def test_a_filter_of_the_question_holds_together_with_the_callers_own(gateway: Edges) -> None:
    body = {"question": f"Only runbooks: {QUESTION}", "filter": {"product": "g3"}, "k": 7}

    answer = (await gateway.http.post("/v1/ask", json=body)).json()

    assert answer["plan"]["suggested_filters"] == [
        {"filter": {"doc_type": {"$eq": "runbook"}}, "words": "only runbooks", "certain": True, "applied": True}
    ]
    query = gateway.peers.queries[0]
    assert MessageToDict(query.filter) == {"$and": [{"product": "g3"}, {"doc_type": {"$eq": "runbook"}}]}
    assert query.k == 7


async def test_what_is_not_searched_for_has_an_outcome_of_its_own(gateway: Edges) -> None:
    answer = (await gateway.http.post("/v1/ask", json={"question": "Hello!"})).json()

    assert (answer["outcome"], answer["plan"]["question_class"]) == ("not_searched", "small_talk")
    assert gateway.peers.queries == []


async def test_an_unknown_collection_is_a_problem_with_a_reason(gateway: Edges) -> None:
    response = await gateway.http.post("/v1/ask", json={"question": QUESTION, "plan": {"collections": ["secrets"]}})

    assert response.status_code == 400
    assert response.json()["reason"] == "UNKNOWN_COLLECTION"


async def test_a_chat_is_a_conversation(gateway: Edges) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "120."},
        {"role": "user", "content": "And with firmware 2.3?"},
    ]

    completion = (await gateway.http.post("/v1/chat/completions", json={"messages": messages})).json()

    plan = completion["headwater"]["plan"]
    assert plan["rewritten_question"] == "How many sensors does a gateway with firmware 2.3 accept?"


async def test_over_grpc_a_comparison_is_searched_for_in_parts_in_one_call(gateway: Edges) -> None:
    question = gateway_pb2.Question(text="What is the difference between the Rill Q2 and the Rill F4?")

    replies = [reply async for reply in gateway.grpc.Ask(gateway_pb2.AskRequest(question=question))]

    plan = replies[-1].final.plan
    assert plan.question_class == gateway_pb2.QUESTION_CLASS_COMPARISON
    assert [query.text for query in gateway.peers.queries] == [question.text, *plan.searches]
    assert len(gateway.peers.callers) == 1


async def test_over_grpc_options_of_the_caller_count(gateway: Edges) -> None:
    options = gateway_pb2.PlanOptions(without=["classify"], collections=["people"])
    question = gateway_pb2.Question(text="Hello!", plan=options)

    replies = [reply async for reply in gateway.grpc.Ask(gateway_pb2.AskRequest(question=question))]

    assert replies[-1].final.plan.route.applied
    assert MessageToDict(gateway.peers.queries[0].filter) == {"$and": [{"doc_type": {"$in": ["policy"]}}]}
