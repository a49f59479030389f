"""Chat completions over HTTP, streamed. https://platform.openai.com/docs/api-reference/chat-streaming"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import httpx
import stamina

from gateway.costs.domain import Account
from gateway.costs.metered import Completion, ModelMeter
from gateway.generators.openai_compatible.breaker import EndpointBreaker
from gateway.generators.openai_compatible.errors import EndpointBusyError, EndpointError, EndpointRefusedError
from gateway.generators.openai_compatible.prompt import Message

_RETRIED_STATUSES: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_REFUSING_STATUSES: Final = frozenset({400, 413, 422})
_WAIT_SECONDS: Final = (0.2, 2.0)
_MAX_LINE_CHARACTERS: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Where and how.

    Attributes:
        base_url: Ends in /v1.
        connect_seconds: Longest wait for a connection.
        token_seconds: Longest pause between two pieces, the first included.
        attempts: How often a request is tried that has brought no token yet.
    """

    base_url: str
    model: str
    api_key: str
    connect_seconds: float
    token_seconds: float
    max_tokens: int
    temperature: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a completion; what is None is not said. ``endpoint`` is who wrote it, where there are several."""

    text: str = ""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Payer:
    """For whom a completion is made: its tenant's token budget and its question's account are charged."""

    tenant_id: str
    account: Account | None = None


_Begun = tuple[httpx.Response, AsyncGenerator[Delta, None], Delta]


class ChatEndpoint:
    """One endpoint. Close it with ``close``.

    Args:
        meter: Charges completions to those who pay; without one nobody does.
        breaker: Leaves the endpoint alone while it keeps failing; without one it is always asked.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        client: httpx.AsyncClient | None = None,
        *,
        meter: ModelMeter | None = None,
        breaker: EndpointBreaker | None = None,
    ) -> None:
        self._settings = settings
        self._meter = meter
        self._breaker = breaker
        timeout = httpx.Timeout(settings.token_seconds, connect=settings.connect_seconds)
        self._client = client or httpx.AsyncClient(timeout=timeout, follow_redirects=False)
        self._url = settings.base_url.rstrip("/") + "/chat/completions"

    async def close(self) -> None:
        """Closes connections. Idempotent."""
        await self._client.aclose()

    async def complete(
        self, messages: Sequence[Message], payer: Payer | None = None, seconds: float | None = None
    ) -> AsyncGenerator[Delta, None]:
        """The completion piece by piece. Only before its first piece is a failed attempt repeated, and not after
        ``seconds``.

        Raises:
            EndpointError: It failed, went silent, ended before it said so, or is left alone after it did.
            Overloaded, DependencyUnavailable: As ``ModelMeter.completion``, before its first piece.
        """
        async with AsyncExitStack() as stack:
            used = None
            if self._meter is not None and payer is not None:
                prompt = "\n".join(message["content"] for message in messages)
                charged = self._meter.completion(prompt, payer.tenant_id, payer.account)
                used = await stack.enter_async_context(charged)
            deltas = await stack.enter_async_context(aclosing(self._stream(messages, seconds)))
            async for delta in deltas:
                _note(used, delta)
                yield delta

    async def _stream(self, messages: Sequence[Message], seconds: float | None) -> AsyncGenerator[Delta, None]:
        async with self._breaker.guard() if self._breaker is not None else nullcontext():
            begun = await self._begun_within(seconds, messages)
            if not isinstance(begun, EndpointRefusedError):
                async with aclosing(_whole(*begun)) as deltas:
                    async for delta in deltas:
                        yield delta
        if isinstance(begun, EndpointRefusedError):
            raise begun

    async def _begun_within(self, seconds: float | None, messages: Sequence[Message]) -> _Begun | EndpointRefusedError:
        """What a breaker must not count is returned instead of raised."""
        try:
            async with asyncio.timeout(seconds):
                return await self._begin(messages)
        except TimeoutError:
            if seconds is not None and seconds < self._settings.token_seconds:
                # Callers in a hurry must not have it left alone for everybody.
                return EndpointRefusedError("no word in the little time there was")
            raise EndpointBusyError("no word in time") from None
        except EndpointRefusedError as error:
            return error

    async def _begin(self, messages: Sequence[Message]) -> _Begun:
        shortest, longest = _WAIT_SECONDS
        retries = stamina.retry_context(
            EndpointBusyError,
            attempts=self._settings.attempts,
            timeout=None,
            wait_initial=shortest,
            wait_max=longest,
        )
        async for attempt in retries:
            with attempt:
                return await self._attempt(messages)
        raise EndpointError("no attempt was made")

    async def _attempt(self, messages: Sequence[Message]) -> _Begun:
        try:
            response = await self._client.send(self._request(messages), stream=True)
        except httpx.HTTPError as error:
            raise EndpointBusyError(type(error).__name__) from error
        try:
            if response.status_code in _RETRIED_STATUSES:
                raise EndpointBusyError(str(response.status_code))
            if response.status_code in _REFUSING_STATUSES:
                raise EndpointRefusedError(str(response.status_code))
            if response.status_code != httpx.codes.OK:
                raise EndpointError(str(response.status_code))
            deltas = _deltas(response)
            async for first in deltas:
                return response, deltas, first
            raise EndpointBusyError("empty")
        except httpx.HTTPError as error:
            await response.aclose()
            raise EndpointBusyError(type(error).__name__) from error
        except BaseException:
            await response.aclose()
            raise

    def _request(self, messages: Sequence[Message]) -> httpx.Request:
        settings = self._settings
        headers = {"authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        body = {
            "model": settings.model,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
        }
        return self._client.build_request("POST", self._url, json=body, headers=headers)


