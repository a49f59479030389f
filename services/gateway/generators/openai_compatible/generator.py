"""Answers written by a language model from the passages, streamed, each sentence cited."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

from chassis.rpc.deadlines import remaining_seconds
from chassis.telemetry import logger
from gateway.domain import (
    ABSTENTION_TEXT,
    FALLBACK_TEXT,
    Citation,
    CitationSettled,
    Draft,
    Outcome,
    TextPiece,
    Usage,
    marks_in,
)
from gateway.generators.openai_compatible.disguise import Disguise
from gateway.generators.openai_compatible.endpoint import Delta, Payer
from gateway.generators.openai_compatible.endpoints import Completions
from gateway.generators.openai_compatible.errors import EndpointError
from gateway.generators.openai_compatible.marks import CitationMarks
from gateway.generators.openai_compatible.prompt import Message, build_messages
from gateway.generators.openai_compatible.quotes import claim_before, supporting_citation
from gateway.ports import ContextBlock, GenerationRequest, TermAnalyser, TokenCounter

UNCITED: Final = "uncited"
"""Name in ``degraded`` for an answer without a single mark: its citations are all passages it was written from."""
TRUNCATED: Final = "truncated"
"""Name in ``degraded`` for an answer that reached the limit of tokens."""
OTHER_ENDPOINT: Final = "generator_endpoint"
"""Name in ``degraded`` for an answer that another endpoint wrote than the preferred one."""

_RESERVE_SECONDS: Final = 1.0
"""Kept of the question's time for the last check of citations and the log."""
_SENTENCE: Final = re.compile(r"[^.!?\n]*\w[^.!?\n]*(?:[.!?]|\n|$)")

_log = logger("generator")


@dataclass(slots=True)
class _Writing:
    """What was written so far."""

    text: str = ""
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)
    citations: dict[int, Citation] = field(default_factory=dict)
    endpoint: str = ""


class OpenAICompatibleGenerator:
    """Generator over a chat endpoint, or several.

    Args:
        preferred: Name of the endpoint that needs no mention.
        total_seconds: Longest time for a whole answer, retries included.
        redacts: Whether the endpoint gets placeholders for personal data; see ``disguise``.
    """

    name = "openai-compatible"

    def __init__(
        self,
        endpoint: Completions,
        analyse: TermAnalyser,
        tokens: TokenCounter,
        *,
        total_seconds: float,
        redacts: bool = False,
        preferred: str = "",
    ) -> None:
        self._endpoint = endpoint
        self._analyse = analyse
        self._tokens = tokens
        self._total_seconds = total_seconds
        self._redacts = redacts
        self._preferred = preferred

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TextPiece | CitationSettled | Draft, None]:
        """Pieces and citations as they come, then the draft: ANSWERED, ABSTAINED, or FALLBACK when the endpoint
        failed."""
        messages = build_messages(request)
        disguise = Disguise(request.caller) if self._redacts else None
        if disguise is not None:
            # Hundreds of sentences take milliseconds, which others on the loop should not wait for.
            messages = await asyncio.to_thread(_hidden, messages, disguise)
        writing = _Writing(usage=Usage(sum(block.tokens for block in request.blocks), 0, 0))
        blocks = {block.number: block for block in request.blocks}
        marks = CitationMarks(blocks)
        seconds = self._seconds()
        pieces = self._endpoint.complete(messages, Payer(request.caller.tenant_id, request.account), seconds)
        try:
            async with aclosing(pieces) as deltas, aclosing(_timed(deltas, seconds)) as timed:
                async for delta in timed:
                    _note(writing, delta)
                    text = disguise.feed(delta.text) if disguise else delta.text
                    for event in self._told(writing, marks.feed(text), blocks):
                        yield event
            rest = marks.feed(disguise.rest()) if disguise else ""
            for event in self._told(writing, rest + marks.rest(), blocks):
                yield event
        except (EndpointError, TimeoutError) as error:
            _log.warning("the generator failed", error_type=type(error).__name__, cause=str(error))
            yield self._named(_fallback(request.blocks, writing.usage), writing)
            return
        prompt = "\n".join(message["content"] for message in messages)
        draft = replace(self._draft(writing, request, prompt), revealed=disguise.told if disguise else ())
        yield self._named(draft, writing)

    def _seconds(self) -> float:
        """What there is for the whole answer."""
        left = remaining_seconds()
        return self._total_seconds if left is None else max(0.0, min(self._total_seconds, left - _RESERVE_SECONDS))

    def _named(self, draft: Draft, writing: _Writing) -> Draft:
        """The draft with who wrote it, unless that was the preferred endpoint."""
        if writing.endpoint == self._preferred or not writing.endpoint:
            return draft
        name = f"{self.name}:{writing.endpoint}"
        return replace(draft, generator=name, degraded=(*draft.degraded, OTHER_ENDPOINT))

    def _told(
        self, writing: _Writing, text: str, blocks: dict[int, ContextBlock]
    ) -> Sequence[TextPiece | CitationSettled]:
        if not text:
            return ()
        events: list[TextPiece | CitationSettled] = [TextPiece(text)]
        for number in marks_in(text):
            if number not in writing.citations:
                mark = text.index(f"[{number}]")
                claim = claim_before(writing.text + text[:mark])
                citation = supporting_citation(blocks[number], claim, self._analyse)
                if citation is not None:
                    writing.citations[number] = citation
                    events.append(CitationSettled(citation))
        writing.text += text
        return events

    def _draft(self, writing: _Writing, request: GenerationRequest, prompt: str) -> Draft:
        usage = writing.usage
        if not usage.prompt_tokens:
            usage = replace(usage, prompt_tokens=self._tokens.count(prompt))
        if not usage.completion_tokens:
            usage = replace(usage, completion_tokens=self._tokens.count(writing.text))
        text = writing.text.strip()
        if not text:
            return _fallback(request.blocks, usage)
        if _is_abstention(text) and not writing.citations:
            return Draft(Outcome.ABSTAINED, ABSTENTION_TEXT, 0.0, usage=usage)
        degraded = (TRUNCATED,) if writing.finish_reason == "length" else ()
        if not writing.citations:
            return Draft(Outcome.ANSWERED, text, 0.1, _all_citations(request.blocks), usage, (*degraded, UNCITED))
        citations = tuple(writing.citations[number] for number in sorted(writing.citations))
        return Draft(Outcome.ANSWERED, text, _confidence(text, request.blocks), citations, usage, degraded)


