"""Objects in a local directory or an S3-compatible store, through obstore."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from chassis.errors import DependencyUnavailable, InvalidRequest, NotFound
from chassis.objectstore.keys import STAGING, check_key

if TYPE_CHECKING:
    from obstore.store import S3Config

_STAGING_KEPT_SECONDS = 24 * 3600
_CALL_SECONDS = 60.0
"""Deadline of calls that carry no stream; an object of the size limit (200 MB) passes in a fraction of it."""

_RETRIES = 3
"""Of a single request to S3; whoever called decides about more."""

_PART_BYTES = 5 * 1024 * 1024
_PARTS_AT_ONCE = 2
"""At most two parts of 5 MiB, the least that S3 allows, are in memory while a stream is stored."""


class ObstoreObjectStore:
    """Object store over ``location``: a directory path, ``file://…`` or an ``s3://bucket/prefix`` URL.

    In a directory an object is written aside, fsynced and renamed, then its directories are fsynced: obstore itself
    renames without fsync, so a power failure could leave an empty object under a final key. S3 credentials and
    region come from ``options`` or the usual AWS_… variables.
    """

    def __init__(self, location: Path | str, *, options: S3Config | None = None, retries: int = _RETRIES) -> None:
        text = str(location)
        self._root: Path | None = None
        if text.startswith("file://"):
            text = text.removeprefix("file://")
        if "://" not in text:
            self._root = Path(text).absolute()
            self._swept = False
        self._store = self._open(text, options, retries)

    def _open(self, location: str, options: S3Config | None, retries: int) -> LocalStore | S3Store:
        if self._root is not None:
            return LocalStore(self._root, mkdir=True)
        return S3Store.from_url(
            location,
            config=options,
            client_options={"timeout": timedelta(seconds=_CALL_SECONDS), "allow_http": True},
            retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=_CALL_SECONDS)},
        )

    async def put(self, key: str, data: bytes | AsyncIterator[bytes]) -> int:
        """Stores the bytes; see the port. An error of the stream itself is raised as it is, and nothing is stored."""
        check_key(key)
        source = _CountedStream(data)
        with _store_errors(source):
            if self._root is None:
                await self._write(key, source)
            else:
                await self._write_durably(self._root, key, source)
        return source.count

    async def get(self, key: str) -> bytes:
        """The object's bytes; see the port."""
        check_key(key)
        with _store_errors():
            async with asyncio.timeout(_CALL_SECONDS):
                response = await obstore.get_async(self._store, key)
                return bytes(await response.bytes_async())

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        check_key(key)
        try:
            with _store_errors():
                async with asyncio.timeout(_CALL_SECONDS):
                    await obstore.head_async(self._store, key)
        except NotFound:
            return False
        return True

    async def delete(self, key: str) -> None:
        """Removes the object; see the port."""
        check_key(key)
        with suppress(NotFound), _store_errors():
            async with asyncio.timeout(_CALL_SECONDS):
                await obstore.delete_async(self._store, key)

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """Keys that begin with ``prefix``."""
        # obstore's prefixes end at a "/", so the rest is compared here.
        parent = prefix.rpartition("/")[0]
        if parent:
            check_key(parent)
        with _store_errors():
            async for batch in obstore.list(self._store, prefix=parent or None):
                for entry in batch:
                    key = entry["path"]
                    if key.startswith(prefix) and not (self._root and key.startswith(f"{STAGING}/")):
                        yield key

    async def _write(self, key: str, source: _CountedStream) -> None:
        await obstore.put_async(self._store, key, source.body(), chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    async def _write_durably(self, root: Path, key: str, source: _CountedStream) -> None:
        if not self._swept:
            self._swept = True
            await asyncio.to_thread(_sweep_staging, root / STAGING)
        staged = f"{STAGING}/{uuid4().hex}"
        try:
            await self._write(staged, source)
            await asyncio.to_thread(_publish, root, root / staged, root / key)
        except BaseException:
            await asyncio.shield(asyncio.to_thread((root / staged).unlink, missing_ok=True))
            raise


class _CountedStream:
    """The bytes on their way: counts them and keeps an error of their source apart from the store's errors."""

    def __init__(self, data: bytes | AsyncIterator[bytes]) -> None:
        self._data = data
        self.count = len(data) if isinstance(data, bytes) else 0
        self.error: BaseException | None = None

    def body(self) -> bytes | AsyncIterator[bytes]:
        return self._data if isinstance(self._data, bytes) else self._counted(self._data)

    async def _counted(self, data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for piece in data:
                self.count += len(piece)
                if piece:
                    yield piece
        except Exception as error:
            self.error = error
            raise


@contextmanager
def _store_errors(source: _CountedStream | None = None) -> Iterator[None]:
    """Puts obstore's and the file system's errors into the error tree."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound("There is no such object.", reason="OBJECT_MISSING") from error
    except (BaseError, OSError, ValueError) as error:
        if source is not None and source.error is not None:
            raise source.error from None
        if isinstance(error, (IsADirectoryError, NotADirectoryError)):
            raise InvalidRequest("The key is also a prefix of other keys.", reason="BAD_OBJECT_KEY") from error
        raise DependencyUnavailable(
            "The object store can't be reached or refused; try again.",
            reason="OBJECT_STORE_UNAVAILABLE",
            retry_after_seconds=1.0,
        ) from error


def _publish(root: Path, staged: Path, final: Path) -> None:
    """Makes a complete file visible under its key, durably: content first, then the name, then the names of new
    directories."""
    _fsync(staged)
    new_directories = [final.parent]
    while not new_directories[-1].exists():
        new_directories.append(new_directories[-1].parent)
    final.parent.mkdir(parents=True, exist_ok=True)
    staged.replace(final)
    for directory in new_directories:
        _fsync(directory)


def _fsync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _sweep_staging(directory: Path) -> None:
    """Removes what processes that were killed left behind; young files may belong to others that are writing now."""
    if directory.is_dir():
        limit = time.time() - _STAGING_KEPT_SECONDS
        for path in directory.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < limit:
                    path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
