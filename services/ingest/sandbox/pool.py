"""Parses documents in sandboxed processes; the only door of this package."""

import asyncio
import os
import signal
from pathlib import Path

from ingest.parsing.errors import (
    DocumentTooLarge,
    EmptyDocument,
    OutputTooLarge,
    ParserCrashed,
    ParserMemoryExceeded,
    ParserTimeout,
    ParsingError,
    SandboxUnavailable,
    UnreadableDocument,
)
from ingest.parsing.formats import Lane, lane_of, sniff
from ingest.parsing.limits import ParseLimits
from ingest.parsing.model import ParsedDocument
from ingest.sandbox.isolation import Isolation
from ingest.sandbox.process import WorkerHandle, ZygoteProcess
from ingest.sandbox.protocol import (
    EXIT_OUT_OF_MEMORY,
    MAX_HEADER_BYTES,
    MAX_UTF8_BYTES_PER_CHAR,
    PREFIX,
    FrameKind,
    ParseRequest,
    decode_document,
    decode_rejection,
    encode_request,
)

_PARSER = "ingest.parsing.registry:parse_document"
# Long enough for the heavy imports on a busy two-core machine.
_START_SECONDS = 60.0
_EXIT_SECONDS = 5.0
# A text child is replaced after this many documents, so that what fragments or leaks does not add up.
_DOCUMENTS_PER_CHILD = 100
# Larger answers are decoded on a thread.
_INLINE_BYTES = 256 * 1024


class ParserPool:
    """Parses documents side by side, each under its limits. Start it before use, close it after.

    Args:
        concurrency: Text documents parsed at the same time, and as many of the other formats beside them: those take
            milliseconds and these up to minutes, so neither waits for the other's turn.
        limits: Limits of documents that bring none of their own.
        parser: `module:function` that the children run, with the signature of `parse_document`.
    """

    def __init__(self, concurrency: int = 2, limits: ParseLimits | None = None, parser: str = _PARSER) -> None:
        self._limits = limits or ParseLimits()
        self._parser = parser
        self._text_slots = asyncio.Semaphore(concurrency)
        self._slow_slots = asyncio.Semaphore(concurrency)
        self._zygotes: dict[str, ZygoteProcess] = {}
        self._starting = {lane: asyncio.Lock() for lane in ("light", "office")}
        self._idle: list[WorkerHandle] = []
        self._open = False

    @property
    def isolation(self) -> Isolation:
        """What the kernel forbids the parsers besides the limits; worth a line in the log at start-up."""
        zygote = self._zygotes.get("light")
        return zygote.isolation if zygote else Isolation.NONE

    @property
    def zygote_pids(self) -> tuple[int, ...]:
        """Process ids of the live zygotes."""
        return tuple(zygote.pid for zygote in self._zygotes.values() if zygote.alive)

    async def start(self) -> None:
        """Start the light zygote; the office one starts with the first office document.

        Raises:
            SandboxUnavailable: The parser process cannot be started.
        """
        self._open = True
        await self._zygote("light")

    async def aclose(self) -> None:
        """End all parser processes; documents being parsed fail with SandboxUnavailable. Idempotent."""
        self._open = False
        self._drop_idle()
        zygotes, self._zygotes = list(self._zygotes.values()), {}
        await asyncio.gather(*(zygote.aclose() for zygote in zygotes))

    async def parse(
        self,
        data: bytes | Path,
        filename: str = "",
        media_type: str = "",
        limits: ParseLimits | None = None,
        language: str | None = None,
    ) -> ParsedDocument:
        """Parse one document. Safe to repeat; cancelling kills the parser.

        Args:
            data: The bytes, or a file to read them from.
            filename: Name as the source knows it, a hint only.
            media_type: Declared media type, empty if unknown.
            limits: Limits for this document.
            language: Declared language; wins over detection.

        Raises:
            ParsingError: The document is bad; the subclass and its `reason` say why.
            SandboxUnavailable: The sandbox is closed or cannot start; the document may be fine.
        """
        if not self._open:
            raise SandboxUnavailable("the parser pool is not running")
        limits = limits or self._limits
        body = await asyncio.to_thread(_read, data, limits) if isinstance(data, Path) else data
        if not body:
            raise EmptyDocument
        if len(body) > limits.max_input_bytes:
            raise DocumentTooLarge
        name = filename.replace("\\", "/").rsplit("/", 1)[-1]
        lane = lane_of(sniff(body, name, media_type))
        request = ParseRequest(name, media_type, language, limits)
        # Not in a slot: the first office document waits for seconds of imports, and PDFs go on.
        await self._zygote(_zygote_of(lane))
        async with self._text_slots if lane is Lane.TEXT else self._slow_slots:
            try:
                return await self._attempt(lane, request, body)
            except SandboxUnavailable:
                # The zygote died under this document, not because of it: once more with a new one.
                return await self._attempt(lane, request, body)

    async def _attempt(self, lane: Lane, request: ParseRequest, body: bytes) -> ParsedDocument:
        worker = await self._worker(lane)
        finished = False
        try:
            async with asyncio.timeout(request.limits.wall_seconds):
                kind, header, text = await _exchange(worker, request, body)
            finished = True
        except TimeoutError as error:
            raise ParserTimeout from error
        except OSError as error:
            raise await self._cause_of_death(worker) from error
        finally:
            if not finished:
                worker.kill()
            elif lane is Lane.TEXT and worker.documents < _DOCUMENTS_PER_CHILD and self._open:
                self._idle.append(worker)
            else:
                worker.close()
        if kind == FrameKind.REJECTED:
            raise decode_rejection(header)
        if kind != FrameKind.DOCUMENT:
            raise ParserCrashed("the parser answered with an unknown frame")
        if len(header) + len(text) > _INLINE_BYTES:
            return await asyncio.to_thread(decode_document, header, text)
        return decode_document(header, text)

    async def _worker(self, lane: Lane) -> WorkerHandle:
        while lane is Lane.TEXT and self._idle:
            worker = self._idle.pop()
            if worker.usable:
                return worker
            worker.close()
        return (await self._zygote(_zygote_of(lane))).spawn()

    async def _zygote(self, lane: str) -> ZygoteProcess:
        async with self._starting[lane]:
            zygote = self._zygotes.get(lane)
            if zygote is not None and zygote.alive:
                return zygote
            if not self._open:
                raise SandboxUnavailable("the parser pool is closing")
            if zygote is not None:
                await zygote.aclose()
                self._drop_idle()
            zygote = await ZygoteProcess.start(lane, self._parser, _START_SECONDS)
            self._zygotes[lane] = zygote
            if not self._open:
                await zygote.aclose()
                raise SandboxUnavailable("the parser pool is closing")
            return zygote

    async def _cause_of_death(self, worker: WorkerHandle) -> ParsingError | SandboxUnavailable:
        """Return why a child closed its channel without an answer."""
        try:
            async with asyncio.timeout(_EXIT_SECONDS):
                status = await asyncio.shield(worker.exited)
        except TimeoutError:
            return ParserCrashed("the parser stopped answering")
        except asyncio.CancelledError:
            if worker.exited.cancelled():
                return SandboxUnavailable("the parser process is gone", retry_after_seconds=1.0)
            raise
        return _error_of_status(status)

    def _drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()


