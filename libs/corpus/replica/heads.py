"""Heads as a reader keeps them, and how it knows that they are current (docs/heads.md, "Replicas").

    authority   asked for what is not known here, and for everything while the feed is not confirmed
    feed        every change of a head, in some order; changes what is known, and says what to ask for
    table       heads that the authority gave, kept current by the feed ever since
    announced   documents whose head is about to be replaced, says the feed: every read of them asks the authority

Nothing is known before the authority said it once: what a compacted feed holds of the past may be older than the head
(a late writer's record may be the last one of its key), so a record of the past only names a document to ask for.
From then on the record with the greater version counts, and one of the same version with other contents makes the
document unknown. Whatever the feed changes is confirmed by the authority soon after.

A head is written before its record is, and a writer may die in between. Therefore it announces the change before that
(docs/adr/0009): what is known of the document is not used, and no answer is kept, until there is a head of at least the
announced version, by its record or by the authority's word, or the announcement is called off.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final

from chassis.clock import Clock
from chassis.errors import Disposition, FailedPrecondition, HeadwaterError, InvalidRequest, disposition_of
from chassis.eventlog.port import LogReader, Record
from chassis.telemetry import logger
from chassis.telemetry.metrics import HEADS_REPLICA_AGE, HEADS_REPLICA_READS, HEADS_REPLICA_SIZE
from corpus.domain import Announcement, CalledOff, DocumentKey, PublishedHead, ServedHead, published
from corpus.feed import (
    decode_announcement,
    decode_head,
    decode_hold,
    held_document,
    hold_announcement_id,
    read_record_key,
)
from corpus.ports import HeadReads
from corpus.replica.announced import Announced
from corpus.replica.questions import Questions
from corpus.replica.table import UNKNOWN, Entry, HeadTable

STALENESS_SECONDS: Final = 0.5
"""How old an answer may be: half of what a revocation may take until it is effective."""
MAX_HEADS: Final = 1_000_000
"""About 0.4 GB where documents share their lists of readers, three times that where each has one of its own."""

_RECORDS_AT_ONCE: Final = 500
_ASKED_AT_ONCE: Final = 200
"""As many as a search asks for. Whole heads come back, megabytes of them where lists of readers are long."""
_START_SECONDS: Final = 45.0
_CALL_SECONDS: Final = 5.0
_BACK_OFF_SECONDS: Final = 0.2
_ASK_EVERY_SECONDS: Final = 0.02
_FORGET_AFTER_SECONDS: Final = 900.0
"""Without contact to the feed. A compacted topic keeps the news that a key is forgotten for a day as a rule; who was
away for long begins anew rather than miss it."""

_ALL: Final = ("", "")
_SOURCES: Final = ("replica", "authority", "authority_stale")
_log = logger("corpus.replica")

_Name = tuple[str, str]
"""Tenant and document; an empty document stands for all of the tenant, an empty tenant for everything."""


class HeadsReplica:
    """Reads of heads, answered from memory as long as that is as good as asking the authority.

    An answer from memory contains every change whose record was in the feed ``staleness_seconds`` before the call.
    ``run`` follows the feed and has to be running; without it, or while the feed can't be followed, every read asks the
    authority, and fails when that fails.

    Args:
        authority: What is live.
        open_reader: Another reader of the feed (``corpus.feed.HEADS_TOPIC``), from its beginning.
        clock: For the staleness bound.
        staleness_seconds: How old an answer may be.
        max_heads: How many heads are kept.
    """

    def __init__(
        self,
        authority: HeadReads,
        open_reader: Callable[[], LogReader],
        clock: Clock,
        *,
        staleness_seconds: float = STALENESS_SECONDS,
        max_heads: int = MAX_HEADS,
    ) -> None:
        self._authority = authority
        self._open_reader = open_reader
        self._clock = clock
        self._staleness_seconds = staleness_seconds
        self._table = HeadTable(max_heads)
        self._announced = Announced()
        self._to_ask = Questions(max_heads)
        self._confirmed_at = -math.inf
        self._complete_since = clock.monotonic()
        """Everything that is known was learned since then, or is confirmed."""
        self._open: dict[int, set[_Name]] = {}
        """Questions the authority is answering now, each with what the feed said meanwhile."""
        self._numbers = itertools.count()

    # -- reading --------------------------------------------------------------------------------------------------

    def is_current(self) -> bool:
        """Whether answers come from memory."""
        return self._age_seconds() <= self._staleness_seconds

    def unanswered(self) -> int:
        """Documents that the authority is about to be asked for, and questions that it has not answered yet."""
        return len(self._to_ask) + len(self._open)

    def size(self) -> int:
        """Heads in memory."""
        return len(self._table)

    async def get(self, key: DocumentKey) -> ServedHead | None:
        """One head; see ``get_many``."""
        return (await self.get_many(key.tenant_id, [key.document_id])).get(key.document_id)

    async def get_many(self, tenant_id: str, document_ids: Collection[str]) -> Mapping[str, ServedHead]:
        """Heads by document id; see the port. Raises what the authority raises, where it has to be asked."""
        answers: dict[str, ServedHead | None] = {}
        while True:
            # Memory is looked at only after the authority has answered, and once more then: a head that changed
            # meanwhile counts as it is now. Each document is asked for once at most, so this ends.
            current = self.is_current()
            known = self._known(tenant_id, document_ids) if current else dict.fromkeys(document_ids, UNKNOWN)
            unknown = [each for each, entry in known.items() if entry is UNKNOWN and each not in answers]
            if not unknown:
                break
            HEADS_REPLICA_READS.add(len(unknown), source="authority" if current else "authority_stale")
            answers |= await self._ask(tenant_id, unknown)
        HEADS_REPLICA_READS.add(len(known) - len(answers), source="replica")
        found: dict[str, ServedHead] = {}
        for document_id, entry in known.items():
            head = answers.get(document_id) if entry is UNKNOWN else entry
            if head is not None:
                found[document_id] = head
        return found

    def _known(self, tenant_id: str, document_ids: Collection[str]) -> dict[str, Entry]:
        known = self._table.get_many(tenant_id, document_ids)
        known.update(dict.fromkeys(self._announced.among(tenant_id, document_ids), UNKNOWN))
        return known

    async def _ask(self, tenant_id: str, document_ids: Collection[str]) -> dict[str, ServedHead | None]:
        """What the authority says; kept for later, unless the feed spoke of the same document meanwhile: then nobody
        knows which of the two is older. Nor is what may have been replaced by now, according to an announcement."""
        number, spoken_of = next(self._numbers), set[_Name]()
        self._open[number] = spoken_of
        try:
            found = await self._authority.get_many(tenant_id, document_ids)
        finally:
            del self._open[number]
        if not spoken_of.isdisjoint((_ALL, (tenant_id, ""))):
            return {each: found.get(each) for each in document_ids}
        for each in document_ids:
            if (tenant_id, each) not in spoken_of:
                head = found.get(each)
                if self._announced.end_by(tenant_id, each, 0 if head is None else head.version):
                    self._table.put(tenant_id, each, None if head is None else published(head))
        return {each: found.get(each) for each in document_ids}

    # -- following the feed ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follows the feed until cancelled, through every failure of the log or the authority."""
        HEADS_REPLICA_AGE.observe(self._age_seconds)
        HEADS_REPLICA_SIZE.observe(self.size)
        for source in _SOURCES:
            # A rate of what was never counted is no rate of 0: nothing would be shown, and an alert would stay silent.
            HEADS_REPLICA_READS.add(0, source=source)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_for_ever(), name="heads-feed")
            tasks.create_task(self._ask_for_ever(), name="heads-ask")

    async def _follow_for_ever(self) -> None:
        while True:
            reader = self._open_reader()
            try:
                await self._follow(reader)
            except FailedPrecondition as error:
                # The topic is missing, was created anew, or lost records: what they said is not known.
                _log.warning("the feed of heads begins anew", reason=error.reason)
                self._confirmed_at = -math.inf
                self._forget_everything()
            finally:
                await reader.stop()
            await asyncio.sleep(_BACK_OFF_SECONDS)

    async def _follow(self, reader: LogReader) -> None:
        """Raises FailedPrecondition when the reader can't go on."""
        started = False
        while True:
            try:
                if not started:
                    async with asyncio.timeout(_START_SECONDS):
                        await reader.start()
                    started = True
                async with asyncio.timeout(_CALL_SECONDS):
                    await self._step(reader)
            except TimeoutError:
                _log.warning("the feed of heads does not answer")
                started = False
            except HeadwaterError as error:
                if disposition_of(error) is not Disposition.BACK_OFF:
                    raise
                _log.warning("the feed of heads can't be read", reason=error.reason)
                started = False  # which goes on where the records ended
                await asyncio.sleep(_BACK_OFF_SECONDS)

    async def _step(self, reader: LogReader) -> None:
        often = self._staleness_seconds / 4
        for record in await reader.poll(_RECORDS_AT_ONCE, often):
            self._take(record)
        began = self._clock.monotonic()
        if began - self._confirmed_at >= often and await reader.behind() == 0:
            if began - self._complete_since > _FORGET_AFTER_SECONDS:
                self._forget_everything()
            self._confirmed_at = self._complete_since = began

    def _take(self, record: Record) -> None:
        name = read_record_key(record.key)
        if name is None:
            return  # nothing that a document could be known under
        held = held_document(name[1])
        if held:
            name = (name[0], held)
        for spoken_of in self._open.values():
            spoken_of.add(name)
        tenant_id, document_id = name
        if held:
            self._change_hold(DocumentKey(tenant_id, document_id), record.value)
        elif not document_id:
            self._table.forget_tenant(tenant_id)
            self._announced.forget_tenant(tenant_id)
            self._to_ask.drop_tenant(tenant_id)
        elif record.value is None:
            self._table.forget(tenant_id, document_id)
            self._announced.forget(tenant_id, document_id)
        else:
            self._change(DocumentKey(tenant_id, document_id), record.value)

    def _change(self, key: DocumentKey, value: bytes) -> None:
        known = self._table.get(key.tenant_id, key.document_id)
        announced = self._announced.among(key.tenant_id, (key.document_id,))
        try:
            said: Announcement | CalledOff | PublishedHead | None = decode_announcement(value)
            if said is None and (announced or isinstance(known, PublishedHead)):
                said = decode_head(value)  # which takes a while, and a feed is long when it is read for the first time
        except InvalidRequest:
            said = None
        match said:
            case Announcement() if said.key == key:
                self._announce(said, known)
            case PublishedHead() if said.key == key:
                self._announced.end_by(key.tenant_id, key.document_id, said.version)
                self._change_to(said, known)
            case CalledOff() if said.key == key:
                self._announced.call_off(key.tenant_id, key.document_id, said.announcement_id)
                self._ask_anew(key)
            case _:
                self._ask_anew(key)

    def _change_hold(self, key: DocumentKey, value: bytes | None) -> None:
        """What the record says of the hold is not believed: the authority is asked, at once or when it is written."""
        try:
            said = decode_announcement(value) if value else None
            if isinstance(said, Announcement) and said.key == key:
                self._announce(said, self._table.get(key.tenant_id, key.document_id))
                return
            if value:
                last = hold_announcement_id(decode_hold(value).version)
                self._announced.end_holds(key.tenant_id, key.document_id, last)
        except InvalidRequest:
            pass  # it changed, whatever it was meant to say
        self._ask_anew(key)

    def _announce(self, said: Announcement, known: Entry) -> None:
        if isinstance(known, PublishedHead) and known.version >= said.version:
            return  # a late one
        key = said.key
        self._announced.add(key.tenant_id, key.document_id, said.announcement_id, said.version)
        if known is UNKNOWN:
            # One of the past, as a rule, so it has come to its end. Or else it is too early to ask: a read will.
            self._ask_anew(key)

    def _change_to(self, head: PublishedHead, known: Entry) -> None:
        if isinstance(known, PublishedHead):
            # No record of a head knows of holds; those have records of their own.
            head = replace(head, held=known.held)
        if not isinstance(known, PublishedHead) or (head.version == known.version and head != known):
            self._ask_anew(head.key)
        elif head.version > known.version:
            self._table.put(head.key.tenant_id, head.key.document_id, head)
            self._to_ask.add(head.key.tenant_id, (head.key.document_id,))

    def _ask_anew(self, key: DocumentKey) -> None:
        """Also about what was not there: the record may be a late one of a head that is gone again."""
        self._table.forget(key.tenant_id, key.document_id)
        if not self._table.is_full():
            self._to_ask.add(key.tenant_id, (key.document_id,))

    def _forget_everything(self) -> None:
        """But what is announced: it may have been written, and not be told any more."""
        for spoken_of in self._open.values():
            spoken_of.add(_ALL)
        self._table.clear()
        self._to_ask.clear()
        self._complete_since = self._clock.monotonic()

    # -- asking ahead ---------------------------------------------------------------------------------------------

    async def _ask_for_ever(self) -> None:
        """Asks for what the feed named, before a search has to."""
        while True:
            tenant_id, batch = await self._to_ask.take(_ASKED_AT_ONCE)
            try:
                async with asyncio.timeout(_CALL_SECONDS):
                    await self._ask(tenant_id, batch)
            except TimeoutError:
                self._to_ask.add(tenant_id, batch)
                await asyncio.sleep(_BACK_OFF_SECONDS)
            except HeadwaterError as error:
                if disposition_of(error) is not Disposition.BACK_OFF:
                    raise
                _log.warning("heads can't be read ahead", reason=error.reason)
                self._to_ask.add(tenant_id, batch)
                await asyncio.sleep(_BACK_OFF_SECONDS)
            else:
                await asyncio.sleep(_ASK_EVERY_SECONDS)

    def _age_seconds(self) -> float:
        return self._clock.monotonic() - self._confirmed_at
