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
from obstore.exceptions import BaseError, GenericError, PermissionDeniedError
from obstore.store import LocalStore, S3Store

from chassis.endpoints import S3Endpoint
from chassis.errors import DependencyUnavailable, InvalidRequest, NotFound
from chassis.objectstore.keys import STAGING, check_key
from chassis.objectstore.port import ObjectEntry
from chassis.objectstore.source import PART_BYTES, Source

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config

_STAGING_KEPT_SECONDS = 24 * 3600
_CALL_SECONDS = 60.0
"""Deadline of calls that carry no stream; an object of the size limit (200 MB) passes in a fraction of it."""

_NO_BUCKET = "NoSuchBucket"
"""S3's error code, found in obstore's message: to obstore a missing bucket is a missing object, and a document whose
bytes are gone for good is given up."""

_OF_ONE_OBJECT = "<Code>InvalidObjectState</Code>"
"""S3 says it of an archived object, whoever asks."""
_REFUSED = ("status code: 403 ", "status code: 400 ")
"""Of an object in obstore's message: not allowed, or encrypted with a key that can't be used."""

_PIECE_BYTES = 2**20

_RETRIES = 3
"""Of a single request to S3; whoever called decides about more."""

_PARTS_AT_ONCE = 1
"""The next part is sent once the one before has arrived: an upload that is aborted has none on its way then, and
none is left behind. A part takes a twentieth of a second where the store is near."""

_TAKE_BACK_SECONDS = 5.0
"""How long a cancelled upload may take to remove what it has sent."""


