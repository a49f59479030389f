"""The pool's side of a zygote: start it, ask it for workers, hear how they ended."""

import asyncio
import os
import socket
import sys
from itertools import count

from ingest.parsing.errors import SandboxUnavailable
from ingest.sandbox.isolation import Isolation
from ingest.sandbox.protocol import CONTROL, ControlKind

_STOP_SECONDS = 5.0


class WorkerHandle:
    """One forked child as the pool sees it."""

    def __init__(self, number: int, channel: socket.socket, zygote: "ZygoteProcess") -> None:
        self.number = number
        self.channel = channel
        self.documents = 0
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._zygote = zygote

    @property
    def usable(self) -> bool:
        """Whether the child lives, as far as anybody has heard."""
        return not self.exited.done() and self._zygote.alive

    @property
    def zygote_alive(self) -> bool:
        """Whether the zygote lives; if not, the child's end says nothing about its document."""
        return self._zygote.alive

    def close(self) -> None:
        """Let the child end by itself: it reads the end of its channel."""
        self.channel.close()

    def kill(self) -> None:
        """End the child now."""
        self.channel.close()
        self._zygote.kill(self.number)


class ZygoteProcess:
    """One running zygote. Created by `start`, ended by `aclose`; not restarted, a new one takes its place."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._numbers = count(1)
        self._workers: dict[int, WorkerHandle] = {}
        self._reader: asyncio.Task[None] | None = None
        self._alive = True
        self.isolation = Isolation.NONE

    @classmethod
    async def start(cls, lane: str, parser: str, timeout_seconds: float) -> "ZygoteProcess":
        """Start a zygote and wait until its imports are done.

        Raises:
            SandboxUnavailable: It did not get ready in time.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        command = ("-P", "-m", "ingest.sandbox.zygote", lane, str(theirs.fileno()), parser)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                env=_environment(),
                cwd="/",
            )
        except OSError as error:
            ours.close()
            raise SandboxUnavailable("the parser process cannot be started") from error
        finally:
            theirs.close()
        zygote = cls(process, ours)
        try:
            async with asyncio.timeout(timeout_seconds):
                kind, _, value = await zygote._message()
        except (TimeoutError, ConnectionError) as error:
            await zygote.aclose()
            raise SandboxUnavailable("the parser process did not get ready") from error
        except BaseException:
            await zygote.aclose()
            raise
        if kind != ControlKind.READY:
            await zygote.aclose()
            raise SandboxUnavailable("the parser process speaks another protocol")
        zygote.isolation = Isolation(value)
        zygote._reader = asyncio.create_task(zygote._listen(), name=f"zygote-{lane}")
        return zygote

    @property
    def alive(self) -> bool:
        """Whether the control socket is open."""
        return self._alive

    @property
    def pid(self) -> int:
        """Process id of the zygote."""
        return self._process.pid

    def spawn(self) -> WorkerHandle:
        """Ask for a fork and return at once: the channel can be written to before the child exists.

        Raises:
            SandboxUnavailable: The zygote is gone.
        """
        number = next(self._numbers)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            message = CONTROL.pack(ControlKind.SPAWN, number, 0)
            socket.send_fds(self._control, [message], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise SandboxUnavailable("the parser process is gone", retry_after_seconds=1.0) from error
        finally:
            theirs.close()
        worker = self._workers[number] = WorkerHandle(number, ours, self)
        return worker

    def kill(self, number: int) -> None:
        """Kill a worker unless it has ended; a worker of a dead zygote is dead."""
        if self._alive and number in self._workers:
            try:
                self._control.send(CONTROL.pack(ControlKind.KILL, number, 0))
            except OSError:
                self._alive = False

    async def aclose(self) -> None:
        """Close the control socket, which ends the zygote and its children; kill it if that takes too long."""
        self._alive = False
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        self._control.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _listen(self) -> None:
        try:
            while True:
                kind, number, value = await self._message()
                if kind == ControlKind.EXITED and (worker := self._workers.pop(number, None)) is not None:
                    worker.exited.set_result(value)
        except ConnectionError:
            pass
        finally:
            self._alive = False
            for worker in self._workers.values():
                worker.exited.cancel()
            self._workers.clear()

    async def _message(self) -> tuple[int, int, int]:
        loop = asyncio.get_running_loop()
        message = b""
        while len(message) < CONTROL.size:
            received = await loop.sock_recv(self._control, CONTROL.size - len(message))
            if not received:
                raise ConnectionResetError
            message += received
        kind, number, value = CONTROL.unpack(message)
        return kind, number, value


def _environment() -> dict[str, str]:
    """Return all that a zygote knows of the world: where modules are, and to stay single-threaded."""
    return {
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
