"""Channel options that both ends share."""

from __future__ import annotations

import json
from typing import Final

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
MAX_METADATA_BYTES: Final = 512 * 1024
"""A caller with 5,000 groups has an identity token of about 150 KB; gRPC's own limit of 8 KB would cut him off."""

_LIMITS: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    # A dead peer is noticed within 40 s even when no RPC is under way: both ends must permit such pings.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)

SERVER_OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    *_LIMITS,
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # Two servers on one port would share its connections silently; the second one should fail to start.
    ("grpc.so_reuseport", 0),
)

# Only what never reached a service is retried: services mark their own UNAVAILABLE as final. Tokens refill by 0.1 per
# success, and retries stop at half of them (gRPC proposal A6), so an outage is not met with three times the load.
# CANCELLED is what gRPC says of a call that arrived while its server began to stop, before anybody took it up.
_SERVICE_CONFIG: Final = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 3,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "0.5s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.1},
    }
)

CHANNEL_OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    *_LIMITS,
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_retries", 1),
    # Peers are addressed directly: a proxy variable meant for the web must not catch internal calls.
    ("grpc.enable_http_proxy", 0),
    # While replicas are restarted one after another, their name leads elsewhere every few seconds; gRPC would ask for
    # it twice a minute, and fail when the last address it knows is gone.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # A service that restarts is found again within two seconds instead of gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
