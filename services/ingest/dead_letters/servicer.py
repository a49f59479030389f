"""gRPC edge of dead letters."""

from __future__ import annotations

from typing import Any

import grpc

from chassis.identity import current_caller
from headwater.ingest.v1 import dead_letters_pb2, dead_letters_pb2_grpc
from ingest.dead_letters.decide import DecideDeadLetters
from ingest.dead_letters.messages import (
    halt,
    letter,
    letter_filter,
    page_size,
    page_token,
    read_page_token,
    result,
    which,
)
from ingest.messages import change

Context = grpc.aio.ServicerContext[Any, Any]


class DeadLetterServicer(dead_letters_pb2_grpc.DeadLetterServiceServicer):
    """Translates requests and replies; decides nothing. Each method is described in the proto."""

    def __init__(self, decide: DecideDeadLetters) -> None:
        self._decide = decide

    async def ListDeadLetters(
        self, request: dead_letters_pb2.ListDeadLettersRequest, context: Context
    ) -> dead_letters_pb2.ListDeadLettersResponse:
        """See the proto."""
        after = read_page_token(request.page_token)
        found = await self._decide.list(current_caller(), letter_filter(request.filter), after, request.page_size)
        last = found[-1] if len(found) == page_size(request.page_size) else None
        return dead_letters_pb2.ListDeadLettersResponse(
            letters=[letter(each) for each in found],
            next_page_token=page_token(last.last_failed_at, last.letter_id) if last else "",
        )

    async def GetDeadLetter(
        self, request: dead_letters_pb2.GetDeadLetterRequest, context: Context
    ) -> dead_letters_pb2.GetDeadLetterResponse:
        """See the proto."""
        found, record = await self._decide.show(current_caller(), request.letter_id)
        return dead_letters_pb2.GetDeadLetterResponse(letter=letter(found), change=change(record) if record else None)

    async def ReplayDeadLetters(
        self, request: dead_letters_pb2.ReplayDeadLettersRequest, context: Context
    ) -> dead_letters_pb2.ReplayDeadLettersResponse:
        """See the proto."""
        results, more = await self._decide.replay(current_caller(), which(request))
        return dead_letters_pb2.ReplayDeadLettersResponse(results=[result(each) for each in results], more=more)

    async def DiscardDeadLetters(
        self, request: dead_letters_pb2.DiscardDeadLettersRequest, context: Context
    ) -> dead_letters_pb2.DiscardDeadLettersResponse:
        """See the proto."""
        results, more = await self._decide.discard(current_caller(), which(request), request.why)
        return dead_letters_pb2.DiscardDeadLettersResponse(results=[result(each) for each in results], more=more)

    async def ForgetKnownBad(
        self, request: dead_letters_pb2.ForgetKnownBadRequest, context: Context
    ) -> dead_letters_pb2.ForgetKnownBadResponse:
        """See the proto."""
        forgotten = await self._decide.forget(current_caller(), request.letters.letter_ids)
        return dead_letters_pb2.ForgetKnownBadResponse(forgotten=forgotten)

    async def ResumeIngestion(
        self, request: dead_letters_pb2.ResumeIngestionRequest, context: Context
    ) -> dead_letters_pb2.ResumeIngestionResponse:
        """See the proto."""
        halted = await self._decide.resume(current_caller())
        return dead_letters_pb2.ResumeIngestionResponse(halts=[halt(each) for each in halted])
