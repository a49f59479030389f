"""Feedback in Elasticsearch, in the documents of the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter

from chassis.clock import from_micros, to_micros
from chassis.elasticsearch.bulk import Write, bulk
from chassis.elasticsearch.client import Store
from chassis.elasticsearch.documents import document_id, search_now
from gateway.adapters.elasticsearch_answer_log import ALIAS
from gateway.domain import Answer, LoggedAnswer, Outcome
from gateway.feedback.domain import AskedQuestion, Feedback, RatedAnswer, asked, rated

_ANSWER: Final = TypeAdapter(Answer)
_FEEDBACK: Final = TypeAdapter(Feedback)


class ElasticsearchFeedback:
    """Fields of the answer log's documents, for all gateways. Reports are rare and refresh the index first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._alias = store.name(ALIAS)

    async def give(self, answer_id: str, feedback: Feedback) -> bool:
        """See the port."""
        row = {"rating": feedback.rating.value, "feedback": {"json": _FEEDBACK.dump_json(feedback).decode()}}
        (written,) = await bulk(self._store, [Write(self._alias, document_id(answer_id), row, partial=True)])
        return written.found

    async def rated(self, tenant_id: str, since: datetime | None, limit: int) -> Sequence[RatedAnswer]:
        """See the port."""
        found = await self._newest(tenant_id, since, limit, {"exists": {"field": "rating"}})
        return [rated(_entry(source), _FEEDBACK.validate_json(source["feedback"]["json"])) for source in found]

    async def unanswered(self, tenant_id: str, since: datetime | None, limit: int) -> Sequence[AskedQuestion]:
        """See the port."""
        found = await self._newest(tenant_id, since, limit, {"term": {"outcome": Outcome.ABSTAINED.value}})
        return [asked(_entry(source)) for source in found]

    async def _newest(
        self, tenant_id: str, since: datetime | None, limit: int, condition: Mapping[str, Any]
    ) -> list[Mapping[str, Any]]:
        conditions: list[Mapping[str, Any]] = [{"term": {"tenant_id": tenant_id}}, condition]
        if since is not None:
            conditions.append({"range": {"answered_at": {"gte": to_micros(since)}}})
        response = await search_now(
            self._store,
            self._alias,
            query={"bool": {"filter": conditions}},
            sort=[{"answered_at": "desc"}],
            size=limit,
            track_total_hits=False,
        )
        return [hit["_source"] for hit in response["hits"]["hits"]]


def _entry(source: Mapping[str, Any]) -> LoggedAnswer:
    entry = source["entry"]
    at = from_micros(source["answered_at"])
    return LoggedAnswer(entry["tenant_id"], "", entry["question"], _ANSWER.validate_json(entry["answer"]), at)