async def _timed(deltas: AsyncGenerator[Delta, None], seconds: float) -> AsyncGenerator[Delta, None]:
    """The same deltas within ``seconds``. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while True:
        try:
            async with asyncio.timeout(end - time.monotonic()):
                delta = await anext(deltas)
        except StopAsyncIteration:
            return
        yield delta


def _hidden(messages: Sequence[Message], disguise: Disguise) -> list[Message]:
    return [{**message, "content": disguise.hide(message["content"])} for message in messages]


def _note(writing: _Writing, delta: Delta) -> None:
    if delta.finish_reason == "content_filter":
        raise EndpointError("content filter")
    writing.endpoint = delta.endpoint
    writing.finish_reason = delta.finish_reason or writing.finish_reason
    writing.usage = Usage(
        writing.usage.context_tokens,
        delta.prompt_tokens or writing.usage.prompt_tokens,
        delta.completion_tokens or writing.usage.completion_tokens,
    )


def _is_abstention(text: str) -> bool:
    return text.lower().replace("’", "'").startswith(ABSTENTION_TEXT.lower().rstrip("."))


def _fallback(blocks: Sequence[ContextBlock], usage: Usage) -> Draft:
    return Draft(Outcome.FALLBACK, FALLBACK_TEXT, 0.0, _all_citations(blocks), usage, ("generator",))


def _all_citations(blocks: Sequence[ContextBlock]) -> tuple[Citation, ...]:
    """Every block as a whole."""
    return tuple(
        Citation(
            number=block.number,
            key=block.passage.key,
            title=block.passage.title,
            uri=block.passage.uri,
            place=block.place,
            quote=block.text,
            ingest_trace_id=block.passage.ingest_trace_id,
            document_updated_at=block.passage.updated_at,
        )
        for block in blocks
    )


def _confidence(text: str, blocks: Sequence[ContextBlock]) -> float:
    """Share of sentences that are cited, less where retrieval was weak. An estimate: nothing here checks what was
    written."""
    sentences = [match.group() for match in _SENTENCE.finditer(re.sub(r"([.!?])(\s*(?:\[\d+\])+)", r"\2\1", text))]
    cited = sum(bool(marks_in(sentence)) for sentence in sentences) / max(1, len(sentences))
    strength = max((block.passage.similarity for block in blocks), default=0.0)
    return round(min(1.0, cited * min(1.0, 0.35 + strength)), 4)
