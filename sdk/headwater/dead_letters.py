"""Dead letters: what could not be applied, and what to do about it. For operators: every call needs the admin scope."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from headwater import channel, messages
from headwater.ingest.v1 import dead_letters_pb2, dead_letters_pb2_grpc, ingest_pb2
from headwater.types import Change, Halt

STATES: Final = ("open", "replaying", "replayed", "discarded")
DECIDE_SECONDS: Final = 120.0
DECIDED_AT_ONCE: Final = 500
"""Letters that one call replays at most."""

_Call = Callable[[Any, Any, float], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not be applied. ``tenant_id``, ``document_id``, ``version`` and ``kind`` are empty for a
    record that could not be read as a change. ``object_key`` and ``event_object_key`` name the document's bytes and the
    event in the object store."""

    letter_id: str
    state: str
    tenant_id: str
    document_id: str
    version: int
    kind: str
    topic: str
    partition: int
    offset: int
    first_reason: str
    first_failed_at: datetime
    reason: str
    message: str
    last_failed_at: datetime
    attempts: int
    replays: int
    trace_id: str
    object_key: str
    event_object_key: str
    event_bytes: int
    registered: bool
    decided_by: str
    decided_at: datetime | None
    why: str
    outcome: str


@dataclass(frozen=True, slots=True)
class ShownLetter:
    """A dead letter, and what the ledger says of its change."""

    letter: DeadLetter
    change: Change | None


@dataclass(frozen=True, slots=True)
class LetterResult:
    """What a decision did to one letter: replayed, superseded, duplicate, discarded or refused (see the reason)."""

    letter_id: str
    document_id: str
    outcome: str
    reason: str
    message: str


class DeadLetters:
    """Calls of an ``AsyncClient``; ``which`` is any of ``tenant``, ``reason``, ``prefix`` (of document ids) and
    ``state`` ("open", "replaying", "replayed", "discarded")."""

    def __init__(self, stub: dead_letters_pb2_grpc.DeadLetterServiceAsyncStub, read: _Call, write: _Call) -> None:
        self._stub = stub
        self._read = read
        self._write = write

    async def list(self, **which: str) -> AsyncIterator[DeadLetter]:
        """Dead letters, the newest failure first."""
        page_token = ""
        while True:
            request = dead_letters_pb2.ListDeadLettersRequest(
                filter=_filter(**which), page_size=500, page_token=page_token
            )
            reply = await self._read(self._stub.ListDeadLetters, request, channel.READ_SECONDS)
            for item in reply.letters:
                yield dead_letter(item)
            page_token = reply.next_page_token
            if not page_token:
                return

    async def get(self, letter_id: str) -> ShownLetter:
        """One letter. Raises NotFoundError."""
        request = dead_letters_pb2.GetDeadLetterRequest(letter_id=letter_id)
        reply = await self._read(self._stub.GetDeadLetter, request, channel.READ_SECONDS)
        return ShownLetter(dead_letter(reply.letter), messages.change(reply.change) if reply.change.event_id else None)

    async def replay(self, letter_ids: Sequence[str] = (), **which: str) -> Sequence[LetterResult]:
        """Has these letters, or all open ones that fit, tried again, each once. Idempotent. Raises InvalidRequestError
        when nothing is named."""

        async def call(named: dict[str, Any]) -> Any:
            request = dead_letters_pb2.ReplayDeadLettersRequest(**named)
            return await self._write(self._stub.ReplayDeadLetters, request, DECIDE_SECONDS)

        return await self._decide(call, letter_ids, which)

    async def discard(self, why: str, letter_ids: Sequence[str] = (), **which: str) -> Sequence[LetterResult]:
        """Gives these letters, or all open ones that fit, up for good. Idempotent. Raises as ``replay``."""

        async def call(named: dict[str, Any]) -> Any:
            request = dead_letters_pb2.DiscardDeadLettersRequest(why=why, **named)
            return await self._write(self._stub.DiscardDeadLetters, request, DECIDE_SECONDS)

        return await self._decide(call, letter_ids, which)

    async def _decide(
        self, call: Callable[[dict[str, Any]], Awaitable[Any]], letter_ids: Sequence[str], which: dict[str, str]
    ) -> Sequence[LetterResult]:
        reply = await call(_named(letter_ids, which))
        results = [_result(item) for item in reply.results]
        if reply.more:
            # By id from here on: the filter finds those again that were refused, or failed once more, and nothing else
            # where they are many.
            seen = {result.letter_id for result in results}
            listed = [letter.letter_id async for letter in self.list(**{**which, "state": "open"})]
            rest = [letter_id for letter_id in listed if letter_id not in seen]
            for begin in range(0, len(rest), DECIDED_AT_ONCE):
                reply = await call(_named(rest[begin : begin + DECIDED_AT_ONCE], {}))
                results += [_result(item) for item in reply.results]
        return results

    async def forget(self, letter_ids: Sequence[str]) -> int:
        """Has the contents of these letters parsed again when they come next; returns how many were known to be
        bad."""
        request = dead_letters_pb2.ForgetKnownBadRequest(letters=dead_letters_pb2.LetterIds(letter_ids=letter_ids))
        reply = await self._write(self._stub.ForgetKnownBad, request, DECIDE_SECONDS)
        return int(reply.forgotten)

    async def resume(self) -> Sequence[Halt]:
        """Has halted workers go on; returns those that were halted."""
        request = dead_letters_pb2.ResumeIngestionRequest()
        reply = await self._write(self._stub.ResumeIngestion, request, channel.WRITE_SECONDS)
        return [messages.halt(item) for item in reply.halts]


