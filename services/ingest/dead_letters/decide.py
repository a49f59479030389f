"""What operators do about dead letters: look at them, have them tried again, give them up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

import structlog

from chassis.clock import Clock
from chassis.errors import HeadwaterError, InvalidRequest, NotFound
from chassis.eventlog.port import Producer
from chassis.identity import Caller, Scope
from chassis.objectstore.port import ObjectStore
from chassis.telemetry import inject
from chassis.telemetry.metrics import INGEST_CHANGES
from corpus.dead_letters import DeadLetterStore, Halt, Halts, KnownBadContent, Letter, LetterFilter, LetterState
from corpus.domain import ChangeRecord, ChangeState, DocumentKey
from corpus.ports import ChangeLedger, Heads, Tenants
from ingest.codec import BULK_CHANGES_TOPIC, CHANGES_TOPIC, decode_change, replayed_value
from ingest.dead_letters.letters import LETTER_HEADER, KeptRecord, decode_record
from ingest.domain import TENANT_GONE, DocumentChange, belongs_to

MAX_LETTERS: Final = 1000
MAX_REPLAYED: Final = 500
"""By one call with a filter: what a call's deadline has room for."""
MAX_WHY: Final = 1000
_AT_ONCE: Final = 8
_TRACE_HEADERS: Final = ("traceparent", "tracestate", "baggage")

_log = structlog.get_logger()


class LetterOutcome(StrEnum):
    """What a decision did."""

    REPLAYED = "replayed"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    DISCARDED = "discarded"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class LetterResult:
    """What a decision did to one letter; ``reason`` and ``message`` say why when it did nothing."""

    letter_id: str
    document_id: str
    outcome: LetterOutcome
    reason: str = ""
    message: str = ""


Which = Sequence[str] | LetterFilter
"""Letters by id, or open ones by what they have in common."""


