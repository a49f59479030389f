"""Routes for questions, answers and searches."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from chassis.errors import Defect
from gateway.adapters.messages import answer_message, event_message, replay_message
from gateway.domain import AnswerEvent, AnswerReady
from gateway.http import sse
from gateway.http.bodies import Response as ResponseBody
from gateway.http.bodies import StageBody
from gateway.http.identity import CallerOf
from gateway.http.messages import question, search_query
from gateway.http.models import (
    AnswerBody,
    AnswersBody,
    AskBatchBody,
    AskBody,
    CitationBody,
    LoggedAnswerBody,
    SearchBatchBody,
    SearchBatchResultBody,
    SearchBody,
    SearchResultBody,
    UsageBody,
)
from gateway.http.problem import known, problem
from gateway.use_cases import UseCases
from headwater.gateway.v1 import gateway_pb2

router = APIRouter(prefix="/v1")

_EVENT_BODIES: dict[str, type[ResponseBody]] = {
    "stage": StageBody,
    "citation": CitationBody,
    "usage": UsageBody,
    "final": AnswerBody,
}


def use_cases_of(request: Request) -> UseCases:
    """The use cases behind the application."""
    use_cases: UseCases = request.app.state.use_cases
    return use_cases


@router.post(
    "/ask",
    response_model=AnswerBody,
    summary="Answer a question with citations",
    description="With `Accept: text/event-stream`: stage, token, citation and usage as they happen, then one final.",
    responses={200: {"content": {sse.MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def ask(
    body: AskBody, request: Request, caller: CallerOf, accept: Annotated[str | None, Header()] = None
) -> AnswerBody | StreamingResponse:
    """As GatewayService.Ask."""
    events = use_cases_of(request).questions.ask(question(body), caller)
    if sse.wants_events(accept):
        return sse.stream(_as_events(await sse.begun(events)))
    async with aclosing(events):
        async for event in events:
            if isinstance(event, AnswerReady):
                return AnswerBody.of(answer_message(event.answer))
    raise Defect("An answer ended without its last event.")


@router.post("/ask:batch", summary="Answer up to 64 questions")
async def ask_batch(body: AskBatchBody, request: Request, caller: CallerOf) -> AnswersBody:
    """As GatewayService.AskBatch."""
    questions = [question(entry) for entry in body.questions]
    answers = await use_cases_of(request).questions.ask_batch(questions, caller)
    return AnswersBody(answers=[AnswerBody.of(answer_message(answer)) for answer in answers])


@router.get("/answers/{answer_id}", summary="Replay a logged answer")
async def get_answer(answer_id: str, request: Request, caller: CallerOf) -> LoggedAnswerBody:
    """As GatewayService.GetAnswer."""
    replay = await use_cases_of(request).answers.replay(answer_id, caller)
    return LoggedAnswerBody.of(replay_message(replay))


@router.post("/search", summary="Find passages")
async def search(body: SearchBody, request: Request, caller: CallerOf) -> SearchResultBody:
    """As GatewayService.Search."""
    message = gateway_pb2.SearchRequest(query=search_query(body))
    response = await use_cases_of(request).search.search(message, caller)
    return SearchResultBody.of(response.result)


@router.post("/search:batch", summary="Up to 64 searches with one embedding call")
async def search_batch(body: SearchBatchBody, request: Request, caller: CallerOf) -> SearchBatchResultBody:
    """As GatewayService.SearchBatch."""
    message = gateway_pb2.SearchBatchRequest(queries=[search_query(query) for query in body.queries])
    response = await use_cases_of(request).search.search_batch(message, caller)
    return SearchBatchResultBody(results=[SearchResultBody.of(result) for result in response.results])


async def _as_events(events: AsyncGenerator[AnswerEvent, None]) -> AsyncGenerator[str, None]:
    try:
        async with aclosing(events):
            async for event in events:
                yield _event(event)
    except Exception as error:
        yield sse.event("error", problem(known(error)))


def _event(event: AnswerEvent) -> str:
    message = event_message(event)
    kind = message.WhichOneof("event") or ""
    value: Any = getattr(message, kind)
    if kind == "token":
        return sse.event("token", {"text": value})
    return sse.event(kind, _EVENT_BODIES[kind].of(value).model_dump(mode="json"))
