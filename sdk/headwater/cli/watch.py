"""``watch``: keeps documents equal to a folder while it changes."""

from __future__ import annotations

import asyncio
import json as json_text
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

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
from headwater.cli.ingest import CALLS_AT_ONCE, key_value
from headwater.cli.looks import Looker, Stamp
from headwater.cli.output import console
from headwater.cli.problems import EXIT_NOT_FOUND, EXIT_UNAVAILABLE, CommandError
from headwater.cli.sources import NAME_REFUSED, Source, is_wanted, printable
from headwater.errors import InvalidRequestError, OverloadedError, TimeoutExceededError, UnavailableError

DEBOUNCE_MILLISECONDS = 400
"""An editor's save is several events: written aside, renamed, touched."""
COMPARE_SECONDS = 60.0
"""Between two looks at the whole folder, whatever was said to have changed: notifications may get lost, and network
file systems send none."""
UNTOLD_COMPARE_SECONDS = 5.0
FOLLOW_SECONDS = 1.0
"""Between two questions what became of changes that were sent."""
ASKED_AT_ONCE = 500
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0

_AWAY = (UnavailableError, OverloadedError, TimeoutExceededError)

Kind = Literal["put", "deleted", "refused", "away", "back", "missing", "unreadable", "untold"]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(watch)


def watch(
    folder: Annotated[Path, typer.Argument(help="The folder.", metavar="DIR")],
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
        bool, typer.Option("--allow-empty", help="Delete everything when the folder is empty at the start.")
    ] = False,
    target: TargetOption = None,
    data: DataOption = DEFAULT_DATA,
    tenant: TenantOption = "default",
    json: JsonOption = False,
) -> None:
    """Keep documents equal to a folder until Ctrl-C: new, changed, renamed and deleted files.

    Begins with a full comparison like "ingest DIR --sync": documents under the folder's id prefix whose files are not
    there are deleted. While the service is away changes wait. With --json, one JSON object a line.

    Example:  headwater watch ./handbook --group staff
    """
    if not folder.is_dir():
        raise CommandError(f"There is no folder {folder}.", exit_code=EXIT_NOT_FOUND)
    description = {
        "readers": readers(group, None, public=not group),
        "doc_type": doc_type,
        "metadata": dict(key_value(item) for item in metadata or ()),
    }

    async def work() -> Watcher:
        async with connect_async(target, data, identity_of(tenant)) as client:
            watcher = Watcher(client, folder, id_prefix, description, json, allow_empty)
            await watcher.run()
        return watcher

    watcher = asyncio.run(work())
    if not json:
        console.print(f"stopped: {watcher.puts} put, {watcher.deletes} deleted, {watcher.refusals} refused")
    if watcher.is_behind:
        raise CommandError(
            "Some changes were not sent: the service was away.",
            hint="The next start compares the whole folder, so nothing is lost.",
            exit_code=EXIT_UNAVAILABLE,
        )


