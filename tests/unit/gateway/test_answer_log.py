"""The answer log on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.gateway.fakes import NOW

from gateway.adapters.sqlite_answer_log import SqliteAnswerLog
from gateway.domain import (
    Answer,
    Citation,
    CitationKey,
    LoggedAnswer,
    Outcome,
    Place,
    Rating,
    Span,
    Timing,
    Usage,
)

CITATION = Citation(
    1, CitationKey("doc/ü", 2**62, "c1"), "Title", "https://x", Place(("A", "B"), 3, Span(5, 9)), "text", "ab" * 16, NOW
)
ANSWER = Answer(
    "a-1",
    Outcome.ANSWERED,
    "text [1]",
    (CITATION,),
    0.75,
    ("lexical",),
    (Timing("retrieve", 1.5),),
    Usage(1, 2, 3),
    "ab" * 16,
    "extractive",
    "g1",
)
ENTRY = LoggedAnswer("acme", "alice", "why?", ANSWER, NOW)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteAnswerLog]:
    log = SqliteAnswerLog(tmp_path / "answers.sqlite")
    yield log
    await log.close()


async def test_an_answer_comes_back_as_it_was_recorded(log: SqliteAnswerLog) -> None:
    await log.record(ENTRY)

    assert await log.find("a-1", "acme", "alice") == ENTRY


async def test_only_the_one_who_asked_finds_his_answer(log: SqliteAnswerLog) -> None:
    await log.record(ENTRY)

    assert await log.find("a-1", "acme", "bob") is None
    assert await log.find("a-1", "other", "alice") is None
    assert await log.find("a-2", "acme", "alice") is None


async def test_recording_twice_keeps_the_first(log: SqliteAnswerLog) -> None:
    await log.record(ENTRY)
    await log.record(replace(ENTRY, question="other"))

    found = await log.find("a-1", "acme", "alice")
    assert found is not None
    assert found.question == "why?"


async def test_answers_survive_a_restart(tmp_path: Path) -> None:
    first = SqliteAnswerLog(tmp_path / "answers.sqlite")
    await first.record(ENTRY)
    await first.add_feedback("a-1", Rating.BAD, "no", NOW)
    await first.close()

    second = SqliteAnswerLog(tmp_path / "answers.sqlite")
    assert await second.find("a-1", "acme", "alice") == ENTRY
    await second.close()


async def test_old_answers_are_forgotten_and_young_ones_are_not(log: SqliteAnswerLog) -> None:
    await log.record(ENTRY)
    young = replace(ENTRY, answer=replace(ANSWER, answer_id="a-2"), answered_at=NOW + timedelta(days=1))
    await log.record(young)

    assert await log.forget_before(NOW + timedelta(hours=1)) == 1
    assert await log.find("a-1", "acme", "alice") is None
    assert await log.find("a-2", "acme", "alice") == young
