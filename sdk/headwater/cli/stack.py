"""The five services as processes of this machine, on embedded engines: start, look at, stop.

Everything about a running stack is in its data directory, so any later command finds it: ``run/<service>.json``
(written by the service: pid and addresses), ``endpoints.json`` (where the gateway listens), ``logs/<service>.log``,
``traces/<service>.jsonl``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from headwater.cli.problems import CommandError

SERVICES = ("embedder", "reranker", "ingest", "retriever", "gateway")
"""In the order of their start: each after those it calls, so that nobody waits long for a peer."""
PORT_OFFSETS = {"gateway": 0, "retriever": 1, "reranker": 2, "embedder": 3, "ingest": 4}
HTTP_OFFSET = 80
METRICS_OFFSET = 10
DEFAULT_PORT_BASE = 7700
READY_SECONDS = 60.0
STOP_SECONDS = 15.0
HEALTH_NAMES = {
    "gateway": "headwater.gateway.v1.GatewayService",
    "retriever": "headwater.retrieval.v1.RetrievalService",
    "reranker": "headwater.rerank.v1.RerankService",
    "embedder": "headwater.embedding.v1.EmbeddingService",
    "ingest": "headwater.ingest.v1.IngestService",
}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a stack listens: ``host:port`` each."""

    grpc: Mapping[str, str]
    metrics: Mapping[str, str]
    gateway_http: str

    def save(self, data: Path) -> None:
        """Writes ``endpoints.json``."""
        content = {"grpc": dict(self.grpc), "metrics": dict(self.metrics), "gateway_http": self.gateway_http}
        (data / "endpoints.json").write_text(json.dumps(content, indent=2) + "\n")

    @staticmethod
    def load(data: Path) -> Endpoints | None:
        """Reads ``endpoints.json``; None when there is none."""
        try:
            content = json.loads((data / "endpoints.json").read_text())
        except FileNotFoundError:
            return None
        return Endpoints(content["grpc"], content["metrics"], content["gateway_http"])


def start(
    data: Path,
    *,
    port_base: int = DEFAULT_PORT_BASE,
    environment: Mapping[str, str] | None = None,
    on_ready: Callable[[str, float], None] = lambda service, seconds: None,
) -> Endpoints:
    """Starts what is not running and waits until all five are ready.

    Args:
        data: Directory that holds everything of this stack; made when missing.
        port_base: First port; 0 takes free ones.
        environment: More settings (``HEADWATER_…``) for the services.
        on_ready: Told of each service as it becomes ready, with the seconds since the start.

    Raises CommandError when a port is taken, a service dies, or one is not ready in time; the message names its log.
    """
    _require_services()
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    os.chmod(data, 0o700)  # before anything is in it: it will hold documents and keys
    for folder in ("run", "logs", "traces", "keys"):
        (data / folder).mkdir(mode=0o700, exist_ok=True)
    known = Endpoints.load(data)
    endpoints = known if known and any(pid_of(data, service) for service in SERVICES) else _choose(port_base)
    endpoints.save(data)
    _create_keys(data / "keys")
    began = time.monotonic()
    children = {
        service: _spawn(service, data, endpoints, environment or {})
        for service in SERVICES
        if pid_of(data, service) is None
    }
    _wait_until_ready(data, endpoints, children, lambda service: on_ready(service, time.monotonic() - began))
    return endpoints


def stop(data: Path) -> list[str]:
    """Stops what runs, callers first, and returns which services that were. A service that doesn't end in time is
    killed."""
    data = data.resolve()
    running = [service for service in reversed(SERVICES) if pid_of(data, service)]
    for service in running:
        pid = pid_of(data, service)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    for service in running:
        while (pid := pid_of(data, service)) is not None and time.monotonic() < deadline:
            _ended(pid)
            time.sleep(0.02)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            _ended(pid)
        (data / "run" / f"{service}.json").unlink(missing_ok=True)
    return running


