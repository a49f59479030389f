"""Worker processes that can be struck at a named point of their work, which is seen on the wire."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tests.faults.nemesis import until
from tests.faults.proxy import Direction, FaultProxy

READY_SECONDS = 90.0
BETWEEN_SECONDS = 0.3
"""The vector write is held back for so long while the lexical one goes through."""
VECTOR_BYTES = 1_000
"""An answer of the embedder with a vector in it is longer."""


class FailPoint(StrEnum):
    """Where a worker is struck."""

    AFTER_FETCH = "after fetch"
    AFTER_PARSE = "after parse"
    MID_EMBED = "mid embed"
    AFTER_EMBED = "after embed"
    MID_LEXICAL = "mid lexical bulk"
    BETWEEN = "between the stores"
    MID_VECTOR = "mid vector batch"
    AFTER_HEAD = "after head"
    BEFORE_COMMIT = "before offset commit"


@dataclass
class Worker:
    """A process of the ingest service that only applies changes, with a wire of its own to what it writes to.

    Attributes:
        folder: Its data directory.
        environment: Its settings.
        wire: Proxies by "elasticsearch", "weaviate" (gRPC) and "embedder".
    """

    name: str
    folder: Path
    environment: Mapping[str, str]
    wire: Mapping[str, FaultProxy]
    process: subprocess.Popen[bytes] | None = None

    def start(self, extra: Mapping[str, str] | None = None) -> None:
        """Does not wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "run" / "ingest.json").unlink(missing_ok=True)
        with (self.folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ingest"],
                env={**os.environ, **self.environment, **(extra or {}), "HEADWATER_DATA_DIR": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_ready(self) -> None:
        """Raises TimeoutError."""
        until(self._is_ready, READY_SECONDS, f"{self.name} is ready; its log is {self.folder / 'worker.log'}")

    def send(self, number: signal.Signals) -> None:
        if self.is_running:
            os.kill(self.pid, number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends it and waits for that."""
        self.send(number)
        if self.process is not None:
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.send(signal.SIGKILL)
                self.process.wait(10)

    def _is_ready(self) -> bool:
        assert self.is_running, f"{self.name} ended; its log is {self.folder / 'worker.log'}"
        try:
            address = json.loads((self.folder / "run" / "ingest.json").read_text())["metrics"]
            with urllib.request.urlopen(f"http://{address}/readyz", timeout=5) as reply:
                return bool(reply.status == 200)
        except (OSError, ValueError):
            return False


@dataclass
class Strike:
    """Sends a worker a signal when its work on certain documents has come to a point.

    Attributes:
        marker: In the name and the text of those documents.
        at: SIGKILL, or SIGSTOP for one that comes back.
        struck: Set when it was done; of several strikes with the same one, the first is the only one.
        is_hit: Whether it was this strike.
    """

    worker: Worker
    point: FailPoint
    marker: bytes
    at: signal.Signals = signal.SIGKILL
    struck: threading.Event = field(default_factory=threading.Event)
    is_hit: bool = False
    _primed: int = 0
    """The connection that the answer has to come over."""

    def arm(self) -> None:
        """In the proxies' loop (``World.arm``)."""
        for store, proxy in self.worker.wire.items():
            proxy.tap = lambda connection, direction, piece, store=store: self._see(  # type: ignore[misc]
                store, connection, direction, piece
            )

    def _see(self, store: str, connection: int, direction: Direction, piece: bytes) -> bytes:
        if self.struck.is_set():
            return piece
        sent = store if direction is Direction.UP else ""
        is_answer = direction is Direction.DOWN and connection == self._primed
        match self.point:
            case FailPoint.AFTER_FETCH if sent == "elasticsearch" and b"-changes" in piece:
                return self._strike(piece, 0)
            case FailPoint.AFTER_PARSE if sent == "embedder" and self.marker in piece:
                return self._strike(piece, 0)
            case FailPoint.MID_EMBED if sent == "embedder" and self.marker in piece:
                return self._strike(piece, len(piece))
            case FailPoint.AFTER_EMBED if sent == "embedder" and self.marker in piece:
                self._primed = connection
            case FailPoint.AFTER_EMBED if store == "embedder" and is_answer and len(piece) > VECTOR_BYTES:
                return self._strike(piece, len(piece))
            case FailPoint.MID_LEXICAL if sent == "elasticsearch" and b"-lexical-" in piece and self.marker in piece:
                return self._strike(piece, len(piece) // 2)
            case FailPoint.BETWEEN if sent == "weaviate" and (self._primed or self.marker in piece):
                if not self._primed:
                    asyncio.get_running_loop().call_later(BETWEEN_SECONDS, self._strike, b"", 0)
                self._primed = connection
                return b""
            case FailPoint.MID_VECTOR if sent == "weaviate" and self.marker in piece:
                return self._strike(piece, len(piece) // 2)
            case FailPoint.AFTER_HEAD if sent == "elasticsearch" and b"-heads/_doc/" in piece and b"PUT " in piece:
                self._primed = connection
            case FailPoint.AFTER_HEAD if store == "elasticsearch" and is_answer:
                return self._strike(piece, 0)
            case FailPoint.BEFORE_COMMIT if sent == "elasticsearch" and b"-changes" in piece and b"applied" in piece:
                self._primed = connection
            case FailPoint.BEFORE_COMMIT if store == "elasticsearch" and is_answer:
                return self._strike(piece, len(piece))
        return piece

    def _strike(self, piece: bytes, passed: int) -> bytes:
        """Signals first: the worker does nothing more, whatever is passed on of the piece."""
        if not self.struck.is_set():
            self.worker.send(self.at)
            self.is_hit = True
            self.struck.set()
        return piece[:passed]