def _zygote_of(lane: Lane) -> str:
    return "office" if lane is Lane.OFFICE else "light"


async def _exchange(worker: WorkerHandle, request: ParseRequest, body: bytes) -> tuple[int, bytes, bytes]:
    """Send one document and return (frame kind, header, text).

    Raises:
        OutputTooLarge: The answer announces more than the limits allow.
        OSError: The child is gone.
    """
    loop = asyncio.get_running_loop()
    worker.documents += 1
    await loop.sock_sendall(worker.channel, encode_request(request, len(body)))
    await loop.sock_sendall(worker.channel, body)
    kind, header_bytes, text_bytes = PREFIX.unpack(await _receive(worker, PREFIX.size))
    if header_bytes > MAX_HEADER_BYTES or text_bytes > request.limits.max_output_chars * MAX_UTF8_BYTES_PER_CHAR:
        raise OutputTooLarge
    header = await _receive(worker, header_bytes)
    return kind, header, await _receive(worker, text_bytes)


async def _receive(worker: WorkerHandle, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    received = bytearray(size)
    view, filled = memoryview(received), 0
    while filled < size:
        count = await loop.sock_recv_into(worker.channel, view[filled:])
        if count == 0:
            raise ConnectionResetError
        filled += count
    return bytes(received)


def _error_of_status(status: int) -> ParsingError:
    """Return what a wait status means; SIGKILL that the pool did not send is the kernel's answer to memory."""
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) == signal.SIGXCPU:
            return ParserTimeout()
        if os.WTERMSIG(status) == signal.SIGKILL:
            return ParserMemoryExceeded()
        return ParserCrashed()
    if os.WEXITSTATUS(status) == EXIT_OUT_OF_MEMORY:
        return ParserMemoryExceeded()
    return ParserCrashed()


def _read(path: Path, limits: ParseLimits) -> bytes:
    try:
        with path.open("rb") as file:
            # One byte more than allowed tells too large from just large enough.
            return file.read(limits.max_input_bytes + 1)
    except OSError as error:
        raise UnreadableDocument("the file cannot be opened") from error
