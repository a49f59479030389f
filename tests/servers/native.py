"""What starting a native server takes: a cache for downloads, free ports, a process that is waited for and stopped."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


class ServerUnavailableError(RuntimeError):
    """A server can't be started here; the message says what is missing."""


def cache_dir() -> Path:
    """Where downloads are kept: ``$HEADWATER_CACHE_DIR/servers``, else ``~/.cache/headwater/servers``."""
    root = os.environ.get("HEADWATER_CACHE_DIR")
    path = (Path(root) if root else Path.home() / ".cache" / "headwater") / "servers"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def cache_lock(name: str) -> Iterator[None]:
    """Held by one process of this machine at a time: what two would download or build twice is done once."""
    with (cache_dir() / f"{name}.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tool(name: str, hint: str) -> str:
    """Path of a program. Raises ServerUnavailableError with ``hint`` when it is missing."""
    path = shutil.which(name)
    if path is None:
        raise ServerUnavailableError(f"{name} is not installed: {hint}")
    return path


@dataclass
class Running:
    """A server that answers at ``address``; ``stop`` ends what was started here."""

    address: str
    process: subprocess.Popen[bytes] | None = None
    after_stop: Sequence[Callable[[], None]] = field(default_factory=tuple)

    def stop(self) -> None:
        """Ends the process group. Idempotent."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)
        for step in self.after_stop:
            step()


def spawn(
    command: Sequence[str],
    address: str,
    *,
    log: Path,
    ready: Callable[[], bool],
    seconds: float = 240.0,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Running:
    """Starts a server in a process group of its own and waits until ``ready()``.

    Raises ServerUnavailableError with the end of its log when it ends early or does not become ready.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            user=user,
        )
    running = Running(address, process)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if ready():
            return running
        time.sleep(0.1)
    running.stop()
    tail = log.read_text(errors="replace")[-2000:]
    raise ServerUnavailableError(f"{Path(command[0]).name} did not become ready within {seconds:.0f} s:\n{tail}")


def answers(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
