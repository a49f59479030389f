"""Redis from Debian's package ``redis-server``, installed with apt where that is allowed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

from tests.servers.native import Running, ServerUnavailableError, cache_lock, free_port, spawn

_PROGRAMS = ("redis-server", "valkey-server")
_HINT = "install it ('apt-get install redis-server', 'brew install redis') or set HEADWATER_TEST_REDIS"
_INSTALL_SECONDS = 300


def prepare() -> Path:
    """Path of the server's program, installed if root may do so. Raises ServerUnavailableError."""
    for name in _PROGRAMS:
        if path := shutil.which(name):
            return Path(path)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ServerUnavailableError(f"redis-server is not installed: {_HINT}")
    with cache_lock("apt"):
        if not shutil.which(_PROGRAMS[0]):
            _install()
    path = shutil.which(_PROGRAMS[0])
    if path is None:
        raise ServerUnavailableError(f"redis-server can't be installed with apt-get: {_HINT}")
    return Path(path)


def start(directory: Path, *, port: int | None = None, password: str = "") -> Running:
    """A server without persistence that forgets the least recently used values beyond 256 MB."""
    program = prepare()
    port = port or free_port()
    command = [
        str(program),
        *("--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory)),
        *("--save", "", "--appendonly", "no"),
        *("--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru"),
        *(("--requirepass", password) if password else ()),
    ]
    return spawn(command, f"redis://127.0.0.1:{port}/0", log=directory / "redis.log", ready=lambda: _pong(port))


def _install() -> None:
    # In runlevel 1 the package does not start its own service, which would take port 6379.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "redis-server"]
    for command in (["apt-get", "update", "-q"], install):
        done = subprocess.run(command, env=quiet, capture_output=True, timeout=_INSTALL_SECONDS, check=False)
        if done.returncode != 0:
            tail = done.stderr.decode(errors="replace")[-1000:]
            raise ServerUnavailableError(f"'{' '.join(command)}' failed; {_HINT}:\n{tail}")


def _pong(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False
