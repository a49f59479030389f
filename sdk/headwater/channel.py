"""How both clients reach the gateway."""

from __future__ import annotations

import json
from typing import Final

READ_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 60.0
WRITE_SECONDS: Final = 30.0
READ_ATTEMPTS: Final = 4
READ_PAUSE_SECONDS: Final = 0.5
"""Between attempts, where the gateway says no delay of its own."""
INLINE_BYTES: Final = 3 * 2**20
"""Larger content is streamed: one gRPC message holds at most 4 MiB."""
PART_BYTES: Final = 2**19

_SERVICE: Final = "headwater.gateway.v1.GatewayService"
_SAFE_METHODS: Final = (
    "Search",
    "SearchBatch",
    "GetAnswer",
    "GetDocument",
    "ListDocuments",
    "GetChanges",
    "GetIngestStatus",
)
"""Calls without effect. Changes are not retried here: without a version of the caller's own a repetition would be a
new change."""


def options() -> list[tuple[str, str | int]]:
    """Channel options: retries of safe calls, keepalive, message limits."""
    service_config = {
        "methodConfig": [
            {
                "name": [{"service": _SERVICE, "method": method} for method in _SAFE_METHODS],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }
    return [
        ("grpc.service_config", json.dumps(service_config)),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.max_receive_message_length", 32 * 2**20),
        ("grpc.max_send_message_length", 8 * 2**20),
    ]
