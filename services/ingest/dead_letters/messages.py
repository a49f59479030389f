"""Between protobuf messages of dead letters and open changes, and the domain."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Final

from chassis.clock import from_micros, to_micros
from chassis.errors import InvalidRequest
from corpus.dead_letters import Halt, Letter, LetterFilter, LetterState
from corpus.ids import name_of_tenant
from headwater.ingest.v1 import dead_letters_pb2, ingest_pb2
from ingest.codec import to_timestamp
from ingest.dead_letters.decide import LetterOutcome, LetterResult, Which
from ingest.messages import KINDS, STATES, change
from ingest.open_changes import OpenCause, OpenChange

_DEFAULT_PAGE: Final = 100
_MAX_PAGE: Final = 1000
_LETTER_STATES: Final = {
    LetterState.OPEN: dead_letters_pb2.DEAD_LETTER_STATE_OPEN,
    LetterState.REPLAYING: dead_letters_pb2.DEAD_LETTER_STATE_REPLAYING,
    LetterState.REPLAYED: dead_letters_pb2.DEAD_LETTER_STATE_REPLAYED,
    LetterState.DISCARDED: dead_letters_pb2.DEAD_LETTER_STATE_DISCARDED,
}
_STATE_OF: Final = {number: state for state, number in _LETTER_STATES.items()}
_OUTCOMES: Final = {
    LetterOutcome.REPLAYED: dead_letters_pb2.LETTER_OUTCOME_REPLAYED,
    LetterOutcome.SUPERSEDED: dead_letters_pb2.LETTER_OUTCOME_SUPERSEDED,
    LetterOutcome.DUPLICATE: dead_letters_pb2.LETTER_OUTCOME_DUPLICATE,
    LetterOutcome.DISCARDED: dead_letters_pb2.LETTER_OUTCOME_DISCARDED,
    LetterOutcome.REFUSED: dead_letters_pb2.LETTER_OUTCOME_REFUSED,
}
_CAUSES: Final = {
    OpenCause.WAITING: ingest_pb2.OPEN_CAUSE_WAITING,
    OpenCause.RETRYING: ingest_pb2.OPEN_CAUSE_RETRYING,
    OpenCause.HALTED: ingest_pb2.OPEN_CAUSE_HALTED,
    OpenCause.REPLAYED: ingest_pb2.OPEN_CAUSE_REPLAYED,
}


def page_size(wanted: int) -> int:
    """Entries of a page."""
    return min(wanted or _DEFAULT_PAGE, _MAX_PAGE)


def page_token(at: datetime, last_id: str) -> str:
    """Names the place behind the last entry of a page."""
    return base64.urlsafe_b64encode(json.dumps([to_micros(at), last_id]).encode()).decode()


def read_page_token(token: str) -> tuple[datetime, str] | None:
    """Inverse of ``page_token``; None for the first page. Raises InvalidRequest BAD_PAGE_TOKEN."""
    if not token:
        return None
    try:
        at, last_id = json.loads(base64.urlsafe_b64decode(token.encode()))
        return from_micros(int(at)), str(last_id)
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        raise InvalidRequest(
            "The page token is not one of ours: begin with the first page.", reason="BAD_PAGE_TOKEN"
        ) from None


def letter_filter(message: dead_letters_pb2.DeadLetterFilter) -> LetterFilter:
    """A filter from protobuf; a state that this release does not know is every state."""
    return LetterFilter(message.tenant_id, message.reason, message.document_id_prefix, _STATE_OF.get(message.state))


def which(message: dead_letters_pb2.ReplayDeadLettersRequest | dead_letters_pb2.DiscardDeadLettersRequest) -> Which:
    """The letters that a request names."""
    if message.WhichOneof("which") == "filter":
        return letter_filter(message.filter)
    return list(message.letters.letter_ids)


def letter(item: Letter) -> dead_letters_pb2.DeadLetter:
    """A letter as protobuf."""
    message = dead_letters_pb2.DeadLetter(
        letter_id=item.letter_id,
        state=_LETTER_STATES[item.state],
        tenant_id=name_of_tenant(item.tenant_id),
        document_id=item.document_id,
        version=item.version,
        kind=KINDS[item.kind] if item.kind else ingest_pb2.CHANGE_KIND_UNSPECIFIED,
        topic=item.topic,
        partition=item.partition,
        offset=item.offset,
        first_reason=item.first_reason,
        first_failed_at=to_timestamp(item.first_failed_at),
        reason=item.reason,
        message=item.message,
        last_failed_at=to_timestamp(item.last_failed_at),
        attempts=item.attempts,
        replays=item.replays,
        trace_id=item.trace_id,
        object_key=item.object_key,
        event_object_key=item.event_key,
        event_bytes=item.event_bytes,
        registered=item.registered,
        decided_by=item.decided_by,
        why=item.why,
        outcome=STATES[item.outcome] if item.outcome else ingest_pb2.CHANGE_STATE_UNSPECIFIED,
    )
    if item.decided_at is not None:
        message.decided_at.CopyFrom(to_timestamp(item.decided_at))
    return message


def result(item: LetterResult) -> dead_letters_pb2.LetterResult:
    """What a decision did, as protobuf."""
    return dead_letters_pb2.LetterResult(
        letter_id=item.letter_id,
        document_id=item.document_id,
        outcome=_OUTCOMES[item.outcome],
        reason=item.reason,
        message=item.message,
    )


def open_change(item: OpenChange) -> ingest_pb2.OpenChange:
    """An open change as protobuf."""
    return ingest_pb2.OpenChange(change=change(item.record), cause=_CAUSES[item.cause], age_seconds=item.age_seconds)


def halt(item: Halt) -> ingest_pb2.Halt:
    """A halt as protobuf."""
    return ingest_pb2.Halt(
        worker=item.worker,
        since=to_timestamp(item.since),
        seen_at=to_timestamp(item.seen_at),
        reason=item.reason,
        message=item.message,
        rejections=item.rejections,
    )
