"""Logs, traces and metrics of a service.

Usable from import on: a tracer or metric obtained before ``setup`` records nothing and starts to record once it has
run.
"""

from chassis.telemetry.logs import logger
from chassis.telemetry.setup import Telemetry, setup
from chassis.telemetry.tracing import content_allowed, current_trace_id, extract, inject, set_content, tracer

__all__ = [
    "Telemetry",
    "content_allowed",
    "current_trace_id",
    "extract",
    "inject",
    "logger",
    "set_content",
    "setup",
    "tracer",
]
