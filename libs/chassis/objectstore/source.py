"""The bytes of an object on their way into the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

PART_BYTES = 5 * 1024 * 1024
"""The least that S3 allows for a part of an upload in parts."""

_SLICE_BYTES = 1024 * 1024


class AbandonedError(Exception):
    """Whoever was storing the stream has been cancelled."""


class Source:
    """Bytes or a stream of them: counts them, keeps an error of the stream apart from the store's errors, and can be
    told that nobody wants them any more.

    Attributes:
        count: Bytes handed over so far.
        error: What the stream raised.
    """

    def __init__(self, data: bytes | AsyncIterator[bytes]) -> None:
        self._data = data
        self._abandoned = False
        self._reader: asyncio.Task[object] | None = None
        self.count = 0
        self.error: Exception | None = None

    async def body(self) -> bytes | AsyncIterator[bytes]:
        """Everything at once when it fits into one part: one request in place of three. Else a stream."""
        if isinstance(self._data, bytes) and len(self._data) <= PART_BYTES:
            self.count = len(self._data)
            return self._data
        pieces = self._counted(_slices(self._data) if isinstance(self._data, bytes) else self._data)
        first = bytearray()
        async for piece in pieces:
            first += piece
            if len(first) > PART_BYTES:
                return _followed_by(bytes(first), pieces)
        return bytes(first)

    def abandon(self) -> None:
        """Lets the stream fail, so that the store takes back what it has of it."""
        self._abandoned = True
        if self._reader is not None:
            self._reader.cancel()

    async def _counted(self, data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        while (piece := await self._next(data)) is not None:
            self.count += len(piece)
            if piece:
                yield piece
        if self.error is not None or self._abandoned:
            # The store asks for another piece once the part before has arrived. A part that arrives after the upload
            # was aborted stays for good, on S3 as documented.
            yield b""
            raise self.error or AbandonedError

    async def _next(self, data: AsyncIterator[bytes]) -> bytes | None:
        """None at the end, at an error and when nobody wants more."""
        if self._abandoned:
            return None
        # Whoever reads the stream does so in a task of its own for each piece.
        self._reader = asyncio.current_task()
        try:
            return await anext(data, None)
        except asyncio.CancelledError:
            if not self._abandoned:
                raise
        except Exception as error:
            self.error = error
        finally:
            self._reader = None
        return None


async def _slices(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _SLICE_BYTES):
        yield data[start : start + _SLICE_BYTES]


async def _followed_by(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece
