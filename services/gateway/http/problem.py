"""Errors over HTTP: problem details (RFC 9457), and the shape OpenAI's clients read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from chassis.errors import Defect, HeadwaterError, InvalidRequest, NotFound, grpc_status_of
from chassis.telemetry import current_trace_id, logger

MEDIA_TYPE: Final = "application/problem+json"
OPENAI_PATHS: Final = ("/v1/chat/", "/v1/models")

_log = logger("http")

# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto, but 409 where a state or version is in
# the way.
_STATUS: Final = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_STATUS_BY_REASON: Final = {
    "DOCUMENT_TOO_LARGE": 413,
    "BODY_TOO_LARGE": 413,
    "OVERLOADED": 503,
    "METHOD_NOT_ALLOWED": 405,
    "BODY_TIMEOUT": 408,
}
_OPENAI_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def status_of(error: HeadwaterError) -> int:
    """HTTP edge table."""
    return _STATUS_BY_REASON.get(error.reason) or _STATUS.get(grpc_status_of(error), 500)


def problem(error: HeadwaterError) -> dict[str, Any]:
    """The error as problem details."""
    details: dict[str, Any] = {
        "type": "about:blank",
        "title": error.reason.replace("_", " ").capitalize(),
        "status": status_of(error),
        "detail": error.message,
        "reason": error.reason,
        "request_id": current_trace_id(),
    }
    if error.metadata:
        details["metadata"] = dict(error.metadata)
    if error.retry_after_seconds is not None:
        details["retry_after_seconds"] = round(error.retry_after_seconds, 3)
    return details


def openai_error(error: HeadwaterError) -> dict[str, Any]:
    """The error as OpenAI's clients read it."""
    status = status_of(error)
    kind = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": error.message, "type": kind, "param": None, "code": error.reason.lower()}}


def error_response(path: str, error: HeadwaterError) -> JSONResponse:
    """The response for ``error``. Anything that is no fault of the caller's stays without a word about its cause."""
    status = status_of(error)
    if status == 500:
        error = Defect("An internal error.", reason="INTERNAL")
    headers: dict[str, str] = {}
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_seconds)))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if path.startswith(OPENAI_PATHS):
        return JSONResponse(openai_error(error), status, headers)
    return JSONResponse(problem(error), status, headers, MEDIA_TYPE)


def known(error: Exception) -> HeadwaterError:
    """The error in terms of the tree."""
    if isinstance(error, HeadwaterError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error.errors())
    if isinstance(error, HTTPException):
        if isinstance(error.__cause__, HeadwaterError):
            # FastAPI wraps what went wrong while it read the body.
            return error.__cause__
        if error.status_code == 404:
            return NotFound("There is nothing at this address: see /openapi.json.", reason="UNKNOWN_PATH")
        if error.status_code == 405:
            return InvalidRequest("This address does not take this method.", reason="METHOD_NOT_ALLOWED")
        if error.status_code < 500:
            return InvalidRequest("The request could not be read.", reason="INVALID_REQUEST")
    return Defect("An internal error.", reason="INTERNAL")


def install(app: FastAPI) -> None:
    """Has ``app`` answer every error this way."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        mapped = known(error)
        if status_of(mapped) == 500:
            _log.error("request failed", path=_route_of(request), exc_info=error)
        return error_response(request.url.path, mapped)

    for kind in (HeadwaterError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)


def _route_of(request: Request) -> str:
    # The path itself may name documents.
    return getattr(request.scope.get("route"), "path", "")


def _invalid(problems: Sequence[Any]) -> InvalidRequest:
    """Which fields are wrong and how; never what was sent."""
    lines = [f"{'.'.join(str(part) for part in entry['loc'])}: {entry['msg']}" for entry in problems[:5]]
    return InvalidRequest("; ".join(lines) or "The request is not valid.", reason="INVALID_REQUEST")
