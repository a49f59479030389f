"""Starts replicas behind Ray Serve: what a deployment is told, and a Serve instance on this machine."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Final

from chassis.addresses import Address
from chassis.rpc.serve_proxy import LIMITS_CALLBACK
from chassis.rpc.serve_settings import ReplicatedSettings

_OBJECT_STORE_BYTES: Final = 256 * 1024 * 1024
"""Requests and answers of a few MB pass through it; Ray by itself takes 30 % of the memory."""
NODE_ENVIRONMENT: Final = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": LIMITS_CALLBACK,
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What every node of a Ray cluster needs in its environment, besides the settings of the services."""


def deployment_options(settings: ReplicatedSettings) -> dict[str, Any]:
    """Arguments of ``serve.deployment`` for a service: named like it, with bounded queues."""
    scale = settings.serve
    return {
        "name": settings.service_name,
        "max_ongoing_requests": settings.max_in_flight,
        "max_queued_requests": scale.max_queued_requests,
        "autoscaling_config": {
            "min_replicas": scale.min_replicas,
            "max_replicas": scale.max_replicas,
            "target_ongoing_requests": scale.target_ongoing_requests,
        },
        "health_check_period_s": scale.health_period_seconds,
        "health_check_timeout_s": scale.health_timeout_seconds,
        "graceful_shutdown_timeout_s": settings.drain_seconds,
        "ray_actor_options": {"num_cpus": scale.cpus, "num_gpus": scale.gpus},
    }


def run(application: Any, settings: ReplicatedSettings, add_to_proxy: str) -> None:
    """Serves an application until SIGTERM or SIGINT, on a Ray of its own or on the one that ``RAY_ADDRESS`` names,
    whose nodes have ``NODE_ENVIRONMENT`` and the service's settings in their environment.

    gRPC is served on the port of ``listen``, by Ray on all interfaces of the machine.

    Args:
        application: A bound deployment.
        settings: Of the service.
        add_to_proxy: Import path of the guarded function that adds the service to the proxy.

    Raises:
        ValueError: ``listen`` has no port: Ray takes none by itself.
    """
    port = Address.parse(settings.listen).port
    if not port:
        raise ValueError("Ray Serve needs the port it listens on: set listen to host:port.")
    # What Ray starts inherits them.
    os.environ.update(NODE_ENVIRONMENT)
    import ray
    from ray import serve

    stopping = threading.Event()
    if os.environ.get("RAY_ADDRESS"):
        ray.init()
    else:
        ray.init(include_dashboard=False, object_store_memory=_OBJECT_STORE_BYTES)
    try:
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": "127.0.0.1", "port": settings.serve.http_port},
            grpc_options={
                "port": port,
                "grpc_servicer_functions": [add_to_proxy],
                "request_timeout_s": settings.serve.request_timeout_seconds,
                "enable_reflection": False,
            },
        )
        serve.run(application, name=settings.service_name, route_prefix=f"/{settings.service_name}")
        # Not earlier: Ray installs handlers of its own.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        stopping.wait()
        serve.shutdown()
    finally:
        ray.shutdown()
