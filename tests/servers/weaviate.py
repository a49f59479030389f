"""A native Weaviate: built once from the Go module at a pinned version."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import httpx
from tests.servers.native import Running, ServerUnavailableError, cache_dir, cache_lock, free_port, spawn, tool

VERSION = "1.35.2"
MODULE = f"github.com/weaviate/weaviate/cmd/weaviate-server@v{VERSION}"
BUILD_SECONDS = 1_800
MEMORY = "2GiB"


def prepare() -> Path:
    """Path of the server's program, built if it is not in the cache: minutes, 170 MB.

    Raises ServerUnavailableError.
    """
    program = cache_dir() / f"weaviate-{VERSION}" / "weaviate-server"
    with cache_lock("weaviate"):
        if program.exists():
            return program
        go = tool("go", "the Weaviate of the tests is built from its Go module; install Go 1.25 or newer")
        program.parent.mkdir(exist_ok=True)
        # Built aside and moved at the end: a build that is interrupted leaves no half file.
        with tempfile.TemporaryDirectory(dir=program.parent) as aside:
            environment = {**os.environ, "GOBIN": aside}
            built = subprocess.run([go, "install", MODULE], env=environment, capture_output=True, timeout=BUILD_SECONDS)
            if built.returncode:
                raise ServerUnavailableError(f"go install {MODULE}:\n{built.stderr.decode(errors='replace')[-2000:]}")
            (Path(aside) / program.name).rename(program)
    return program


def start(directory: Path) -> Running:
    """Starts a server with its data below ``directory``, which may hold the data of an earlier one; its address is
    ``host:port,host:port``, of HTTP and of gRPC."""
    return start_at(directory, free_port(), free_port())


def start_at(directory: Path, http_port: int, grpc_port: int) -> Running:
    """Like ``start``, at these ports."""
    program = prepare()
    directory.mkdir(parents=True, exist_ok=True)
    # Gossip and raft bind two ports each, the data port is the one after gossip's: all of them free ones.
    gossip, data, raft, raft_rpc = (str(free_port()) for _ in range(4))
    environment = {
        "PERSISTENCE_DATA_PATH": str(directory / "data"),
        "DEFAULT_VECTORIZER_MODULE": "none",
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        "AUTOSCHEMA_ENABLED": "false",
        "DISABLE_TELEMETRY": "true",
        "CLUSTER_HOSTNAME": "node1",
        "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
        "CLUSTER_GOSSIP_BIND_PORT": gossip,
        "CLUSTER_DATA_BIND_PORT": data,
        "RAFT_PORT": raft,
        "RAFT_INTERNAL_RPC_PORT": raft_rpc,
        "RAFT_BOOTSTRAP_EXPECT": "1",
        "RAFT_JOIN": f"node1:{raft}",
        "GRPC_PORT": str(grpc_port),
        "GO_PROFILING_DISABLE": "true",
        "DISK_USE_READONLY_PERCENTAGE": "99",
        "LOG_LEVEL": "warning",
        "GOMEMLIMIT": MEMORY,
    }
    base = f"http://127.0.0.1:{http_port}"

    def ready() -> bool:
        try:
            return httpx.get(f"{base}/v1/.well-known/ready", timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    return spawn(
        [str(program), "--scheme", "http", "--host", "127.0.0.1", "--port", str(http_port)],
        f"127.0.0.1:{http_port},127.0.0.1:{grpc_port}",
        log=directory / "weaviate.log",
        ready=ready,
        environment=environment,
    )
