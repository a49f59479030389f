"""Logs: one JSON object per line on standard output, with the trace it belongs to and without content."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any, Final

from opentelemetry import trace

from chassis.errors import HeadwaterError
from chassis.telemetry._structlog import structlog
from chassis.telemetry.redaction import redact_event

Event = MutableMapping[str, Any]
_DISTRIBUTION: Final = "headwater-platform"


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for one component. Events are short fixed sentences; what varies goes into key-value pairs, never
    content."""
    bound: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(component=name)
    return bound


def platform_version() -> str:
    """The version of the installed platform, "0" when it runs from a bare checkout."""
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "0"


def setup_logs(service: str, level: str) -> None:
    """Sends structlog's and the standard library's logs to standard output as JSON lines. Replaces earlier set-ups."""
    identity = {"service": service, "version": platform_version()}

    def add_identity(_logger: Any, _method: str, event: Event) -> Event:
        event.update(identity)
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_identity,
        _add_trace,
        _render_exception,
        redact_event,
    ]
    renderer = structlog.processors.JSONRenderer(default=_unprintable)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=_StandardOutput,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(_StandardOutput())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_logger_name,
                structlog.stdlib.PositionalArgumentsFormatter(),
                *shared,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries speak up when something is wrong; their chatter below that may hold content.
    root.setLevel(logging.WARNING)


def traceback_without_text(error: BaseException) -> str:
    """Where ``error`` came from: frames and class names. Texts are left out, for an exception may quote the data it
    choked on; only errors of our own tree are free of content by contract."""
    lines: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        text = f": {cause.reason}: {cause.message}" if isinstance(cause, HeadwaterError) else ""
        frames = [
            f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(cause.__traceback__)
        ]
        lines[:0] = [*frames, f"{type(cause).__module__}.{type(cause).__qualname__}{text}"]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\n".join(lines)


class _StandardOutput:
    """Writes to whatever ``sys.stdout`` is now, not to what it was when logging was set up."""

    def __init__(self, *_args: Any) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.exception = self.log = self.msg = (
            self._line
        )

    def _line(self, message: str) -> None:
        sys.stdout.write(message + "\n")
        sys.stdout.flush()

    def write(self, message: str) -> None:
        sys.stdout.write(message)

    def flush(self) -> None:
        sys.stdout.flush()


def _add_trace(_logger: Any, _method: str, event: Event) -> Event:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _render_exception(_logger: Any, _method: str, event: Event) -> Event:
    raised: Any = event.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()
    error: BaseException | None = None
    if isinstance(raised, BaseException):
        error = raised
    elif isinstance(raised, tuple) and isinstance(raised[1], BaseException):
        error = raised[1].with_traceback(raised[2] if isinstance(raised[2], TracebackType) else None)
    if error is not None:
        event["error"] = type(error).__name__
        event["traceback"] = traceback_without_text(error)
    return event


def _unprintable(value: Any) -> str:
    return f"<{type(value).__name__}>"
