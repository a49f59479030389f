"""The endpoint that OpenAI's clients speak to: chat completions whose messages carry citations.

https://platform.openai.com/docs/api-reference/chat. The last user message is the question. Marks such as [1] stand in
the text, and the
extension field ``citations`` of the message (of the last delta, when streamed) says what they mean.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, Literal

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from chassis.errors import Defect, InvalidRequest
from gateway.adapters.messages import answer_message
from gateway.domain import MAX_QUESTION_CHARACTERS, Answer, AnswerEvent, AnswerReady, Outcome, Question, TextPiece
from gateway.http import sse
from gateway.http.answers import use_cases_of
from gateway.http.identity import CallerOf
from gateway.http.models import AnswerBody
from gateway.http.problem import known, openai_error
from gateway.plan import MAX_TURN_CHARACTERS, MAX_TURNS, Turn

router = APIRouter(prefix="/v1")

MODEL: Final = "headwater"
_OWNER: Final = "headwater"
_IMAGE: Final = re.compile(r"!(?=\[(?!\d{1,3}\]))")
_UNFINISHED_IMAGE: Final = re.compile(r"!(?:\[\d{0,3})?\Z")
_CREATED: Final = 1_767_225_600  # 2026-01-01: the model is the service itself and has no birthday of its own


class _Lenient(BaseModel):
    # Clients send every parameter of OpenAI's, most of which mean nothing here.
    model_config = ConfigDict(extra="allow")


class ContentPart(_Lenient):
    """A part of a message; only text is read."""

    type: str
    text: str = ""


class ChatMessage(_Lenient):
    """A message of the conversation."""

    role: str
    content: str | list[ContentPart] | None = None


class StreamOptions(_Lenient):
    """Options of a stream."""

    include_usage: bool = False


class ChatRequest(_Lenient):
    """A chat completion request; parameters not named here are accepted and ignored."""

    model: str = MODEL
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = 1


@router.get("/models", summary="Models, as OpenAI lists them")
async def list_models(caller: CallerOf) -> dict[str, Any]:
    """One model: this service."""
    return {"object": "list", "data": [_model()]}


@router.get("/models/{model}", summary="A model, as OpenAI describes it")
async def get_model(model: str, caller: CallerOf) -> dict[str, Any]:
    """The one model, whatever it is called."""
    return _model()


@router.post("/chat/completions", summary="Chat completions, as OpenAI offers them", response_model=None)
async def complete(body: ChatRequest, request: Request, caller: CallerOf) -> dict[str, Any] | StreamingResponse:
    """Answers the last user message."""
    events = use_cases_of(request).questions.ask(_asked(body.messages), caller)
    if body.stream:
        usage = body.stream_options is not None and body.stream_options.include_usage
        return sse.stream(_chunks(await sse.begun(events), usage))
    async with aclosing(events):
        async for event in events:
            if isinstance(event, AnswerReady):
                return _completion(event.answer)
    raise Defect("An answer ended without its last event.")


def _model() -> dict[str, Any]:
    return {"id": MODEL, "object": "model", "created": _CREATED, "owned_by": _OWNER}


def _asked(messages: Sequence[ChatMessage]) -> Question:
    """The last user message, with the turns before it. Clients send whole conversations: what is too old or too long
    for the history is left out."""
    last = next((place for place in reversed(range(len(messages))) if messages[place].role == "user"), None)
    if last is None:
        raise InvalidRequest("There is no user message: the last one is the question.", reason="NO_USER_MESSAGE")
    turns: list[Turn] = []
    for message in messages[:last]:
        text = _text_of(message)
        if message.role == "user":
            turns.append(Turn(text[:MAX_QUESTION_CHARACTERS]))
        elif message.role == "assistant" and turns:
            turns[-1] = Turn(turns[-1].question, text[:MAX_TURN_CHARACTERS])
    return Question(_text_of(messages[last]), history=tuple(turns[-MAX_TURNS:]))


def _text_of(message: ChatMessage) -> str:
    content = message.content
    if isinstance(content, list):
        return "\n".join(part.text for part in content if part.type == "text")
    return content or ""


def _completion(answer: Answer) -> dict[str, Any]:
    message = {
        "role": "assistant",
        "content": without_images(answer.text),
        "refusal": None,
        "citations": _citations(answer),
    }
    return {
        "id": f"chatcmpl-{answer.answer_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}],
        "usage": _usage(answer),
        "headwater": _about(answer),
    }


async def _chunks(events: AsyncGenerator[AnswerEvent, None], with_usage: bool) -> AsyncGenerator[str, None]:
    chunk = _Chunks()
    held = ""
    try:
        yield sse.data(chunk.of({"role": "assistant", "content": "", "refusal": None}))
        async with aclosing(events):
            async for event in events:
                if isinstance(event, TextPiece):
                    whole, held = _cut(held + event.text)
                    if whole:
                        yield sse.data(chunk.of({"content": whole}))
                elif isinstance(event, AnswerReady):
                    answer = event.answer
                    if held:
                        yield sse.data(chunk.of({"content": without_images(held)}))
                    yield sse.data(
                        chunk.of({"citations": _citations(answer)}, _finish_reason(answer), headwater=_about(answer))
                    )
                    if with_usage:
                        yield sse.data(chunk.usage(_usage(answer)))
    except Exception as error:
        yield sse.data(openai_error(known(error)))
        return
    yield "data: [DONE]\n\n"


def without_images(text: str) -> str:
    """The text with images of Markdown shown as they are written. Chat clients load them unasked, which would tell
    whoever planted one in a document that, when and with which question it was found. Marks such as [1] stay."""
    return _IMAGE.sub("!\\\\", text)


def _cut(text: str) -> tuple[str, str]:
    """What can be sent, and what is held back because an image may begin in it."""
    unfinished = _UNFINISHED_IMAGE.search(text)
    end = unfinished.start() if unfinished else len(text)
    return without_images(text[:end]), text[end:]


class _Chunks:
    """Chunks of one completion: they share id and time."""

    def __init__(self) -> None:
        self._created = int(time.time())
        self._id = f"chatcmpl-{time.time_ns():x}"

    def of(
        self, delta: Mapping[str, Any], finish_reason: str | None = None, **extensions: Mapping[str, Any]
    ) -> dict[str, Any]:
        choice = {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish_reason}
        return {**self._head(), "choices": [choice], **extensions}

    def usage(self, usage: Mapping[str, int]) -> dict[str, Any]:
        return {**self._head(), "choices": [], "usage": dict(usage)}

    def _head(self) -> dict[str, Any]:
        return {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": MODEL}


def _citations(answer: Answer) -> list[Any]:
    body = AnswerBody.of(answer_message(answer)).model_dump(mode="json")
    citations: list[Any] = body["citations"]
    return citations


def _usage(answer: Answer) -> dict[str, int]:
    prompt = answer.usage.prompt_tokens or answer.usage.context_tokens
    completion = answer.usage.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _finish_reason(answer: Answer) -> str:
    return "content_filter" if answer.outcome is Outcome.REFUSED else "stop"


def _about(answer: Answer) -> dict[str, Any]:
    return {
        "answer_id": answer.answer_id,
        "plan": AnswerBody.of(answer_message(answer)).model_dump(mode="json")["plan"],
        "outcome": answer.outcome.value,
        "refusal": answer.refusal.reason if answer.refusal else None,
        "confidence": answer.confidence,
        "degraded": list(answer.degraded),
        "generator": answer.generator,
        "trace_id": answer.trace_id,
    }
