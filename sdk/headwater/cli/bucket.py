"""``sync-bucket``: makes documents equal to the objects of a bucket."""

from __future__ import annotations

import asyncio
import mimetypes
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headwater.aio import AsyncClient
from headwater.cli.context import (
    DEFAULT_DATA,
    DataOption,
    JsonOption,
    TargetOption,
    TenantOption,
    connect_async,
    identity_of,
)
from headwater.cli.documents import readers
from headwater.cli.ingest import LONGEST_STALL_SECONDS, Report, key_value, put_patiently, show_report
from headwater.cli.problems import EXIT_NOT_FOUND, EXIT_PARTIAL, CommandError
from headwater.cli.sources import MEDIA_SUFFIXES, Source
from headwater.errors import ConflictError, InvalidRequestError
from headwater.types import Change, Document, Receipt

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Store

CALLS_AT_ONCE = 8
ETAG = "s3_etag"
"""Metadata of each document: which content of the object it was made from."""
_PIECE_BYTES = 2**20
_REFUSED = ("dead_lettered", "discarded")


@dataclass(frozen=True, slots=True)
class Item:
    """An object of the bucket."""

    key: str
    etag: str


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(sync_bucket)


def sync_bucket(
    location: Annotated[str, typer.Argument(help="s3://bucket or s3://bucket/prefix.")],
    endpoint: Annotated[str, typer.Option("--endpoint", help="URL of an S3-compatible store; default: Amazon's.")] = "",
    region: Annotated[str, typer.Option("--region", help="The bucket's region.")] = "us-east-1",
    suffix: Annotated[
        list[str] | None,
        typer.Option("--suffix", help="Only keys that end in this; repeatable. Default: all but media."),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="A group that may read; repeatable. Default: everybody in the tenant."),
    ] = None,
    doc_type: Annotated[str, typer.Option("--doc-type", help="Document type, for instance guide.")] = "",
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", help="k=v; repeatable. Numbers, true and false are recognised.")
    ] = None,
    id_prefix: Annotated[str, typer.Option("--id-prefix", help="Put in front of every document id.")] = "",
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Delete everything when the bucket holds nothing.")
    ] = False,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    json: JsonOption = False,
) -> None:
    """Make documents equal to the objects of a bucket: new, changed and deleted ones. Safe to repeat, also beside the
    bucket's notifications. Objects that did not change are not fetched.

    Ids are bucket/key. Credentials come from the usual AWS_… variables or the machine's role.

    Example:  headwater sync-bucket s3://handbooks/docs --group staff
    """
    bucket, prefix = _parse(location)
    said = dict(key_value(item) for item in metadata or ())
    description = {"readers": readers(group, None, public=not group), "doc_type": doc_type, "metadata": said}

    async def work() -> Report:
        store = _open(bucket, endpoint, region)
        async with connect_async(target, data, identity_of(tenant)) as client:
            syncing = Syncing(client, store, bucket, prefix, id_prefix, description, tuple(suffix or ()))
            return await syncing.run(allow_empty=allow_empty)

    report = asyncio.run(work())
    show_report(report, json)
    if report.failed:
        raise typer.Exit(EXIT_PARTIAL)


