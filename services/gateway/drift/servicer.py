"""gRPC edge of drift."""

from __future__ import annotations

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.identity import Caller, Scope, current_caller
from gateway.drift.domain import DriftReport
from gateway.drift.watch import DriftWatch
from gateway.rates import RateLimits, Spending
from headwater.gateway.v1 import drift_pb2, drift_pb2_grpc

Context = Any


class DriftServicer(drift_pb2_grpc.DriftServiceServicer):
    """Translates requests and replies, for administrators. Each method is described in the proto."""

    def __init__(self, watch: DriftWatch, rates: RateLimits) -> None:
        self._watch = watch
        self._rates = rates

    async def GetDrift(self, request: drift_pb2.GetDriftRequest, context: Context) -> drift_pb2.GetDriftResponse:
        """See the proto."""
        return drift_pb2.GetDriftResponse(report=self.report(current_caller()))

    async def TakeDriftReference(
        self, request: drift_pb2.TakeDriftReferenceRequest, context: Context
    ) -> drift_pb2.TakeDriftReferenceResponse:
        """See the proto."""
        return drift_pb2.TakeDriftReferenceResponse(report=await self.take(current_caller()))

    def report(self, caller: Caller) -> drift_pb2.DriftReport:
        """What both edges tell. Raises PermissionDenied."""
        caller.require(Scope.ADMIN)
        self._rates.spend(Spending.READ, caller)
        return _report_message(self._watch.report())

    async def take(self, caller: Caller) -> drift_pb2.DriftReport:
        """Takes a reference. Raises PermissionDenied, FailedPrecondition."""
        caller.require(Scope.ADMIN)
        self._rates.spend(Spending.READ, caller)
        return _report_message(await self._watch.take_reference())


def _report_message(report: DriftReport) -> drift_pb2.DriftReport:
    taken_at = None
    if report.taken_at is not None:
        taken_at = Timestamp()
        taken_at.FromDatetime(report.taken_at)
    return drift_pb2.DriftReport(
        taken_at=taken_at,
        reference_answers=report.reference_answers,
        window_answers=report.window_answers,
        window=report.window,
        signals=[
            drift_pb2.SignalDrift(
                signal=each.signal,
                index=each.index,
                chance=each.chance,
                reference=each.reference,
                now=each.now,
                values=each.values,
                state=drift_pb2.DriftState.Value(f"DRIFT_STATE_{each.state.name}"),
            )
            for each in report.signals
        ],
    )