async def _whole(
    response: httpx.Response, deltas: AsyncGenerator[Delta, None], first: Delta
) -> AsyncGenerator[Delta, None]:
    """All pieces of a completion that has begun."""
    try:
        finished = first.finish_reason is not None
        yield first
        async for delta in deltas:
            finished = finished or delta.finish_reason is not None
            yield delta
        if not finished:
            raise EndpointError("cut off")
    except httpx.HTTPError as error:
        raise EndpointError(type(error).__name__) from error
    finally:
        await deltas.aclose()
        await response.aclose()


def _note(used: Completion | None, delta: Delta) -> None:
    if used is not None:
        used.came(delta.text, delta.prompt_tokens, delta.completion_tokens)


async def _deltas(response: httpx.Response) -> AsyncGenerator[Delta, None]:
    async for line in response.aiter_lines():
        if len(line) > _MAX_LINE_CHARACTERS:
            raise EndpointError("a line is too long")
        if not line.startswith("data:"):
            continue
        content = line.removeprefix("data:").strip()
        if content == "[DONE]":
            return
        delta = _parsed(content)
        if delta is not None:
            yield delta


def _parsed(content: str) -> Delta | None:
    """The delta of one event; None for one that says nothing."""
    try:
        event = json.loads(content)
    except ValueError:
        raise EndpointError("an event is not JSON") from None
    if not isinstance(event, dict) or "error" in event:
        raise EndpointError("the endpoint reports an error")
    usage, choice = event.get("usage"), _first_choice(event.get("choices"))
    usage = usage if isinstance(usage, Mapping) else {}
    finish_reason = choice.get("finish_reason")
    delta = Delta(
        text=_text(choice.get("delta")),
        finish_reason=finish_reason if isinstance(finish_reason, str) else None,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
    )
    return delta if delta != Delta() else None


def _first_choice(choices: Any) -> Mapping[str, Any]:
    if not choices:
        # The event that says what it took has none.
        return {}
    if not isinstance(choices, list) or not isinstance(choices[0], Mapping):
        raise EndpointError("an event is not a piece of a completion")
    return choices[0]


def _text(delta: Any) -> str:
    content = delta.get("content") if isinstance(delta, Mapping) else None
    return content if isinstance(content, str) else ""


def _count(number: Any) -> int | None:
    return number if isinstance(number, int) and not isinstance(number, bool) and number >= 0 else None