@dataclass(frozen=True, slots=True)
class Syncing:
    """One comparison of a bucket with the documents under its id prefix, and what follows from it."""

    client: AsyncClient
    store: S3Store
    bucket: str
    prefix: str
    id_prefix: str
    description: Mapping[str, Any]
    suffixes: Sequence[str]

    async def run(self, *, allow_empty: bool) -> Report:
        """Raises CommandError for a bucket that can't be read."""
        report, began = Report(), time.monotonic()
        # Documents before objects: one that is put meanwhile is not taken for one whose object is gone.
        listed = {document.document_id: document async for document in self.client.list_documents(prefix=self._root)}
        # Other suffixes may be another run's, with other readers.
        known = {name: document for name, document in listed.items() if self._is_wanted(self._key(name))}
        items = await self._items(report)
        if not items and known and not allow_empty:
            raise CommandError(
                f"{self.bucket} holds nothing under this prefix, and {len(known)} documents came from there.",
                hint="Nothing was deleted. If that is right, repeat with --allow-empty.",
            )
        room = asyncio.Semaphore(CALLS_AT_ONCE)

        async def put(item: Item) -> None:
            async with room:
                await self._put(item, known.get(self._id(item.key)), report)

        changed = [item for item in items if not self._is_current(known.get(self._id(item.key)), item)]
        await asyncio.gather(*(put(item) for item in changed))
        gone = sorted(known.keys() - {self._id(item.key) for item in items})
        await self._wait([await self._delete(known[document_id], report) for document_id in gone])
        report.changes = await self._wait(report.receipts)
        report.unchanged = len(items) - len(changed)
        report.seconds = time.monotonic() - began
        return report

    async def _delete(self, document: Document, report: Report) -> Receipt | None:
        receipt = await self._after(document, partial(self.client.delete_document, document.document_id))
        if receipt is not None:
            report.deleted.append(document.document_id)
        return receipt

    async def _after(self, listed: Document, change: Callable[..., Awaitable[Receipt]]) -> Receipt | None:
        """Has a change accepted right after what was listed: a notification that came since is newer, and has the last
        word. None when one has that version. Changes that were refused are nobody's word."""
        version = listed.version + 1
        while True:
            try:
                return await change(version=version)
            except ConflictError:
                changes = (await self.client.get_document(listed.document_id)).changes
                since = [each for each in changes if each.version > listed.version]
                following = max((each.version + 1 for each in since), default=0)
                if following <= version or any(each.state not in _REFUSED for each in since):
                    return None
                version = following

    async def _wait(self, receipts: Sequence[Receipt | None]) -> dict[str, Change]:
        open_ids = [receipt.event_id for receipt in receipts if receipt is not None and not receipt.unchanged]
        return await self.client.wait_for_changes(open_ids, timeout_seconds=LONGEST_STALL_SECONDS)

    @property
    def _root(self) -> str:
        return f"{self.id_prefix}{self.bucket}/{self.prefix}"

    def _id(self, key: str) -> str:
        return f"{self.id_prefix}{self.bucket}/{key}"

    def _key(self, document_id: str) -> str:
        return document_id.removeprefix(self._id(""))

    async def _items(self, report: Report) -> list[Item]:
        import obstore

        items: list[Item] = []
        skipped: list[str] = []
        try:
            async for batch in obstore.list(self.store, prefix=self.prefix or None):
                for each in batch:
                    key = each["path"]
                    if self._is_wanted(key):
                        items.append(Item(key, (each["e_tag"] or "").strip('"')))
                    else:
                        skipped.append(key)
        except (OSError, obstore.exceptions.BaseError) as error:
            raise _unreadable(self.bucket, error) from None
        report.skipped = skipped
        return items

    def _is_wanted(self, key: str) -> bool:
        if self.suffixes:
            return key.endswith(tuple(self.suffixes))
        return not key.endswith("/") and Path(key).suffix.lower() not in MEDIA_SUFFIXES

    def _described(self, item: Item) -> Mapping[str, Any]:
        return {**self.description, "metadata": {**self.description["metadata"], ETAG: item.etag}}

    def _is_current(self, document: Document | None, item: Item) -> bool:
        said = self._described(item)
        return (
            document is not None
            and bool(item.etag)
            and set(document.readers) == set(said["readers"])
            and document.doc_type == said["doc_type"]
            and all(document.metadata.get(name) == value for name, value in said["metadata"].items())
        )

    async def _put(self, item: Item, known: Document | None, report: Report) -> None:
        import obstore

        name = item.key.rpartition("/")[2]
        uri = f"s3://{self.bucket}/{item.key}"
        with tempfile.NamedTemporaryFile(prefix="headwater-") as file:
            try:
                response = await obstore.get_async(self.store, item.key)
                async for piece in response.stream(min_chunk_size=_PIECE_BYTES):
                    await asyncio.to_thread(file.write, piece)
            except FileNotFoundError:
                return  # gone since it was listed; the next comparison deletes it
            except ValueError:
                report.refused[self._id(item.key)] = "BAD_OBJECT_KEY: The object's key can't be asked for; rename it."
                return
            except (OSError, obstore.exceptions.BaseError) as error:
                raise _unreadable(self.bucket, error) from None
            await asyncio.to_thread(file.flush)
            # What was fetched may be newer than what was listed.
            item = Item(item.key, (response.meta["e_tag"] or "").strip('"'))
            media_type = mimetypes.guess_type(name)[0] or ""
            source = Source(self._id(item.key), Path(file.name), name, media_type, uri)
            said = {"filename": name, "media_type": media_type, "uri": uri, **self._described(item)}
            put = partial(put_patiently, self.client, source)
            try:
                # Without an ETag it is the content that tells whether there is a change at all.
                if known is not None and item.etag:
                    receipt = await self._after(known, lambda version: put({**said, "version": version}))
                else:
                    receipt = await put(said)
            except InvalidRequestError as error:
                report.refused[source.document_id] = f"{error.reason}: {error.message}"
                return
            if receipt is not None:
                report.receipts.append(receipt)


def _parse(location: str) -> tuple[str, str]:
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    if not location.startswith("s3://") or not bucket:
        raise CommandError(f"{location} is no bucket; write s3://bucket or s3://bucket/prefix.")
    prefix = prefix.strip("/")
    return bucket, f"{prefix}/" if prefix else ""


def _open(bucket: str, endpoint: str, region: str) -> S3Store:
    from obstore.store import S3Store  # a native library that only this command needs

    config: S3Config = {"region": region}
    if endpoint:
        config["endpoint"] = endpoint
        config["virtual_hosted_style_request"] = False
    client: ClientConfig = {"allow_http": endpoint.startswith("http://")}
    return S3Store(bucket, config=config, client_options=client)


def _unreadable(bucket: str, error: Exception) -> CommandError:
    # The first line names the operation and S3's code; what follows is the program's own view of itself.
    first = next(iter(str(error).splitlines()), "")
    return CommandError(
        f"The bucket {bucket} can't be read: {first[:300]}",
        hint="Check its name, --endpoint, --region and the credentials (AWS_ACCESS_KEY_ID, …).",
        exit_code=EXIT_NOT_FOUND,
    )
