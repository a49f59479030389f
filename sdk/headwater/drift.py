"""Whether questions and answers are still what they were: types, and calls of an ``AsyncClient``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import grpc

from headwater import channel, messages
from headwater.gateway.v1 import drift_pb2, drift_pb2_grpc

_Call = Callable[[Any, Any, float], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class SignalDrift:
    """One signal against its reference. ``index`` is the population stability index, None while there are too few
    values, ``chance`` what it is on average without any drift; ``reference`` and ``now`` are means, of rates shares;
    ``state`` is "stable", "moderate", "large" or "unknown"."""

    signal: str
    index: float | None
    chance: float
    reference: float
    now: float
    values: int
    state: str


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Every signal over the last answers of a gateway. ``taken_at`` is None while there is no reference; ``window`` is
    0 where nothing is watched."""

    taken_at: datetime | None
    reference_answers: int
    window_answers: int
    window: int
    signals: tuple[SignalDrift, ...]


class Drift:
    """Calls of an ``AsyncClient``; both need the admin scope."""

    def __init__(self, opened: grpc.aio.Channel, read: _Call, call: _Call) -> None:
        self._stub: drift_pb2_grpc.DriftServiceAsyncStub = drift_pb2_grpc.DriftServiceStub(opened)
        self._read = read
        self._call = call

    async def report(self) -> DriftReport:
        """Each signal against the reference. Raises PermissionDeniedError."""
        reply = await self._read(self._stub.GetDrift, drift_pb2.GetDriftRequest(), channel.READ_SECONDS)
        return _report(reply.report)

    async def take_reference(self) -> DriftReport:
        """Makes the last answers the reference. Raises PermissionDeniedError, PreconditionError."""
        request = drift_pb2.TakeDriftReferenceRequest()
        return _report((await self._call(self._stub.TakeDriftReference, request, channel.READ_SECONDS)).report)


def _report(message: drift_pb2.DriftReport) -> DriftReport:
    return DriftReport(
        messages.moment(message.taken_at) if message.HasField("taken_at") else None,
        message.reference_answers,
        message.window_answers,
        message.window,
        tuple(
            SignalDrift(
                each.signal,
                each.index if each.HasField("index") else None,
                each.chance,
                each.reference,
                each.now,
                each.values,
                drift_pb2.DriftState.Name(each.state).removeprefix("DRIFT_STATE_").lower(),
            )
            for each in message.signals
        ),
    )
