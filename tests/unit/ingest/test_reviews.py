"""What rules find against documents, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.ingest.test_holds import OUTSIDER, REVIEWER, holds
from tests.unit.ingest.world import READER, STAFF, TENANT, World

from chassis.errors import Conflict, FailedPrecondition, InvalidRequest, NotFound, PermissionDenied
from corpus.adapters.memory.reviews import MemoryReviewQueue
from corpus.domain import DocumentKey
from corpus.reviews import ReviewItem, ReviewReason, ReviewState
from ingest.index import IndexDocument
from ingest.parsing.model import ParsedDocument, Section
from ingest.reviews.decide import DecideReviews
from ingest.reviews.quality import Finding, ReviewAction, ReviewPolicy, parse_stale_days
from ingest.reviews.raising import RaiseReviews

KEY = DocumentKey(TENANT, "guide")
NOW = datetime(2026, 11, 1, tzinfo=UTC)
GOOD = "The valve of the pump opens at four bar and closes at two."
ALL = ReviewPolicy(dict.fromkeys(ReviewReason, ReviewAction.FLAG), {"": 365, "policy": 30})


def parsed(text: str) -> ParsedDocument:
    sections = (Section((), 0, len(text)),) if text else ()
    return ParsedDocument(text, None, "en", {}, sections, "plain")


def reasons(text: str, policy: ReviewPolicy = ALL, doc_type: str = "", days: int | None = None) -> list[str]:
    written_at = None if days is None else NOW - timedelta(days=days)
    return [each.reason.value for each in policy.findings(parsed(text), doc_type, written_at, NOW)]


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "Das Ventil öffnet bei vier Bar – und schließt bei zwei (§ 3 Abs. 2).",
        "阀门在四巴时打开并在两巴时关闭请参阅第三章的说明和附录中的表格",
        "वाल्व चार बार पर खुलता है और दो बार पर बंद हो जाता है",
        "name,price,stock\npump,12.50,3\nvalve,4.75,18\nfilter,9.00,44\n",
        "def open(self, bar: float) -> bool:\n    return bar >= self._limit  # four\n",
        "| a | b |\n|---|---|\n| one two | three |\n| four five | six seven |\n",
    ],
)
def test_nothing_speaks_against_what_people_and_programs_read(text: str) -> None:
    assert reasons(text) == []


@pytest.mark.parametrize("text", ["", " \n ", "- 3 -", "Page 1 of 2"])
def test_what_says_nothing_is_empty(text: str) -> None:
    assert reasons(text) == ["empty"]


@pytest.mark.parametrize(
    "text",
    [
        "The v\ufffdlve \ufffdpens \ufffdt f\ufffd\ufffdr b\ufffdr \ufffdnd cl\ufffdses at tw\ufffd.",
        "".join(chr(0xE000 + number) for number in range(60)),
        "abcdefghijklmnopqrstuvwxyz" + "\x01\x02\x03" * 20,
        "abcdefghijklmnopqrstuvwxyz" + "-=+*/|" * 40,
    ],
)
def test_what_is_hardly_text_is_unreadable(text: str) -> None:
    assert reasons(text) == ["unreadable"]


def test_a_document_is_stale_after_the_days_of_its_type_if_it_says_how_old_it_is() -> None:
    assert reasons(GOOD, days=365) == []
    assert reasons(GOOD, days=366) == ["stale"]
    assert reasons(GOOD, doc_type="policy", days=31) == ["stale"]
    assert reasons(GOOD, doc_type="policy") == []
    assert reasons(GOOD, replace(ALL, stale_days={"policy": 30}), days=9999) == []


def test_what_is_off_is_not_found_and_no_detail_has_text() -> None:
    off = replace(ALL, actions={ReviewReason.STALE: ReviewAction.FLAG})
    assert reasons("", off) == []
    (found,) = ALL.findings(parsed("secret"), "", None, NOW)
    assert "secret" not in found.detail


def test_days_are_read_by_type() -> None:
    assert parse_stale_days("365, manual=90") == {"": 365, "manual": 90}
    assert parse_stale_days("") == {}
    for wrong in ("manual", "manual=0", "=x", "3.5"):
        with pytest.raises(ValueError, match="days"):
            parse_stale_days(wrong)


class Reviewing:
    """A world whose worker raises reviews."""

    def __init__(self, world: World, action: ReviewAction) -> None:
        self.world, self.queue, self.holds = world, MemoryReviewQueue(), holds(world)
        policy = ReviewPolicy(dict.fromkeys(ReviewReason, action), {"": 365})
        assert isinstance(world.apply.index, IndexDocument)
        raising = RaiseReviews(self.queue, self.holds, policy, world.clock)
        self.apply = replace(world.apply, index=replace(world.apply.index, review=policy), reviews=raising)
        self.decide = DecideReviews(self.queue, self.holds, world.clock)

    async def put(self, version: int, text: str, **draft: object) -> None:
        await self.apply.apply(await self.world.upsert("guide", version, text, STAFF, **draft))

    async def open_ones(self) -> list[ReviewItem]:
        waiting, _ = await self.decide.list(REVIEWER, ReviewState.OPEN, None, 10)
        return [each.item for each in waiting]

    async def is_held(self) -> bool:
        head = await self.world.head("guide")
        assert head is not None
        return head.held


async def test_a_flagged_document_waits_and_is_served() -> None:
    async with World() as world:
        reviewing = Reviewing(world, ReviewAction.FLAG)
        await reviewing.put(5, "three")
        (item,) = await reviewing.open_ones()
        assert (item.key, item.version, item.reason, item.held) == (KEY, 5, ReviewReason.EMPTY, False)
        assert item.raised_by == "rule:empty"
        assert not await reviewing.is_held()
        await reviewing.put(6, GOOD)
        assert len(await reviewing.open_ones()) == 1


async def test_a_held_document_is_never_served_before_it_is_held() -> None:
    held_at_the_write: list[bool] = []
    worlds: list[World] = []

    async def look(name, call):
        if name == "heads.put" and worlds:
            hold = await worlds[0].stores.heads.hold(KEY)
            held_at_the_write.append(hold is not None and hold.held)
        return await call()

    async with World(look) as world:
        worlds.append(world)
        reviewing = Reviewing(world, ReviewAction.HOLD)
        await reviewing.put(5, "three")
        assert held_at_the_write == [True]
        assert await reviewing.is_held()
        (item,) = await reviewing.open_ones()
        assert item.held


async def test_approving_releases_and_a_redelivered_change_holds_nothing_again() -> None:
    async with World() as world:
        reviewing = Reviewing(world, ReviewAction.HOLD)
        await reviewing.put(5, "three")
        (item,) = await reviewing.open_ones()
        decided = await reviewing.decide.decide(REVIEWER, item.review_id, ReviewState.APPROVED, "short, and right")
        assert (decided.state, decided.decided_by, decided.note) == (ReviewState.APPROVED, "rita", "short, and right")
        assert not await reviewing.is_held()
        assert await reviewing.open_ones() == []
        assert await reviewing.decide.decide(REVIEWER, item.review_id, ReviewState.APPROVED) == decided
        await reviewing.apply.reviews.raise_all(KEY, 5, [Finding(ReviewReason.EMPTY, "5 letters and digits")])
        assert not await reviewing.is_held()
        with pytest.raises(Conflict) as caught:
            await reviewing.decide.decide(REVIEWER, item.review_id, ReviewState.REJECTED)
        assert caught.value.reason == "ALREADY_DECIDED"


async def test_rejecting_holds_what_was_only_flagged() -> None:
    async with World() as world:
        reviewing = Reviewing(world, ReviewAction.FLAG)
        await reviewing.put(5, "three")
        (item,) = await reviewing.open_ones()
        await reviewing.decide.decide(REVIEWER, item.review_id, ReviewState.REJECTED)
        assert await reviewing.is_held()
        await reviewing.put(6, GOOD)
        assert await reviewing.is_held()
        await reviewing.holds.release(REVIEWER, "guide", 6)
        assert not await reviewing.is_held()


async def test_mending_a_document_releases_it_once_the_reviewer_says_so() -> None:
    async with World() as world:
        reviewing = Reviewing(world, ReviewAction.HOLD)
        await reviewing.put(5, "three")
        (item,) = await reviewing.open_ones()
        with pytest.raises(FailedPrecondition) as caught:
            await reviewing.decide.decide(REVIEWER, item.review_id, ReviewState.EDITED)
        assert caught.value.reason == "NOT_EDITED"
        await reviewing.put(6, GOOD)
        assert await reviewing.is_held()
        with pytest.raises(FailedPrecondition) as caught:
            await reviewing.decide.decide(REVIEWER, item.review_id, ReviewState.APPROVED)
        assert caught.value.reason == "DOCUMENT_CHANGED"
        await reviewing.decide.decide(REVIEWER, item.review_id, ReviewState.EDITED)
        assert not await reviewing.is_held()


async def test_a_document_that_is_held_for_two_reasons_is_released_with_the_last_one() -> None:
    async with World() as world:
        reviewing = Reviewing(world, ReviewAction.HOLD)
        await reviewing.put(5, "three", metadata={"updated": NOW - timedelta(days=400)})
        first, second = await reviewing.open_ones()
        await reviewing.decide.decide(REVIEWER, first.review_id, ReviewState.APPROVED)
        assert await reviewing.is_held()
        await reviewing.decide.decide(REVIEWER, second.review_id, ReviewState.APPROVED)
        assert not await reviewing.is_held()


async def test_what_a_person_holds_no_approval_releases() -> None:
    async with World() as world:
        reviewing = Reviewing(world, ReviewAction.FLAG)
        await reviewing.put(5, "three")
        await reviewing.holds.hold(REVIEWER, "guide")
        (item,) = await reviewing.open_ones()
        await reviewing.decide.decide(REVIEWER, item.review_id, ReviewState.APPROVED)
        assert await reviewing.is_held()


async def test_only_reviewers_who_may_read_the_document_see_and_decide() -> None:
    async with World() as world:
        reviewing = Reviewing(world, ReviewAction.FLAG)
        await reviewing.put(5, "three")
        (item,) = await reviewing.open_ones()
        with pytest.raises(PermissionDenied):
            await reviewing.decide.list(READER, None, None, 10)
        with pytest.raises(PermissionDenied):
            await reviewing.decide.decide(READER, item.review_id, ReviewState.APPROVED)
        assert await reviewing.decide.list(OUTSIDER, None, None, 10) == ([], None)
        for caller, review_id in ((OUTSIDER, item.review_id), (REVIEWER, "nothing")):
            with pytest.raises(NotFound):
                await reviewing.decide.decide(caller, review_id, ReviewState.APPROVED)
        for decision, note in ((ReviewState.OPEN, ""), (ReviewState.REJECTED, "x" * 301)):
            with pytest.raises(InvalidRequest):
                await reviewing.decide.decide(REVIEWER, item.review_id, decision, note)


async def test_what_was_rejected_stays_held_when_another_reason_is_approved() -> None:
    async with World() as world:
        reviewing = Reviewing(world, ReviewAction.HOLD)
        await reviewing.put(5, "three", metadata={"updated": NOW - timedelta(days=400)})
        first, second = await reviewing.open_ones()
        await reviewing.decide.decide(REVIEWER, first.review_id, ReviewState.REJECTED)
        await reviewing.decide.decide(REVIEWER, second.review_id, ReviewState.APPROVED)
        assert await reviewing.is_held()


async def test_pages_of_reviews_tell_of_no_document_that_the_caller_may_not_know_of() -> None:
    async with World() as world:
        reviewing = Reviewing(world, ReviewAction.FLAG)
        for name, readers in (
            ("a", ("group:board",)),
            ("b", STAFF),
            ("c", ("group:board",)),
            ("d", STAFF),
            ("e", ("group:board",)),
        ):
            await reviewing.apply.apply(await world.upsert(name, 5, "three", readers))
            world.clock.advance(1.0)
        first, after = await reviewing.decide.list(REVIEWER, None, None, 1)
        assert [each.item.key.document_id for each in first] == ["d"]
        assert after == first[0].item
        second, last = await reviewing.decide.list(REVIEWER, None, (after.raised_at, after.review_id), 1)
        assert ([each.item.key.document_id for each in second], last) == (["b"], None)
