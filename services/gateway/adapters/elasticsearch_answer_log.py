"""The answer log in Elasticsearch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter

from chassis.clock import from_micros, to_micros
from chassis.elasticsearch.bulk import Write, bulk
from chassis.elasticsearch.client import Store
from chassis.elasticsearch.documents import document_id, get, search_now
from chassis.elasticsearch.indexes import IndexSpec
from gateway.domain import Answer, LoggedAnswer
from gateway.record.rows import record_of, record_text

ALIAS: Final = "answers"
_STORED: Final = {"type": "object", "enabled": False}
SPECS: Final = (
    IndexSpec(
        ALIAS,
        # Who asked what, and what was answered, is read back by id. Time is searched, and for reviewers (see
        # ``elasticsearch_feedback``) tenant, outcome and rating.
        {
            "answered_at": {"type": "long"},
            "tenant_id": {"type": "keyword"},
            "outcome": {"type": "keyword"},
            "entry": _STORED,
            "rating": {"type": "keyword"},
            "feedback": _STORED,
        },
        {"index": {"refresh_interval": "5s"}},
    ),
)
_ANSWER: Final = TypeAdapter(Answer)
_PURGED_AT_ONCE: Final = 1_000


class ElasticsearchAnswerLog:
    """Answers as documents, for all gateways; the answer itself as JSON text.

    An answer is found at once, by id. Retention refreshes the index before it looks for old ones.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alias = store.name(ALIAS)

    async def record(self, entry: LoggedAnswer) -> None:
        """Stores the answer unless one with its id is there; see the port."""
        row = {
            "answered_at": to_micros(entry.answered_at),
            "tenant_id": entry.tenant_id,
            "outcome": entry.answer.outcome.value,
            "entry": {
                "tenant_id": entry.tenant_id,
                "subject": entry.subject,
                "question": entry.question,
                "answer": _ANSWER.dump_json(entry.answer).decode(),
                "record": record_text(entry.record),
            },
        }
        await bulk(self._store, [Write(self._alias, document_id(entry.answer.answer_id), row, create=True)])

    async def find(self, answer_id: str, tenant_id: str, subject: str | None) -> LoggedAnswer | None:
        """The answer if it was given to exactly this subject; see the port."""
        found = await get(self._store, self._alias, document_id(answer_id))
        if found is None:
            return None
        entry: Mapping[str, Any] = found.source["entry"]
        asker = entry["subject"]
        if entry["tenant_id"] != tenant_id or subject not in (None, asker):
            return None
        return LoggedAnswer(
            tenant_id,
            asker,
            entry["question"],
            _ANSWER.validate_json(entry["answer"]),
            from_micros(found.source["answered_at"]),
            record_of(entry.get("record")),
        )

    async def forget_before(self, moment: datetime) -> int:
        """Removes old answers; see the port. Several gateways may do so at the same time."""
        removed = 0
        while True:
            response = await search_now(
                self._store,
                self._alias,
                query={"range": {"answered_at": {"lt": to_micros(moment)}}},
                size=_PURGED_AT_ONCE,
                source=False,
                track_total_hits=False,
            )
            hits = response["hits"]["hits"]
            if not hits:
                return removed
            outcomes = await bulk(self._store, [Write(self._alias, hit["_id"], None) for hit in hits])
            removed += sum(outcome.found for outcome in outcomes)