def pid_of(data: Path, service: str) -> int | None:
    """Process id of a running service of this stack, None when it does not run."""
    try:
        pid = int(json.loads((data / "run" / f"{service}.json").read_text())["pid"])
        command = Path(f"/proc/{pid}/cmdline").read_bytes() if Path("/proc").is_dir() else None
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError, ValueError, KeyError):
        return None
    # After a reboot the number may belong to somebody else.
    return pid if command is None or service.encode() in command else None


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and of its children (sandboxed parsers), in bytes."""
    total = 0
    for process in [pid, *_descendants(pid)]:
        try:
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return total


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found


def _require_services() -> None:
    if find_spec("gateway") is None or find_spec("chassis") is None:
        raise CommandError(
            "The services are not installed here; this is the client alone.",
            hint="Clone the repository and run 'make setup', or point --target at a running gateway.",
        )


def _choose(port_base: int) -> Endpoints:
    if port_base:
        ports = {name: port_base + offset for name, offset in PORT_OFFSETS.items()}
        metrics = {name: port + METRICS_OFFSET for name, port in ports.items()}
        http = port_base + HTTP_OFFSET
        for name, port in [*ports.items(), ("gateway's HTTP", http)]:
            if not _is_free(port):
                raise CommandError(
                    f"Port {port} ({name}) is taken, by another stack perhaps.",
                    hint="Stop it ('headwater down --data DIR'), or use --port-base 0 for free ports.",
                )
    else:
        free = _free_ports(2 * len(PORT_OFFSETS) + 1)
        ports = dict(zip(PORT_OFFSETS, free, strict=False))
        metrics = dict(zip(PORT_OFFSETS, free[len(PORT_OFFSETS) :], strict=False))
        http = free[-1]
    return Endpoints(
        {name: f"127.0.0.1:{port}" for name, port in ports.items()},
        {name: f"127.0.0.1:{port}" for name, port in metrics.items()},
        f"127.0.0.1:{http}",
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _create_keys(keys: Path) -> None:
    from chassis.tokens import create_keys  # the services' library: absent where only the client is installed

    create_keys(keys, ["gateway", "retriever", "ingest"])


def _wait_until_ready(
    data: Path, endpoints: Endpoints, children: Mapping[str, int], on_ready: Callable[[str], None]
) -> None:
    """Raises CommandError when a child dies, or a service is not ready in time."""
    began = time.monotonic()
    waiting = list(SERVICES)
    while waiting:
        for service in list(waiting):
            # A service that listens has written its file; before that, asking would only take time from it.
            if pid_of(data, service) is not None and _serving(endpoints.grpc[service], HEALTH_NAMES[service]):
                waiting.remove(service)
                on_ready(service)
            elif service in children and (exit_code := _ended(children[service])) is not None:
                raise CommandError(
                    f"{service} stopped with exit code {exit_code} while starting.",
                    hint=f"Its log says why: {data / 'logs' / f'{service}.log'}",
                )
        if waiting and time.monotonic() - began > READY_SECONDS:
            raise CommandError(
                f"Not ready after {READY_SECONDS:.0f} s: {', '.join(waiting)}.", hint=f"Logs are in {data / 'logs'}"
            )
        if waiting:
            time.sleep(0.05)


def _spawn(service: str, data: Path, endpoints: Endpoints, environment: Mapping[str, str]) -> int:
    (data / "run" / f"{service}.json").unlink(missing_ok=True)
    prefix = f"HEADWATER_{service.upper()}_"
    settings = {
        **os.environ,
        **{f"HEADWATER_{name.upper()}_TARGET": address for name, address in endpoints.grpc.items()},
        "HEADWATER_PROFILE": os.environ.get("HEADWATER_PROFILE", "embedded"),
        "HEADWATER_DEVELOPMENT": "true",
        "HEADWATER_DATA_DIR": str(data),
        f"{prefix}LISTEN": endpoints.grpc[service],
        f"{prefix}METRICS_LISTEN": endpoints.metrics[service],
        **environment,
    }
    if service == "gateway":
        settings[f"{prefix}HTTP_LISTEN"] = endpoints.gateway_http
    log = str(data / "logs" / f"{service}.log")
    # The service outlives this process, so there is no object here that would wait for it.
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", service],
        settings,
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )


def _serving(address: str, name: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            reply = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=1.0)
        except grpc.RpcError:
            return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def _ended(pid: int) -> int | None:
    """Exit code of a service that was started here and has ended; also lets the system forget it."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None  # started by another process
    return os.waitstatus_to_exitcode(status) if ended else None
