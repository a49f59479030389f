"""Contract of the answer log, over every adapter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.contract.corpus_adapters import elasticsearch_installation, name_of

from chassis.sqlite.writer import GroupCommitWriter
from gateway.adapters.elasticsearch_answer_log import SPECS, ElasticsearchAnswerLog
from gateway.adapters.sqlite_answer_log import MIGRATIONS, SqliteAnswerLog
from gateway.costs.domain import QueryCost, Stage, StageCost
from gateway.domain import (
    Answer,
    Citation,
    CitationKey,
    LoggedAnswer,
    Outcome,
    Place,
    Span,
    Timing,
    Usage,
)
from gateway.plan import Condition, Meaning, Plan, PlanOptions, QuestionClass, Route, StageTime, SuggestedFilter
from gateway.ports import AnswerLog
from gateway.record.domain import (
    FORMAT,
    AnswerRecord,
    Block,
    Candidate,
    Judged,
    LegScore,
    Output,
    Scores,
    TextPolicy,
)

ADAPTERS = (SqliteAnswerLog, pytest.param(ElasticsearchAnswerLog, marks=pytest.mark.cluster))

NOW = datetime(2026, 11, 21, 9, 0, 0, 123457, tzinfo=UTC)
CITATION = Citation(
    1, CitationKey("doc/ü", 2**62, "c1"), "Title", "https://x", Place(("A", "B"), 3, Span(5, 9)), "text", "ab" * 16, NOW
)
PLAN = Plan(
    'why "?"',
    "why so?",
    QuestionClass.AMBIGUOUS,
    0.1 + 0.2,
    route=Route(("people",), ("policy", "table"), 0.5, applied=True),
    k=20,
    searches=("one", "other"),
    filters=(SuggestedFilter((Condition("version", "$gte", "3.1"),), "firmware 3.1", certain=False, applied=True),),
    freshness_weight=0.2,
    meanings=(Meaning("Title", 1),),
    timings=(StageTime("rewrite", 0.25),),
    degraded=("understanding",),
)
ANSWER = Answer(
    "a-1",
    Outcome.ANSWERED,
    "text [1]",
    (CITATION,),
    0.1 + 0.2,
    ("lexical",),
    (Timing("retrieve", 1.5),),
    Usage(1, 2, 3),
    "ab" * 16,
    "extractive",
    "g1",
    PLAN,
    cost=QueryCost("EUR", (StageCost(Stage.SEARCH, 1, Decimal("0.00002")), StageCost(Stage.LLM_INPUT, 2**40, None))),
)
CANDIDATE = Candidate(
    "doc/ü",
    2**62,
    "c1",
    7,
    0.1 + 0.2,
    -0.5,
    "ab",
    "cd",
    Scores((LegScore("vector", 1, 0.7, 1.0, 0.5),), 0.5, 0, 0, 0.5),
)
RECORD = AnswerRecord(
    NOW,
    TextPolicy.FULL,
    "r1",
    (("ask_k", "14"),),
    "q",
    2,
    3000,
    PlanOptions(frozenset({"rewrite"}), True, ("people",)),
    "AAEC",
    "w",
    "a",
    "",
    (("class", "ef"),),
    False,
    "g1",
    ("lexical",),
    (CANDIDATE,),
    (Block(1, "doc/ü", "c1", 0, 4, 1, "ab"),),
    "p",
    "extractive",
    Output("answered", "t", ("doc/ü/c1",), 0.5, (Judged("weak", 0.4),)),
    Output("answered", "t", ("doc/ü/c1",), 0.5),
)
ENTRY = LoggedAnswer("acme", "alice", 'why "?"\n', ANSWER, NOW, RECORD)


@asynccontextmanager
async def opened(adapter: Any, directory: Path) -> AsyncIterator[Callable[[], AnswerLog]]:
    """Yields a function that opens the log as one more process would see it."""
    if adapter is ElasticsearchAnswerLog:
        async with elasticsearch_installation(SPECS) as connect:
            yield lambda: ElasticsearchAnswerLog(connect())
        return
    logs: list[SqliteAnswerLog] = []

    def open_one() -> SqliteAnswerLog:
        logs.append(SqliteAnswerLog(directory / "answers.sqlite"))
        return logs[-1]

    yield open_one
    for log in logs:
        await log.close()


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], AnswerLog]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


@pytest.fixture
def log(open_log: Callable[[], AnswerLog]) -> AnswerLog:
    return open_log()


def entry(answer_id: str, answered_at: datetime = NOW) -> LoggedAnswer:
    return replace(ENTRY, answer=replace(ANSWER, answer_id=answer_id), answered_at=answered_at)


async def test_an_answer_comes_back_as_it_was_recorded(log: AnswerLog) -> None:
    await log.record(ENTRY)

    assert await log.find("a-1", "acme", "alice") == ENTRY


async def test_only_the_one_who_asked_finds_his_answer(log: AnswerLog) -> None:
    await log.record(ENTRY)

    assert await log.find("a-1", "acme", "bob") is None
    assert await log.find("a-1", "acme", "Alice") is None
    assert await log.find("a-1", "other", "alice") is None
    assert await log.find("a-2", "acme", "alice") is None


async def test_whoever_may_look_into_answers_of_a_tenant_finds_those_of_all_its_subjects(log: AnswerLog) -> None:
    await log.record(ENTRY)

    assert await log.find("a-1", "acme", None) == ENTRY
    assert await log.find("a-1", "other", None) is None
    assert await log.find("a-1", "acme", "") is None


@pytest.mark.parametrize("record", [None, replace(RECORD, format=FORMAT + 1)], ids=["none", "newer"])
async def test_an_answer_without_a_record_that_is_known_is_still_found(
    log: AnswerLog, record: AnswerRecord | None
) -> None:
    await log.record(replace(ENTRY, record=record))

    assert await log.find("a-1", "acme", "alice") == replace(ENTRY, record=None)


async def test_recording_twice_keeps_the_first(log: AnswerLog) -> None:
    await log.record(ENTRY)
    await log.record(replace(ENTRY, question="other"))

    found = await log.find("a-1", "acme", "alice")
    assert found is not None
    assert found.question == ENTRY.question


async def test_answers_are_seen_by_other_processes_and_after_a_restart(open_log: Callable[[], AnswerLog]) -> None:
    await open_log().record(ENTRY)

    assert await open_log().find("a-1", "acme", "alice") == ENTRY


async def test_old_answers_are_forgotten_and_young_ones_are_not(log: AnswerLog) -> None:
    moment = NOW + timedelta(hours=1)
    young = entry("a-2", moment)
    await log.record(entry("a-1", moment - timedelta(microseconds=1)))
    await log.record(young)

    assert await log.forget_before(moment) == 1
    assert await log.find("a-1", "acme", "alice") is None
    assert await log.find("a-2", "acme", "alice") == young


async def test_more_old_answers_than_are_removed_at_once_are_all_forgotten(open_log: Callable[[], AnswerLog]) -> None:
    one, other = open_log(), open_log()
    await asyncio.gather(*(one.record(entry(f"a-{number}")) for number in range(1_050)))

    removed = await asyncio.gather(*(log.forget_before(NOW + timedelta(hours=1)) for log in (one, other)))
    assert sum(removed) == 1_050
    assert await one.find("a-7", "acme", "alice") is None


async def test_answers_that_were_logged_before_there_were_records_are_still_found(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    writer = GroupCommitWriter(path, MIGRATIONS[:2], synchronous="NORMAL")
    row = ("a-1", "acme", "alice", "why?", json.dumps({"answer_id": "a-1", "outcome": "abstained", "text": "?"}), 5.0)
    await writer.run(lambda connection: connection.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, NULL)", row))
    await writer.close()

    log = SqliteAnswerLog(path)
    found = await log.find("a-1", "acme", "alice")
    await log.close()
    assert found is not None
    assert (found.question, found.answer.outcome, found.record) == ("why?", Outcome.ABSTAINED, None)
