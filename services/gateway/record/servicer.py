"""gRPC edge of replays."""

from __future__ import annotations

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.identity import current_caller
from chassis.rpc.deadlines import budget
from gateway.record.replay import MadeAgain, MakeAgain
from headwater.gateway.v1 import replay_pb2, replay_pb2_grpc

Context = Any


class ReplayServicer(replay_pb2_grpc.ReplayServiceServicer):
    """Translates requests and replies; decides nothing. Each method is described in the proto."""

    def __init__(self, replays: MakeAgain, *, seconds: float) -> None:
        self._replays = replays
        self._seconds = seconds

    async def ReplayAnswer(
        self, request: replay_pb2.ReplayAnswerRequest, context: Context
    ) -> replay_pb2.ReplayAnswerResponse:
        """See the proto."""
        async with budget(self._seconds):
            made = await self._replays.replay(request.answer_id, current_caller(), request.question)
        return made_message(made)


def made_message(made: MadeAgain) -> replay_pb2.ReplayAnswerResponse:
    """An answer that was made again."""
    answered_at = Timestamp()
    answered_at.FromDatetime(made.answered_at)
    return replay_pb2.ReplayAnswerResponse(
        answer_id=made.answer_id,
        answered_at=answered_at,
        first_difference=made.first,
        stages=[
            replay_pb2.ReplayedStage(
                stage=each.stage,
                verdict=replay_pb2.ReplayVerdict.Value(f"REPLAY_VERDICT_{each.verdict.name}"),
                reasons=each.reasons,
            )
            for each in made.stages
        ],
        deterministic=made.deterministic,
        notes=made.notes,
    )
