"""Contract of the store of feedback, over every adapter."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.contract.corpus_adapters import elasticsearch_installation, name_of

from gateway.adapters.elasticsearch_answer_log import SPECS, ElasticsearchAnswerLog
from gateway.adapters.elasticsearch_feedback import ElasticsearchFeedback
from gateway.adapters.sqlite_answer_log import MIGRATIONS, SqliteAnswerLog
from gateway.adapters.sqlite_feedback import SqliteFeedback
from gateway.domain import Answer, Citation, CitationKey, LoggedAnswer, Outcome, Place, Rating
from gateway.feedback.domain import AskedQuestion, Feedback, RatedAnswer, Reason, Source
from gateway.feedback.ports import FeedbackStore
from gateway.plan import Plan
from gateway.ports import AnswerLog

ADAPTERS = (SqliteFeedback, pytest.param(ElasticsearchFeedback, marks=pytest.mark.cluster))

NOW = datetime(2026, 11, 21, 9, 0, 0, 123457, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = CitationKey("doc/ü", 2**62, "c1")
ANSWER = Answer(
    "a-1", Outcome.ANSWERED, "text [1]", (Citation(1, KEY, "Title", "https://x", Place(), "text", "", NOW),)
)
ENTRY = LoggedAnswer("acme", "alice", 'why "?"\n', ANSWER, NOW)
BAD = Feedback(Rating.BAD, NOW + HOUR, Reason.OUTDATED, 'It is "so"\nnow.', "über")
RATED = RatedAnswer("a-1", ENTRY.question, Outcome.ANSWERED, (Source(KEY, "Title"),), NOW, BAD)


@dataclass(frozen=True)
class World:
    log: AnswerLog
    store: FeedbackStore


@asynccontextmanager
async def opened(adapter: Any, directory: Path) -> AsyncIterator[Callable[[], World]]:
    """Yields a function that opens log and store as one more process would see them."""
    if adapter is ElasticsearchFeedback:
        async with elasticsearch_installation(SPECS) as connect:
            yield lambda: World(ElasticsearchAnswerLog(connect()), ElasticsearchFeedback(connect()))
        return
    open_ones: list[SqliteAnswerLog | SqliteFeedback] = []

    def open_one() -> World:
        log, store = SqliteAnswerLog(directory / "answers.sqlite"), SqliteFeedback(directory / "answers.sqlite")
        open_ones.extend((log, store))
        return World(log, store)

    yield open_one
    for each in open_ones:
        await each.close()


@pytest.fixture(params=ADAPTERS, ids=name_of)
async def open_world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], World]]:
    async with opened(request.param, tmp_path) as open_one:
        yield open_one


@pytest.fixture
def world(open_world: Callable[[], World]) -> World:
    return open_world()


def entry(answer_id: str, at: datetime = NOW, outcome: Outcome = Outcome.ANSWERED, **parts: Any) -> LoggedAnswer:
    return replace(ENTRY, answer=replace(ANSWER, answer_id=answer_id, outcome=outcome), answered_at=at, **parts)


async def test_feedback_comes_back_with_its_answer(world: World) -> None:
    await world.log.record(ENTRY)

    assert await world.store.give("a-1", BAD)
    assert list(await world.store.rated("acme", None, 10)) == [RATED]


async def test_feedback_leaves_the_answer_as_it_was_however_often_it_changes(world: World) -> None:
    await world.log.record(ENTRY)
    good = Feedback(Rating.GOOD, NOW + 2 * HOUR)
    for feedback in (good, BAD, BAD, good):
        assert await world.store.give("a-1", feedback)

    assert await world.log.find("a-1", "acme", "alice") == ENTRY
    assert list(await world.store.rated("acme", None, 10)) == [replace(RATED, feedback=good)]


async def test_an_answer_that_is_recorded_again_keeps_its_feedback(world: World) -> None:
    await world.log.record(ENTRY)
    await world.store.give("a-1", BAD)
    await world.log.record(ENTRY)

    assert list(await world.store.rated("acme", None, 10)) == [RATED]


async def test_feedback_goes_with_its_answer_and_does_not_bring_it_back(world: World) -> None:
    await world.log.record(ENTRY)
    await world.store.give("a-1", BAD)
    assert await world.log.forget_before(NOW + HOUR) == 1

    assert list(await world.store.rated("acme", None, 10)) == []
    assert not await world.store.give("a-1", BAD)
    assert list(await world.store.rated("acme", None, 10)) == []
    assert await world.log.find("a-1", "acme", "alice") is None
    assert not await world.store.give("never", BAD)


async def test_a_tenant_sees_its_own_only_and_answers_without_feedback_are_not_rated(world: World) -> None:
    for name, tenant in (("a-1", "acme"), ("a-2", "Acme"), ("a-3", "acme"), ("a-4", "acm")):
        await world.log.record(entry(name, tenant_id=tenant))
    for name in ("a-1", "a-2", "a-4"):
        await world.store.give(name, BAD)

    assert [each.answer_id for each in await world.store.rated("acme", None, 10)] == ["a-1"]
    assert [each.answer_id for each in await world.store.rated("Acme", None, 10)] == ["a-2"]
    assert list(await world.store.rated("other", None, 10)) == []


async def test_the_newest_answers_come_first_from_a_moment_on_up_to_a_limit(world: World) -> None:
    for hours in (2, 0, 3, 1):
        await world.log.record(entry(f"a-{hours}", NOW + hours * HOUR))
        await world.store.give(f"a-{hours}", BAD)

    assert [each.answer_id for each in await world.store.rated("acme", None, 10)] == ["a-3", "a-2", "a-1", "a-0"]
    assert [each.answer_id for each in await world.store.rated("acme", NOW + HOUR, 2)] == ["a-3", "a-2"]
    later = NOW + HOUR + timedelta(milliseconds=1)
    assert [each.answer_id for each in await world.store.rated("acme", later, 10)] == ["a-3", "a-2"]
    assert [each.answer_id for each in await world.store.rated("acme", NOW + HOUR, 10)] == ["a-3", "a-2", "a-1"]


async def test_abstentions_of_the_tenant_are_unanswered_rated_or_not(world: World) -> None:
    await world.log.record(entry("a-1"))
    await world.log.record(entry("a-2", NOW + HOUR, Outcome.ABSTAINED, question="two"))
    await world.log.record(entry("a-3", NOW + 2 * HOUR, Outcome.ABSTAINED, question="three"))
    await world.log.record(entry("a-4", NOW, Outcome.ABSTAINED, tenant_id="other"))
    await world.log.record(entry("a-5", NOW, Outcome.FALLBACK))
    await world.store.give("a-2", BAD)

    two, three = AskedQuestion("two", NOW + HOUR), AskedQuestion("three", NOW + 2 * HOUR)
    assert list(await world.store.unanswered("acme", None, 10)) == [three, two]
    assert list(await world.store.unanswered("acme", NOW + 2 * HOUR, 10)) == [three]
    assert list(await world.store.unanswered("acme", None, 1)) == [three]


async def test_a_follow_up_is_told_as_it_was_searched(world: World) -> None:
    plan = Plan("and in winter?", "How often is the probe cleaned in winter?")
    answer = replace(ANSWER, outcome=Outcome.ABSTAINED, plan=plan)
    await world.log.record(replace(ENTRY, question="and in winter?", answer=answer))
    await world.store.give("a-1", BAD)

    assert [each.text for each in await world.store.unanswered("acme", None, 10)] == [plan.text]
    assert [each.question for each in await world.store.rated("acme", None, 10)] == [plan.text]


async def test_feedback_is_seen_by_other_processes(open_world: Callable[[], World]) -> None:
    one, other = open_world(), open_world()
    await one.log.record(ENTRY)
    await one.store.give("a-1", BAD)

    assert list(await other.store.rated("acme", None, 10)) == [RATED]


async def test_feedback_of_an_older_release_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    log = SqliteAnswerLog(path)
    await log.record(ENTRY)
    await log.close()
    with sqlite3.connect(path) as new:
        (answer,) = new.execute("SELECT answer FROM answers").fetchone()
        new.executescript("DROP TABLE answers; DELETE FROM schema_migrations WHERE version > 1;" + MIGRATIONS[0])
        row = ("acme", "alice", "why?", answer, NOW.timestamp())
        given = (NOW + HOUR).timestamp()
        new.execute("INSERT INTO answers VALUES ('a-1', ?, ?, ?, ?, ?, 'bad', 'no', ?)", (*row, given))
        new.execute("INSERT INTO answers VALUES ('a-2', ?, ?, ?, ?, ?, NULL, NULL, NULL)", row)
    new.close()

    store = SqliteFeedback(path)
    (kept,) = await store.rated("acme", None, 10)
    await store.close()

    assert (kept.answer_id, kept.feedback.rating, kept.feedback.comment) == ("a-1", Rating.BAD, "no")
    assert abs(kept.feedback.given_at - NOW - HOUR) < timedelta(seconds=1)
