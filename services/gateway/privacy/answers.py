"""Answers told with what their pseudonyms stand for, to callers who may and who ask for it.

The last step of all: answer log, caches and traces know the answer with pseudonyms only. They are looked up in the
documents that the answer cites, which the caller may read, once its citations have been checked; so a stream waits from
its first pseudonym on for the end of the answer. Quotes stay what the document says.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from chassis.errors import HeadwaterError
from chassis.identity import Caller, Scope
from corpus.privacy.pseudonyms import PSEUDONYM
from gateway.domain import Answer, AnswerEvent, AnswerReady, CitationSettled, Question, TextPiece
from gateway.privacy.servicer import ForwardedPrivacy
from gateway.service import AnswerQuestions
from gateway.stages.guard.links import LinkRules, without_foreign_links
from gateway.stages.recheck import REMOVED
from headwater.ingest.v1 import privacy_pb2

UNREVEALED: Final = "reveal"
"""Name in ``degraded`` for an answer whose pseudonyms could not be looked up, and stay."""
_NO_LINKS: Final = LinkRules(frozenset())
_MOST_DOCUMENTS: Final = 64
_MOST_PSEUDONYMS: Final = 1_000
_UNFINISHED: Final = re.compile(r"\[(?:[A-Z]{1,8}(?:_[bcdfghjklmnpqrst]{0,16})?)?\Z")


class RevealedAnswers:
    """``AnswerQuestions`` for the edges."""

    def __init__(self, questions: AnswerQuestions, privacy: ForwardedPrivacy) -> None:
        self._questions = questions
        self._privacy = privacy

    async def ask(self, question: Question, caller: Caller) -> AsyncGenerator[AnswerEvent, None]:
        """As ``AnswerQuestions.ask``. Raises PermissionDenied when it is to reveal and the caller may not."""
        if question.reveal:
            caller.require(Scope.REVEAL)
        async with aclosing(self._questions.ask(replace(question, reveal=False), caller)) as events:
            if not question.reveal:
                async for event in events:
                    yield event
                return
            held: list[AnswerEvent] = []
            async for event in events:
                for told in await self._told(event, held, caller):
                    yield told

    async def ask_batch(self, questions: Sequence[Question], caller: Caller) -> Sequence[Answer]:
        """As ``AnswerQuestions.ask_batch``; see ``ask``."""
        if any(question.reveal for question in questions):
            caller.require(Scope.REVEAL)
        answers = await self._questions.ask_batch([replace(each, reveal=False) for each in questions], caller)

        async def told(question: Question, answer: Answer) -> Answer:
            return (await self._revealed(answer, caller))[0] if question.reveal else answer

        return await asyncio.gather(*map(told, questions, answers))

    async def _told(self, event: AnswerEvent, held: list[AnswerEvent], caller: Caller) -> Sequence[AnswerEvent]:
        """What may be told after the next event; ``held`` waits for more of the text, or for the answer."""
        if isinstance(event, AnswerReady):
            answer, values = await self._revealed(event.answer, caller)
            told = [*_joined(_standing(held, event.answer), values), AnswerReady(answer)]
            held.clear()
            return told
        held.append(event)
        text = "".join(each.text for each in held if isinstance(each, TextPiece))
        if PSEUDONYM.search(text) or _UNFINISHED.search(text):
            return ()
        told, held[:] = list(held), []
        return told

    async def _revealed(self, answer: Answer, caller: Caller) -> tuple[Answer, Mapping[str, str]]:
        """The answer with what its pseudonyms stand for, and that."""
        wanted = list(dict.fromkeys(PSEUDONYM.findall(answer.text)))[:_MOST_PSEUDONYMS]
        cited = dict.fromkeys(each.key.document_id for each in answer.citations if each.readable)
        if not wanted or not cited:
            return answer, {}
        request = privacy_pb2.RevealPseudonymsRequest(document_ids=list(cited)[:_MOST_DOCUMENTS], pseudonyms=wanted)
        try:
            response = await self._privacy.revealed(request, caller)
        except HeadwaterError:
            return replace(answer, degraded=(*answer.degraded, UNREVEALED)), {}
        # A value is a document's words, too, and comes after the guard of the output.
        values = {each.pseudonym: without_foreign_links(each.value, _NO_LINKS)[0] for each in response.revealed}
        support = tuple(
            replace(each, start=_place(answer.text, each.start, values), end=_place(answer.text, each.end, values))
            for each in answer.support
        )
        return replace(answer, text=_put_back(answer.text, values), support=support), values


def _standing(held: Sequence[AnswerEvent], answer: Answer) -> Sequence[AnswerEvent]:
    """What was held back, after the last check: where that took something out, its sentences and quotes are known to be
    nobody's to tell by now, and the text that is left is told once more."""
    if REMOVED not in answer.degraded:
        return held
    cited = {each.key for each in answer.citations if each.readable}
    kept: list[AnswerEvent] = []
    for event in held:
        if isinstance(event, CitationSettled):
            kept += [event] if event.citation.key in cited else []
        elif not isinstance(event, TextPiece):
            kept.append(event)
    return [*kept, TextPiece(f"\n\n{answer.text}")]


def _joined(held: Sequence[AnswerEvent], values: Mapping[str, str]) -> Sequence[AnswerEvent]:
    """The events in their order, with the text of all of them at the place of the first: a pseudonym may lie across
    pieces."""
    text = _put_back("".join(each.text for each in held if isinstance(each, TextPiece)), values)
    rest = [each for each in held if not isinstance(each, TextPiece)]
    first = next((place for place, each in enumerate(held) if isinstance(each, TextPiece)), None)
    return rest if first is None else [*rest[:first], TextPiece(text), *rest[first:]]


def _put_back(text: str, values: Mapping[str, str]) -> str:
    return PSEUDONYM.sub(lambda match: values.get(match.group(), match.group()), text)


def _place(text: str, before: int, values: Mapping[str, str]) -> int:
    """Where the place ``before`` of the text is when the values are put back."""
    return len(_put_back(text[:before], values))
