"""Ray on this machine, from the dependency group ``ray``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.servers.native import Running, answers, free_port, spawn

from chassis.rpc.serve import NODE_ENVIRONMENT

# A machine that runs other tests is slow, not broken.
_PATIENCE = {
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "120",
    "RAY_worker_register_timeout_seconds": "240",
    "RAY_health_check_timeout_ms": "60000",
}
_OBJECT_STORE_BYTES = 256 * 1024 * 1024


def start(directory: Path, environment: Mapping[str, str]) -> Running:
    """One node without dashboard. Whatever runs on it later has ``environment``; its address is for ``RAY_ADDRESS``."""
    port = free_port()
    # A node whose agents take ports by themselves gives up when they don't say which within fifteen seconds.
    ports = {
        name: str(free_port())
        for name in ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port")
    }
    options = {
        "port": str(port),
        "node-ip-address": "127.0.0.1",
        "metrics-export-port": str(free_port()),
        "ray-client-server-port": str(free_port()),
        "object-store-memory": str(_OBJECT_STORE_BYTES),
        "include-dashboard": "false",
        "include-log-monitor": "false",
        **ports,
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--{name}={value}" for name, value in options.items()]
    log = directory / "ray.log"
    node = spawn(
        command,
        f"127.0.0.1:{port}",
        log=log,
        ready=lambda: answers("127.0.0.1", port) and "Ray runtime started" in log.read_text(errors="replace"),
        seconds=300,
        environment={**environment, **NODE_ENVIRONMENT, **_PATIENCE},
    )
    return _Node(node.address, node.process)


class _Node(Running):
    """Asked to end, a node waits half a minute for what ran on it."""

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
