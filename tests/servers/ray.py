"""Ray on this machine, from the dependency group ``ray``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.servers.native import Running, ServerUnavailableError, answers, free_port, spawn

from chassis.rpc.serve import NODE_ENVIRONMENT

# A machine that runs other tests is slow, not broken.
_PATIENCE = {
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "120",
    "RAY_worker_register_timeout_seconds": "240",
    "RAY_health_check_timeout_ms": "60000",
}
_OBJECT_STORE_BYTES = 256 * 1024 * 1024
_ATTEMPTS = 3


def start(directory: Path, environment: Mapping[str, str]) -> Running:
    """One node without dashboard. Whatever runs on it later has ``environment``; its address is for ``RAY_ADDRESS``.

    Raises ServerUnavailableError when it does not start: its agents are given fifteen seconds, whatever is configured,
    and a machine that has just unpacked Ray may need a second try.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _start(directory, environment)
        except ServerUnavailableError:
            continue
    return _start(directory, environment)


def _start(directory: Path, environment: Mapping[str, str]) -> Running:
    port = free_port()
    options = {
        "port": port,
        "node-ip-address": "127.0.0.1",
        "dashboard-agent-listen-port": free_port(),
        "dashboard-agent-grpc-port": free_port(),
        "runtime-env-agent-port": free_port(),
        "metrics-export-port": free_port(),
        "ray-client-server-port": free_port(),
        "object-store-memory": _OBJECT_STORE_BYTES,
        "include-dashboard": "false",
        "include-log-monitor": "false",
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--{name}={value}" for name, value in options.items()]
    log = directory / "ray.log"
    node = spawn(
        command,
        f"127.0.0.1:{port}",
        log=log,
        ready=lambda: answers("127.0.0.1", port) and "Ray runtime started" in log.read_text(errors="replace"),
        seconds=200,
        environment={**environment, **NODE_ENVIRONMENT, **_PATIENCE},
    )
    return _Node(node.address, node.process)


class _Node(Running):
    """Asked to end, a node waits half a minute for what ran on it."""

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
