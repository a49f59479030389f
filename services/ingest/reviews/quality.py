"""Rules that tell which documents somebody should look at, from what the parser made of them. Cheap: they read the text
once, and know nothing of other documents."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from corpus.reviews import ReviewReason
from ingest.parsing.model import ParsedDocument

LEAST_CHARACTERS = 20
"""Of letters and digits. Less says nothing that a question could be answered from."""
MOST_BROKEN = 0.05
"""Share of replacement characters, unassigned and private code points and controls. Text that was decoded rightly has
none; one in twenty is a page that nobody can read."""
LEAST_LETTERS = 0.2
"""Share of letters and digits in what is not blank. Tables of figures have four in five, source code two in three, what
a broken font map or a scanned drawing gives hardly any."""
_SAMPLE = 200_000
"""Code points that are looked at, from the beginning."""
_BROKEN = ("Cn", "Co", "Cs", "Cc")


class ReviewAction(StrEnum):
    """What is done about a finding."""

    OFF = "off"
    FLAG = "flag"
    """It waits in the queue, and is served."""
    HOLD = "hold"
    """It waits in the queue, and is served to nobody until then."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason to look at a document; ``detail`` has a figure and no text of it."""

    reason: ReviewReason
    detail: str


@dataclass(frozen=True, slots=True)
class ReviewPolicy:
    """What is looked for. ``stale_days`` by document type, "" for every other one; a type without a number is never
    stale."""

    actions: Mapping[ReviewReason, ReviewAction] = field(default_factory=dict)
    stale_days: Mapping[str, int] = field(default_factory=dict)

    def action(self, reason: ReviewReason) -> ReviewAction:
        """What is done for this reason."""
        return self.actions.get(reason, ReviewAction.OFF)

    def findings(
        self, parsed: ParsedDocument, doc_type: str, written_at: datetime | None, now: datetime
    ) -> Sequence[Finding]:
        """What speaks against serving the document. ``written_at``: when the document says it was current; one that
        says nothing is not stale."""
        found = [*_of_text(parsed.text)]
        days = self.stale_days.get(doc_type, self.stale_days.get("", 0))
        if days and written_at is not None and now - written_at > timedelta(days=days):
            found.append(Finding(ReviewReason.STALE, f"{(now - written_at).days} days old, at most {days}"))
        return [each for each in found if self.action(each.reason) is not ReviewAction.OFF]


def parse_stale_days(text: str) -> Mapping[str, int]:
    """ "365" or "manual=365, policy=730" or both, separated by commas. Raises ValueError."""
    days: dict[str, int] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, number = part.rpartition("=")
        if not number.strip().isdecimal() or int(number) < 1:
            raise ValueError("days of staleness are TYPE=DAYS or DAYS, separated by commas")
        days[name.strip()] = int(number)
    return days


def _of_text(text: str) -> list[Finding]:
    # Of each different character once: a text has some dozens, or in Chinese some hundreds.
    told = {each: times for each, times in Counter(text[:_SAMPLE]).items() if not each.isspace()}
    total = sum(told.values())
    words = sum(times for each, times in told.items() if each.isalnum())
    broken = sum(times for each, times in told.items() if each == "\ufffd" or unicodedata.category(each) in _BROKEN)
    if total and broken / total > MOST_BROKEN:
        return [Finding(ReviewReason.UNREADABLE, f"{broken / total:.0%} broken characters")]
    if words < LEAST_CHARACTERS:
        return [Finding(ReviewReason.EMPTY, f"{words} letters and digits")]
    # Marks belong to the letters of many scripts.
    marks = sum(times for each, times in told.items() if unicodedata.category(each).startswith("M"))
    if (words + marks) / total < LEAST_LETTERS:
        return [Finding(ReviewReason.UNREADABLE, f"{(words + marks) / total:.0%} letters and digits")]
    return []