class ObstoreObjectStore:
    """Object store over ``location``: a directory path, ``file://…`` or an ``s3://bucket/prefix`` URL.

    In a directory an object is written aside, fsynced and renamed, then its directories are fsynced: obstore itself
    renames without fsync, so a power failure could leave an empty object under a final key. S3 credentials and
    region come from ``options``, the usual AWS_… variables or the machine's role. Plain HTTP is spoken where the
    endpoint's URL says so, and nowhere else.

    On S3 an upload in parts that fails or is cancelled is aborted. What a killed process leaves behind is hidden: the
    bucket needs a lifecycle rule that aborts incomplete uploads.
    """

    def __init__(
        self,
        location: Path | str,
        *,
        options: S3Config | None = None,
        retries: int = _RETRIES,
        ca_file: Path | None = None,
    ) -> None:
        text = str(location)
        self._root: Path | None = None
        if text.startswith("file://"):
            text = text.removeprefix("file://")
        if "://" not in text:
            self._root = Path(text).absolute()
            self._swept = False
        if self._root is not None:
            self._store: LocalStore | S3Store = LocalStore(self._root, mkdir=True)
        else:
            self._store = _open_bucket(text, options, retries, ca_file)

    async def put(self, key: str, data: bytes | AsyncIterator[bytes]) -> int:
        """Stores the bytes; see the port. An error of the stream itself is raised as it is, and nothing is stored."""
        check_key(key)
        source = Source(data)
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

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """The object's bytes in pieces of about 1 MiB. The key may be one of somebody else's bucket. Raises NotFound
        OBJECT_MISSING before the first piece, InvalidRequest BAD_OBJECT_KEY for a key that can't be asked for (an empty
        part, "." or "..") and OBJECT_FORBIDDEN for an object that is refused while its bucket is not,
        DependencyUnavailable."""
        with _store_errors():
            try:
                async with asyncio.timeout(_CALL_SECONDS):
                    response = await obstore.get_async(self._store, key)
            except ValueError:
                raise InvalidRequest("The object's key can't be asked for.", reason="BAD_OBJECT_KEY") from None
            except (PermissionDeniedError, GenericError) as error:
                if not await self._is_of_the_object(key, str(error)):
                    raise
                raise InvalidRequest(
                    "The bucket refuses this object: archived, encrypted with a key that can't be used, or denied.",
                    reason="OBJECT_FORBIDDEN",
                ) from error
            async for piece in response.stream(min_chunk_size=_PIECE_BYTES):
                yield bytes(piece)

    async def _is_of_the_object(self, key: str, refusal: str) -> bool:
        """Whether a refusal is about the object alone: the credentials are good for looking into its folder."""
        if _OF_ONE_OBJECT in refusal:
            return True
        if not any(status in refusal for status in _REFUSED):
            return False
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                async for _ in obstore.list(self._store, prefix=key.rpartition("/")[0] or None):
                    break
        except (BaseError, OSError):
            return False
        return True

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
        async for entry in self.entries(prefix):
            yield entry.key

    async def entries(self, prefix: str) -> AsyncIterator[ObjectEntry]:
        """Objects whose keys begin with ``prefix``; see the port."""
        # obstore's prefixes end at a "/", so the rest is compared here.
        parent = prefix.rpartition("/")[0]
        if parent:
            check_key(parent)
        with _store_errors():
            async for batch in obstore.list(self._store, prefix=parent or None):
                for entry in batch:
                    key = entry["path"]
                    if key.startswith(prefix) and not (self._root and key.startswith(f"{STAGING}/")):
                        yield ObjectEntry(key, entry["size"], entry["last_modified"])

    async def _write(self, key: str, source: Source) -> None:
        """Stores the bytes. Dropping obstore's call would leave the parts that were sent, in hiding and paid for: when
        this is cancelled the stream fails instead, and obstore aborts."""
        body = await source.body()
        putting = asyncio.ensure_future(
            obstore.put_async(self._store, key, body, chunk_size=PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
        )
        try:
            await asyncio.shield(putting)
        except asyncio.CancelledError:
            source.abandon()
            await asyncio.wait({putting}, timeout=_TAKE_BACK_SECONDS)
            if not putting.cancel() and not putting.cancelled():
                putting.exception()  # it is the abandoned stream's own, and nobody else looks
            raise

    async def _write_durably(self, root: Path, key: str, source: Source) -> None:
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


@contextmanager
def _store_errors(source: Source | None = None) -> Iterator[None]:
    """Puts obstore's and the file system's errors into the error tree."""
    try:
        yield
    except FileNotFoundError as error:
        if _NO_BUCKET in str(error):
            raise _unavailable("The object store's bucket is missing.") from error
        raise NotFound("There is no such object.", reason="OBJECT_MISSING") from error
    except (BaseError, OSError, ValueError) as error:
        if source is not None and source.error is not None:
            raise source.error from None
        if isinstance(error, (IsADirectoryError, NotADirectoryError)):
            raise InvalidRequest("The key is also a prefix of other keys.", reason="BAD_OBJECT_KEY") from error
        raise _unavailable("The object store can't be reached or refused; try again.") from error


def _unavailable(message: str) -> DependencyUnavailable:
    return DependencyUnavailable(message, reason="OBJECT_STORE_UNAVAILABLE", retry_after_seconds=1.0)


def open_s3(endpoint: S3Endpoint, *, retries: int = _RETRIES) -> ObstoreObjectStore:
    """The bucket that ``endpoint`` names, addressed by path where the endpoint has a URL of its own. Raises ValueError
    for a location that is none."""
    if not endpoint.location.startswith("s3://"):
        # Anything else would be taken for a directory of this machine.
        raise ValueError("the location of an S3 object store is s3://bucket or s3://bucket/prefix")
    options: S3Config = {"region": endpoint.region}
    if endpoint.url:
        options["endpoint"] = endpoint.url
        options["virtual_hosted_style_request"] = False
    if endpoint.access_key_id.get_secret_value():
        options["access_key_id"] = endpoint.access_key_id.get_secret_value()
        options["secret_access_key"] = endpoint.secret_access_key.get_secret_value()
    return ObstoreObjectStore(endpoint.location, options=options, retries=retries, ca_file=endpoint.ca_file)


def _open_bucket(location: str, options: S3Config | None, retries: int, ca_file: Path | None) -> S3Store:
    endpoint = str((options or {}).get("endpoint", ""))
    client: ClientConfig = {
        "timeout": timedelta(seconds=_CALL_SECONDS),
        "allow_http": endpoint.startswith("http://"),
    }
    if ca_file is not None:
        client["root_certificate"] = ca_file.read_bytes()
    return S3Store.from_url(
        location,
        config=options,
        client_options=client,
        retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=_CALL_SECONDS)},
    )


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
