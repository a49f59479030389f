"""Answers that are made again: types, and calls of an ``AsyncClient``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import grpc

from headwater import messages
from headwater.gateway.v1 import replay_pb2, replay_pb2_grpc

ReplayVerdict = Literal["same", "differs", "skipped"]
REPLAY_SECONDS: Final = 60.0
_VERDICTS: Final[dict[int, ReplayVerdict]] = {
    replay_pb2.REPLAY_VERDICT_SAME: "same",
    replay_pb2.REPLAY_VERDICT_DIFFERS: "differs",
}


@dataclass(frozen=True, slots=True)
class ReplayedStage:
    """What became of one stage; ``reasons`` also name what changed without an effect."""

    name: str
    verdict: ReplayVerdict
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReplayedAnswer:
    """An answer that was made again. ``first_difference`` is the first of the stages, in their order, that differs;
    ``deterministic``: the generator says the same to the same; ``notes`` say what the comparison rests on."""

    answer_id: str
    answered_at: datetime
    first_difference: str
    stages: tuple[ReplayedStage, ...]
    deterministic: bool
    notes: tuple[str, ...]


class Replays:
    """Calls of an ``AsyncClient``."""

    def __init__(self, opened: grpc.aio.Channel, call: Callable[[Any, Any, float], Awaitable[Any]]) -> None:
        self._stub: replay_pb2_grpc.ReplayServiceAsyncStub = replay_pb2_grpc.ReplayServiceStub(opened)
        self._call = call

    async def replay(self, answer_id: str, *, question: str = "") -> ReplayedAnswer:
        """Makes a logged answer again and says which stages differ. Needs the scope review or admin for one that was
        given to somebody else. ``question``: as it was sent, where the log does not keep it to the letter. Raises
        NotFoundError, PreconditionError, InvalidRequestError."""
        request = replay_pb2.ReplayAnswerRequest(answer_id=answer_id, question=question)
        reply = await self._call(self._stub.ReplayAnswer, request, REPLAY_SECONDS)
        return ReplayedAnswer(
            answer_id=reply.answer_id,
            answered_at=messages.moment(reply.answered_at),
            first_difference=reply.first_difference,
            stages=tuple(
                ReplayedStage(each.stage, _VERDICTS.get(each.verdict, "skipped"), tuple(each.reasons))
                for each in reply.stages
            ),
            deterministic=reply.deterministic,
            notes=tuple(reply.notes),
        )
