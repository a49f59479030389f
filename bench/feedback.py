"""What feedback costs on the embedded answer log: giving it, a report, an export. No services.

    python -m bench.feedback [--answers N]

Prints one JSON object. Half of the answers are rated and cite three passages of 200 documents, all of them readable;
half are abstentions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any, cast

from bench import machine
from chassis.clock import SystemClock
from chassis.identity import Caller, Scope
from corpus.analysis import analyse
from gateway.adapters.sqlite_answer_log import SqliteAnswerLog
from gateway.adapters.sqlite_feedback import SqliteFeedback
from gateway.domain import Answer, Citation, CitationKey, LoggedAnswer, Outcome, Place, Rating, Span
from gateway.feedback.domain import Reason
from gateway.feedback.service import AnswerFeedback, Opinion
from gateway.ports import Retrieval
from gateway.rates import RateLimits, Spending

_READER = Caller("bench", "reader", scopes=frozenset({Scope.READ, Scope.REVIEW}))
_WORDS = [f"word{number}" for number in range(400)]
_QUOTE = "A gateway with firmware 3.1 accepts at most 120 sensors, and reports the others as unknown. " * 2


class _AllReadable:
    """Of retrieval, what a report asks: everything may be read."""

    async def readable(self, keys: Sequence[CitationKey], caller: Caller) -> Sequence[bool]:
        return [True] * len(keys)


def _entry(number: int, chance: random.Random) -> LoggedAnswer:
    question = f"How does {' '.join(chance.choices(_WORDS, k=5))} work?"
    at = SystemClock().now() - timedelta(seconds=number)
    if number % 2:
        answer = Answer(f"a-{number}", Outcome.ABSTAINED, "I don't know based on the available knowledge.")
        return LoggedAnswer(_READER.tenant_id, _READER.subject, question, answer, at)
    citations = tuple(
        Citation(
            place,
            CitationKey(f"handbook/{chance.randrange(200)}.md", 7, f"c{chance.randrange(2000)}"),
            "Handbook",
            "https://example.org/handbook",
            Place(("Handbook", "Sensors"), 3, Span(100, 100 + len(_QUOTE))),
            _QUOTE,
        )
        for place in (1, 2, 3)
    )
    answer = Answer(f"a-{number}", Outcome.ANSWERED, f"{_QUOTE}[1] {_QUOTE}[2] {_QUOTE}[3]", citations, 0.8)
    return LoggedAnswer(_READER.tenant_id, _READER.subject, question, answer, at)


async def measure(directory: Path, answers: int) -> dict[str, Any]:
    """Fills a log and reads it."""
    path, chance = directory / "answers.sqlite", random.Random(7)
    log, store = SqliteAnswerLog(path), SqliteFeedback(path)
    rates = RateLimits(dict.fromkeys(Spending, "10000000/second"))
    retrieval = cast(Retrieval, _AllReadable())
    feedback = AnswerFeedback(log, store, retrieval, SystemClock(), rates, analyse, mask=True)
    await asyncio.gather(*(log.record(_entry(number, chance)) for number in range(answers)))
    given = []
    for number in range(0, answers, 2):
        bad = chance.random() < 0.3
        opinion = Opinion(Rating.BAD if bad else Rating.GOOD, Reason.WRONG if bad else None, _QUOTE if bad else "")
        started = time.perf_counter()
        await feedback.give(f"a-{number}", opinion, _READER)
        given.append(time.perf_counter() - started)
    reports, exports = [], []
    for _ in range(5):
        started = time.perf_counter()
        report = await feedback.report(None, 20, _READER)
        reports.append(time.perf_counter() - started)
        started = time.perf_counter()
        rows = await feedback.export(None, _READER)
        exports.append(time.perf_counter() - started)
    await log.close()
    await store.close()
    return {
        "answers": answers,
        "rated": report.good + report.bad,
        "exported": len(rows),
        "give_ms_p50": round(median(given) * 1000, 2),
        "report_seconds": round(median(reports), 3),
        "export_seconds": round(median(exports), 3),
        "bytes_per_answer": round(path.stat().st_size / answers),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="What feedback costs.")
    parser.add_argument("--answers", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = asyncio.run(measure(Path(directory), arguments.answers))
    print(json.dumps({"machine": machine.describe(), "feedback": figures}, indent=2))


if __name__ == "__main__":
    main()
