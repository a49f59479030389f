"""Events that could not be applied, contents that are known to be bad, and workers that have stopped to ask why.

Nouns
    **Letter**: a dead letter: one event, or one record of the log that is no event, and how it failed. It is *open*
    until an operator decides; then *replaying* until its change is settled (*replayed*) or refused once more (open
    again); or *discarded*. Letters hold no content: objects are named by their keys.
    **Known bad**: a content that a parser refused, so that the same parser need not read it again.
    **Halt**: a worker takes no changes, because it refuses documents that it ought to be able to read.

The rules of ``corpus.ports`` hold for every method here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from corpus.domain import ChangeKind, ChangeState


class LetterState(StrEnum):
    """What was decided about a letter."""

    OPEN = "open"
    REPLAYING = "replaying"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter.

    Attributes:
        letter_id: The change's event id; of a record that is no change a hash of its coordinates and its bytes.
        tenant_id, document_id, version, kind: Of the change; empty, 0 and None for a record that is none.
        topic, partition, offset: Where the record is in the log; the newest copy of one that was replayed.
        first_reason, first_failed_at: Of the first attempt that failed, whatever the reason.
        reason, message, last_failed_at: Of the rejection that made it a dead letter, the last one of several.
        attempts: Over all replays.
        replays: How often it was tried again.
        object_key: Of the document's bytes; empty unless the change is an upsert.
        event_key, event_bytes: Object key and size of the event as it was received.
        content_key: What its content is registered under as known bad; empty when it is not.
        registered: Refused because its content was known to be bad, without being parsed.
        decided_by, decided_at, why: Who replayed or discarded it last, when, and why.
        outcome: How the change of a replayed letter ended.
    """

    letter_id: str
    state: LetterState
    tenant_id: str
    document_id: str
    version: int
    kind: ChangeKind | None
    topic: str
    partition: int
    offset: int
    first_reason: str
    first_failed_at: datetime
    reason: str
    message: str
    last_failed_at: datetime
    attempts: int
    replays: int = 0
    trace_id: str = ""
    object_key: str = ""
    event_key: str = ""
    event_bytes: int = 0
    content_key: str = ""
    registered: bool = False
    decided_by: str = ""
    decided_at: datetime | None = None
    why: str = ""
    outcome: ChangeState | None = None


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters; every part that is set has to fit."""

    tenant_id: str = ""
    reason: str = ""
    document_prefix: str = ""
    state: LetterState | None = None


class DeadLetterStore(Protocol):
    """Dead letters by id, each exactly once."""

    async def get(self, letter_id: str) -> Letter | None:
        """The letter as of now, or None."""
        ...

    async def put(self, letter: Letter, *, expected: Letter | None) -> bool:
        """Writes the letter if the one that is there now equals ``expected`` (None: there is none), and says whether
        it did; otherwise changes nothing. Atomic. Repeating a call that has written says False."""
        ...

    async def list(
        self, which: LetterFilter, *, after: tuple[datetime, str] | None = None, limit: int = 100
    ) -> Sequence[Letter]:
        """Letters that fit, the greatest ``last_failed_at`` first, equal ones by id: those that follow ``after`` (time
        and id of the last one of a page), at most ``limit``. A letter that changes meanwhile may be listed twice or,
        if it failed once more, be missing from the pages that are still to come."""
        ...

    async def count(self, which: LetterFilter) -> int:
        """Letters that fit."""
        ...

    async def decided_before(self, moment: datetime, limit: int) -> Sequence[Letter]:
        """Replayed and discarded letters that were decided before ``moment``, oldest decisions first."""
        ...

    async def delete(self, letter_id: str) -> None:
        """Forgets a letter. Idempotent."""
        ...

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's letters. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class KnownBad:
    """A content that was refused.

    Attributes:
        content_key: Hash of all that the parser is given, and of the parser's own version.
        reason, message: Why it was refused.
        first_seen_at, last_seen_at: When it was refused by the parser.
        times: How often by the parser.
    """

    tenant_id: str
    content_key: str
    reason: str
    message: str
    first_seen_at: datetime
    last_seen_at: datetime
    times: int = 1


class KnownBadContent(Protocol):
    """Contents that parsers refused. Nothing of one tenant is known to another one's."""

    async def get(self, tenant_id: str, content_key: str) -> KnownBad | None:
        """The content as of now, or None."""
        ...

    async def note(self, seen: KnownBad) -> None:
        """Registers a content. One that is registered keeps ``first_seen_at``, takes the other values, and counts one
        time more; two at the same moment may count as one. Not idempotent: a repeated call counts again."""
        ...

    async def forget(self, tenant_id: str, content_key: str) -> bool:
        """Removes a content and says whether it was there. Idempotent."""
        ...

    async def forget_before(self, moment: datetime, limit: int) -> int:
        """Removes contents last seen before ``moment``, at most about ``limit``; returns how many. Idempotent."""
        ...

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's contents. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Halt:
    """A worker that takes no changes.

    Attributes:
        worker: Which one.
        since, seen_at: When it halted, and when it said so last.
        reason, message: Why it refused its own built-in document.
        rejections: In a row, before it halted.
    """

    worker: str
    since: datetime
    seen_at: datetime
    reason: str
    message: str
    rejections: int


OF_SOURCES: Final = "/sources"
"""Ends the name of a worker of which only the consumer of sources is halted: what it holds back is not accepted yet."""


class Halts(Protocol):
    """Where workers say that they are halted, and operators that they shall go on."""

    async def put(self, halt: Halt) -> None:
        """Says that the worker is halted. Replaces what it said before. Idempotent."""
        ...

    async def clear(self, worker: str) -> None:
        """The worker is not halted any more. Idempotent."""
        ...

    async def list(self) -> Sequence[Halt]:
        """Halted workers by name, as of now; those that died without a word are among them."""
        ...

    async def request_resume(self, at: datetime) -> None:
        """Notes that an operator asked workers to go on. A later time replaces an earlier one, never the other way
        round. Idempotent."""
        ...

    async def resume_requested_at(self) -> datetime | None:
        """When that was asked for last; None when it never was."""
        ...