@dataclass(frozen=True, slots=True)
class DecideDeadLetters:
    """Use cases of operators. Each needs the admin scope, and sees all tenants.

    A replay appends the record again; that is its point of acceptance. The change is opened by whoever comes first,
    this call or the worker that takes the record, once per number of the replay. So a crash at any point leaves a
    letter that is open, or one whose record is in the log.
    """

    letters: DeadLetterStore
    known_bad: KnownBadContent
    halts: Halts
    tenants: Tenants
    heads: Heads
    ledger: ChangeLedger
    objects: ObjectStore
    log: Producer
    clock: Clock

    async def list(
        self, caller: Caller, which: LetterFilter, after: tuple[datetime, str] | None, page_size: int
    ) -> Sequence[Letter]:
        """One page of letters, the newest failure first."""
        caller.require(Scope.ADMIN)
        return await self.letters.list(await self._by_id(which), after=after, limit=min(page_size or 100, MAX_LETTERS))

    async def show(self, caller: Caller, letter_id: str) -> tuple[Letter, ChangeRecord | None]:
        """A letter and the ledger's row of its change. Raises NotFound UNKNOWN_DEAD_LETTER."""
        caller.require(Scope.ADMIN)
        letter = await self._letter(letter_id)
        return letter, await self._change_of(letter)

    async def replay(self, caller: Caller, which: Which) -> tuple[Sequence[LetterResult], bool]:
        """Has changes tried again; says how each went, and whether more open letters fit the filter."""
        caller.require(Scope.ADMIN)
        return await self._each(which, lambda letter: self._replay(letter, caller.subject))

    async def discard(self, caller: Caller, which: Which, why: str) -> tuple[Sequence[LetterResult], bool]:
        """Gives changes up; as ``replay``. Raises InvalidRequest WHY_MISSING."""
        caller.require(Scope.ADMIN)
        if not 0 < len(why.strip()) <= MAX_WHY:
            raise InvalidRequest(f"Say why, in 1 to {MAX_WHY} characters: it is kept.", reason="WHY_MISSING")
        return await self._each(which, lambda letter: self._discard(letter, caller.subject, why.strip()))

    async def forget(self, caller: Caller, letter_ids: Sequence[str]) -> int:
        """Has the contents of letters parsed again when they come next; returns how many were known to be bad."""
        caller.require(Scope.ADMIN)
        forgotten = 0
        for letter_id in _checked(letter_ids):
            letter = await self._letter(letter_id)
            if letter.content_key:
                forgotten += await self.known_bad.forget(letter.tenant_id, letter.content_key)
        return forgotten

    async def resume(self, caller: Caller) -> Sequence[Halt]:
        """Has halted workers go on; returns those that were halted."""
        caller.require(Scope.ADMIN)
        halted = await self.halts.list()
        await self.halts.request_resume(self.clock.now())
        _log.warning("resume_requested", halted=len(halted))
        return halted

    async def _each(
        self, which: Which, decide: Callable[[Letter], Awaitable[LetterResult]]
    ) -> tuple[Sequence[LetterResult], bool]:
        more = False
        if isinstance(which, LetterFilter):
            if not (which.tenant_id or which.reason or which.document_prefix):
                raise InvalidRequest("Name a tenant, a reason or a prefix of documents.", reason="FILTER_MISSING")
            open_ones = replace(await self._by_id(which), state=LetterState.OPEN)
            found = await self.letters.list(open_ones, limit=MAX_REPLAYED + 1)
            more, found = len(found) > MAX_REPLAYED, found[:MAX_REPLAYED]
        else:
            found = [await self._letter(letter_id) for letter_id in _checked(which)]
        results: dict[str, LetterResult] = {}

        async def decide_on(letter: Letter) -> None:
            try:
                results[letter.letter_id] = await decide(letter)
            except HeadwaterError as error:
                results[letter.letter_id] = _refused(letter, error.reason, error.message)

        for start in range(0, len(found), _AT_ONCE):
            await asyncio.gather(*(decide_on(letter) for letter in found[start : start + _AT_ONCE]))
        return [results[letter.letter_id] for letter in found], more

    async def _replay(self, letter: Letter, who: str) -> LetterResult:
        if letter.state is LetterState.DISCARDED:
            return _refused(letter, "DISCARDED", "It was given up; put the document again.")
        try:
            record = decode_record(await self.objects.get(letter.event_key))
        except NotFound:
            return _refused(letter, "EVENT_MISSING", "Its record is no longer in the object store; put it again.")
        if letter.topic not in (CHANGES_TOPIC, BULK_CHANGES_TOPIC):
            return await self._append_as_it_is(letter, record, who)
        try:
            event = decode_change(record.value or b"")
        except InvalidRequest as error:
            return _refused(letter, error.reason, "This release can't read it as a change either; discard it.")
        return await self._replay_change(letter, record, event, who)

    async def _replay_change(self, letter: Letter, record: KeptRecord, event: DocumentChange, who: str) -> LetterResult:
        if not belongs_to(event, await self.tenants.get(event.key.tenant_id)):
            await self._set(letter, LetterState.REPLAYED, who, outcome=TENANT_GONE.state)
            return _refused(letter, TENANT_GONE.reason, TENANT_GONE.message)
        known = await self.ledger.find(event.key, event.version)
        if known is not None and known.event_id == event.event_id and known.state is not ChangeState.DEAD_LETTERED:
            return await self._already(letter, known, who)
        number = max(letter.replays, known.replays if known else 0, event.replay) + 1
        if letter.content_key:
            await self.known_bad.forget(letter.tenant_id, letter.content_key)
        await self._append(letter, record, replayed_value(record.value or b"", number))
        await self.ledger.reopen(event.event_id, replay=number)
        if letter.letter_id == event.event_id:
            await self._set(letter, LetterState.REPLAYING, who, replays=number)
        else:
            await self._set(letter, LetterState.REPLAYED, who)  # from now on it is known by the id of its change
        head = await self.heads.get(event.key)
        superseded = head is not None and head.version > event.version
        outcome = LetterOutcome.SUPERSEDED if superseded else LetterOutcome.REPLAYED
        return LetterResult(letter.letter_id, letter.document_id, outcome)

    async def _already(self, letter: Letter, known: ChangeRecord, who: str) -> LetterResult:
        """A change that is settled, or on its way."""
        if known.state is ChangeState.DISCARDED:
            await self._set(letter, LetterState.DISCARDED, who)
            return _refused(letter, "DISCARDED", "It was given up; put the document again.")
        if known.state is not ChangeState.PENDING:
            await self._set(letter, LetterState.REPLAYED, who, outcome=known.state)
        result = LetterResult(letter.letter_id, letter.document_id, LetterOutcome.DUPLICATE, known.state.value.upper())
        return replace(result, message=f"Nothing to do: the change is {known.state.value}.")

    async def _append_as_it_is(self, letter: Letter, record: KeptRecord, who: str) -> LetterResult:
        """Of another topic than those of changes: whoever reads that one says what becomes of it."""
        if letter.state is LetterState.REPLAYED:
            return replace(_refused(letter, "REPLAYED", "It was appended again."), outcome=LetterOutcome.DUPLICATE)
        await self._append(letter, record, record.value)
        await self._set(letter, LetterState.REPLAYED, who, replays=letter.replays + 1)
        return LetterResult(letter.letter_id, letter.document_id, LetterOutcome.REPLAYED)

    async def _append(self, letter: Letter, record: KeptRecord, value: bytes | None) -> None:
        headers = {name: text for name, text in record.headers.items() if name not in _TRACE_HEADERS}
        headers[LETTER_HEADER] = letter.letter_id.encode()
        inject(headers)
        await self.log.append(letter.topic, record.key, value, headers)
        _log.info("dead_letter_replayed", letter_id=letter.letter_id, reason=letter.reason)

    async def _discard(self, letter: Letter, who: str, why: str) -> LetterResult:
        if letter.state is LetterState.REPLAYED:
            return _refused(letter, "SETTLED", "Its change was tried again and is settled.")
        if letter.state is LetterState.REPLAYING:
            return _refused(letter, "REPLAY_UNDER_WAY", "Its change is being tried again; wait how that ends.")
        now = self.clock.now()
        if letter.tenant_id:
            known = await self.ledger.discard(letter.letter_id, at=now, message=f"Discarded by {who}: {why}")
            if known is not None and known.state is not ChangeState.DISCARDED:
                return await self._already(letter, known, who)
        if letter.state is LetterState.OPEN:
            await self._set(letter, LetterState.DISCARDED, who, why=why)
            if letter.kind is not None:
                INGEST_CHANGES.add(kind=letter.kind.value, state=ChangeState.DISCARDED.value)
            _log.info("dead_letter_discarded", letter_id=letter.letter_id, reason=letter.reason)
        return LetterResult(letter.letter_id, letter.document_id, LetterOutcome.DISCARDED)

    async def _set(
        self,
        letter: Letter,
        state: LetterState,
        who: str,
        *,
        replays: int | None = None,
        why: str = "",
        outcome: ChangeState | None = None,
    ) -> None:
        """Notes a decision. Where the worker has gone on with the letter meanwhile, only who decided is left to say."""
        now = self.clock.now()
        number = letter.replays if replays is None else replays
        decided = replace(letter, state=state, decided_by=who, decided_at=now, why=why, outcome=outcome, replays=number)
        known: Letter | None = letter
        while decided != known and not await self.letters.put(decided, expected=known):
            known = await self.letters.get(letter.letter_id)
            if known is None:
                return
            decided = replace(known, decided_by=who, decided_at=now)

    async def _by_id(self, which: LetterFilter) -> LetterFilter:
        """Operators name a tenant by its name, letters by its id."""
        return replace(which, tenant_id=await self.tenants.latest_id(which.tenant_id)) if which.tenant_id else which

    async def _letter(self, letter_id: str) -> Letter:
        letter = await self.letters.get(letter_id)
        if letter is None:
            raise NotFound("There is no dead letter with this id.", reason="UNKNOWN_DEAD_LETTER")
        return letter

    async def _change_of(self, letter: Letter) -> ChangeRecord | None:
        if not letter.tenant_id:
            return None
        known = await self.ledger.find(DocumentKey(letter.tenant_id, letter.document_id), letter.version)
        return known if known is not None and known.event_id == letter.letter_id else None


@dataclass(frozen=True, slots=True)
class SettleReplays:
    """The worker's side of a replay; see ``ingest.handle.Replays``."""

    letters: DeadLetterStore

    async def settled(self, event_id: str, state: ChangeState) -> None:
        """Notes at the letter how its change ended."""
        while True:
            letter = await self.letters.get(event_id)
            if letter is None or letter.state not in (LetterState.OPEN, LetterState.REPLAYING):
                return
            ended = replace(
                letter,
                state=LetterState.DISCARDED if state is ChangeState.DISCARDED else LetterState.REPLAYED,
                outcome=state,
                decided_at=letter.decided_at or letter.last_failed_at,
            )
            if await self.letters.put(ended, expected=letter):
                return


def _checked(letter_ids: Sequence[str]) -> Sequence[str]:
    if not 0 < len(letter_ids) <= MAX_LETTERS:
        raise InvalidRequest(f"Name 1 to {MAX_LETTERS} letters.", reason="LETTERS_MISSING")
    return list(dict.fromkeys(letter_ids))


def _refused(letter: Letter, reason: str, message: str) -> LetterResult:
    return LetterResult(letter.letter_id, letter.document_id, LetterOutcome.REFUSED, reason, message)