def dead_letter(message: dead_letters_pb2.DeadLetter) -> DeadLetter:
    """A dead letter from protobuf."""
    return DeadLetter(
        letter_id=message.letter_id,
        state=_name(dead_letters_pb2.DeadLetterState.Name(message.state), "DEAD_LETTER_STATE_"),
        tenant_id=message.tenant_id,
        document_id=message.document_id,
        version=message.version,
        kind=_name(ingest_pb2.ChangeKind.Name(message.kind), "CHANGE_KIND_"),
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        first_reason=message.first_reason,
        first_failed_at=messages.moment(message.first_failed_at),
        reason=message.reason,
        message=message.message,
        last_failed_at=messages.moment(message.last_failed_at),
        attempts=message.attempts,
        replays=message.replays,
        trace_id=message.trace_id,
        object_key=message.object_key,
        event_object_key=message.event_object_key,
        event_bytes=message.event_bytes,
        registered=message.registered,
        decided_by=message.decided_by,
        decided_at=messages.moment(message.decided_at) if message.HasField("decided_at") else None,
        why=message.why,
        outcome=_name(ingest_pb2.ChangeState.Name(message.outcome), "CHANGE_STATE_"),
    )


def _result(message: dead_letters_pb2.LetterResult) -> LetterResult:
    outcome = _name(dead_letters_pb2.LetterOutcome.Name(message.outcome), "LETTER_OUTCOME_")
    return LetterResult(message.letter_id, message.document_id, outcome, message.reason, message.message)


def _named(letter_ids: Sequence[str], which: dict[str, str]) -> dict[str, Any]:
    if letter_ids:
        return {"letters": dead_letters_pb2.LetterIds(letter_ids=letter_ids)}
    return {"filter": _filter(**which)}


def _filter(
    *, tenant: str = "", reason: str = "", prefix: str = "", state: str = ""
) -> dead_letters_pb2.DeadLetterFilter:
    if state and state not in STATES:
        raise ValueError(f"A state is one of {', '.join(STATES)}.")
    number = dead_letters_pb2.DeadLetterState.Value(f"DEAD_LETTER_STATE_{state.upper() or 'UNSPECIFIED'}")
    return dead_letters_pb2.DeadLetterFilter(tenant_id=tenant, reason=reason, document_id_prefix=prefix, state=number)


def _name(name: str, prefix: str) -> str:
    text = name.removeprefix(prefix).lower()
    return "" if text == "unspecified" else text