@dataclass(slots=True)
class Watcher:
    """Compares a folder with what the service has accepted of it, whenever something may have changed.

    Notifications only say when to look, and which files to send whatever their time of change says. What to do follows
    from the comparison, so lost, doubled and reordered notifications do no harm.
    """

    client: AsyncClient
    folder: Path
    id_prefix: str
    description: Mapping[str, Any]
    json: bool
    allow_empty: bool = False
    puts: int = 0
    deletes: int = 0
    refusals: int = 0
    _accepted: dict[str, Stamp | None] = field(default_factory=dict)
    """Documents of the folder, and the file that each was last made from; None: from one that is not known."""
    _open: dict[str, str] = field(default_factory=dict)
    """Changes whose end is not known, with their documents."""
    _unread: set[str] = field(default_factory=set)
    """Id prefixes of what in the folder can't be looked at, and was said to."""
    _look: Looker = field(init=False)
    _is_unsure: bool = False
    """Whether something went away while it was looked at."""
    _touched: set[Path] = field(default_factory=set)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _something: asyncio.Event = field(default_factory=asyncio.Event)
    _compare_seconds: float = COMPARE_SECONDS
    _learn_seconds: float = COMPARE_SECONDS
    _learn_at: float = 0.0
    """When to ask the service what it has, in the loop's time."""
    _complete: bool = False
    """Whether everything that the last look found was sent."""

    def stop(self) -> None:
        """Lets ``run`` return once what it is sending is sent."""
        self._stopping.set()
        self._something.set()

    @property
    def is_behind(self) -> bool:
        """Whether something is known to have changed and not sent."""
        return not self._complete or bool(self._touched)

    async def run(self) -> None:
        """Returns after a signal. Raises what waiting can't mend, for instance PermissionDeniedError."""
        self.folder = self.folder.resolve()
        self._look = Looker(self.folder, self._root, self.allow_empty)
        async with self._signals(), self._notifications():
            pause = FIRST_PAUSE_SECONDS
            while not self._stopping.is_set():
                touched, self._touched = self._touched, set()
                try:
                    await self._learn()
                    await self._compare(touched)
                    await self._follow()
                except _AWAY as error:
                    self._touched |= touched
                    if pause == FIRST_PAUSE_SECONDS:
                        self._say("away", "", error.reason)
                    await self._wait(pause)
                    pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                    continue
                if pause > FIRST_PAUSE_SECONDS:
                    self._say("back", "", "")
                pause = FIRST_PAUSE_SECONDS
                if not self._touched:
                    soon = self._open or self._is_unsure
                    await self._wait(FOLLOW_SECONDS if soon else self._compare_seconds)

    @property
    def _root(self) -> str:
        return f"{self.id_prefix}{self.folder.name}/"

    async def _learn(self) -> None:
        """Now and then, what the service has under the folder's prefix; which files that was made from it can't say.
        Changes that were accepted before the start, and other programs' documents, come to light only in time."""
        now = asyncio.get_running_loop().time()
        if now < self._learn_at:
            return
        listed = [document.document_id async for document in self.client.list_documents(prefix=self._root)]
        on_their_way = set(self._open.values())
        for document_id in listed:
            if document_id not in on_their_way:
                self._accepted.setdefault(document_id, None)
        self._learn_at = now + self._learn_seconds

    async def _compare(self, touched: set[Path]) -> None:
        looked = await asyncio.to_thread(self._look.look, is_empty_right=not self._accepted)
        if looked is None:
            self._say("missing", str(self.folder), "the folder is gone, unmounted or empty; nothing is deleted")
            self._complete = True
            return
        files, unread = looked
        self._name_unread(unread)
        changed = [
            (source, stamp)
            for source, stamp in files
            if self._accepted.get(source.document_id) != stamp or source.content in touched
        ]
        absent = self._accepted.keys() - {source.document_id for source, _ in files}
        gone = [document_id for document_id in sorted(absent) if not document_id.startswith(tuple(unread))]
        self._complete = not (changed or gone)
        room = asyncio.Semaphore(CALLS_AT_ONCE)

        async def in_turn(work: Callable[[], Awaitable[None]]) -> bool:
            async with room:
                if self._stopping.is_set():
                    return False
                await work()
                return True

        async with _all_or_first_error() as start:
            sent = [start(in_turn(partial(self._put, *pair))) for pair in changed]
            sent += [start(in_turn(partial(self._delete, document_id))) for document_id in gone]
        self._complete = all(task.result() for task in sent)

    def _name_unread(self, unread: Mapping[str, OSError]) -> None:
        lasting = {prefix: error for prefix, error in unread.items() if not isinstance(error, FileNotFoundError)}
        for prefix in sorted(lasting.keys() - self._unread):
            self._say("unreadable", prefix, f"{lasting[prefix].strerror}; nothing below it is deleted")
        self._unread = set(lasting)
        self._is_unsure = len(lasting) < len(unread)

    async def _put(self, source: Source, stamp: Stamp) -> None:
        # The stamp was taken before the bytes are read: a file that changes meanwhile differs at the next look.
        described = {"filename": source.filename, "media_type": source.media_type, "uri": source.uri}
        # Noted before: a put whose end nobody knows may be accepted, and is deleted once its file is gone.
        is_new = source.document_id not in self._accepted
        self._accepted.setdefault(source.document_id, None)
        try:
            receipt = await self.client.put_document(
                source.document_id, source.content, **{**described, **self.description}
            )
        except FileNotFoundError:
            if is_new:
                self._accepted.pop(source.document_id, None)
            return
        except (InvalidRequestError, OSError, UnicodeEncodeError) as error:
            self._accepted[source.document_id] = stamp
            unnamed = isinstance(error, UnicodeEncodeError)
            self._refused(source.document_id, NAME_REFUSED if unnamed else getattr(error, "reason", "UNREADABLE_FILE"))
            return
        self._accepted[source.document_id] = stamp
        if not receipt.unchanged:
            self.puts += 1
            self._open[receipt.event_id] = source.document_id
            self._say("put", source.document_id, "")

    async def _delete(self, document_id: str) -> None:
        try:
            receipt = await self.client.delete_document(document_id)
        except (InvalidRequestError, UnicodeEncodeError):
            # No id, so the file that is gone was refused as well.
            self._accepted.pop(document_id, None)
            return
        self._accepted.pop(document_id, None)
        if not receipt.unchanged:
            self.deletes += 1
            self._open[receipt.event_id] = document_id
            self._say("deleted", document_id, "")

    async def _follow(self) -> None:
        """Tells of changes that turn out to be bad."""
        asked = list(self._open)[:ASKED_AT_ONCE]
        if not asked:
            return
        for change in await self.client.get_changes(asked):
            if change.state != "pending":
                self._open.pop(change.event_id, None)
            if change.state == "dead_lettered":
                self._refused(change.document_id, change.reason)

    def _refused(self, document_id: str, reason: str) -> None:
        self.refusals += 1
        self._say("refused", document_id, reason)

    def _say(self, kind: Kind, what: str, why: str) -> None:
        what = printable(what)
        if self.json:
            said = {"event": kind, "document_id": what, "reason": why}
            console.file.write(json_text.dumps({name: value for name, value in said.items() if value}) + "\n")
            console.file.flush()
            return
        texts: dict[Kind, str] = {
            "away": f"the service is away ({why}); changes wait",
            "back": "the service is back",
            "untold": f"the system tells of no changes; the folder is compared every {UNTOLD_COMPARE_SECONDS:.0f} s",
        }
        console.print(texts.get(kind, f"{kind} {what}{f': {why}' if why else ''}"))

    async def _wait(self, seconds: float) -> None:
        """Until something changes, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._something.wait()
        self._something.clear()

    @asynccontextmanager
    async def _notifications(self) -> AsyncIterator[None]:
        """Notes what is said to have changed, from before the first comparison on."""
        from watchfiles import awatch  # a native library that only this command needs

        async def note() -> None:
            changes = awatch(
                self.folder,
                watch_filter=lambda _, path: is_wanted(Path(path).relative_to(self.folder)),
                debounce=DEBOUNCE_MILLISECONDS,
                stop_event=self._stopping,
                # Told of nothing there is to see for a while, it looks whether to stop.
                rust_timeout=500,
                ignore_permission_denied=True,
            )
            try:
                async for batch in changes:
                    self._touched |= {Path(path) for _, path in batch}
                    self._something.set()
            except (OSError, RuntimeError, ExceptionGroup):
                # The system has no more watches to give, or its limit is reached.
                self._compare_seconds = UNTOLD_COMPARE_SECONDS
                self._say("untold", "", "")
                self._something.set()

        noting = asyncio.create_task(note(), name="notifications")
        try:
            yield
        finally:
            self._stopping.set()
            await asyncio.gather(noting, return_exceptions=True)

    @asynccontextmanager
    async def _signals(self) -> AsyncIterator[None]:
        """The first Ctrl-C ends what is under way; the second one everything."""
        loop = asyncio.get_running_loop()

        def stop() -> None:
            self.stop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


@asynccontextmanager
async def _all_or_first_error() -> AsyncIterator[Callable[[Coroutine[Any, Any, bool]], asyncio.Task[bool]]]:
    """Runs what is started inside; the first error ends the rest and is raised as it is, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group.create_task
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
