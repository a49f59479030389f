"""Decisions on more dead letters than one call takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from headwater.dead_letters import DeadLetters
from headwater.ingest.v1 import dead_letters_pb2

PAGE = 500
REPLAYED, REFUSED = dead_letters_pb2.LETTER_OUTCOME_REPLAYED, dead_letters_pb2.LETTER_OUTCOME_REFUSED


@dataclass
class Service:
    """Letters in the order in which they are listed, and those that can't be decided on."""

    open: list[str]
    refused: set[str]
    failing_again: bool = False
    asked: list[str] = field(default_factory=list)

    async def ListDeadLetters(self, request: Any) -> Any:  # noqa: N802 - the service's name
        begin = int(request.page_token or 0)
        page = self.open[begin : begin + request.page_size]
        more = begin + len(page) < len(self.open)
        letters = [dead_letters_pb2.DeadLetter(letter_id=each) for each in page]
        token = str(begin + len(page)) if more else ""
        return dead_letters_pb2.ListDeadLettersResponse(letters=letters, next_page_token=token)

    async def ReplayDeadLetters(self, request: Any) -> Any:  # noqa: N802 - the service's name
        results, more = self._decide(request)
        return dead_letters_pb2.ReplayDeadLettersResponse(results=results, more=more)

    async def DiscardDeadLetters(self, request: Any) -> Any:  # noqa: N802 - the service's name
        results, more = self._decide(request)
        return dead_letters_pb2.DiscardDeadLettersResponse(results=results, more=more)

    def _decide(self, request: Any) -> tuple[Sequence[Any], bool]:
        ids = list(request.letters.letter_ids) or self.open[:PAGE]
        more = not request.letters.letter_ids and len(self.open) > PAGE
        assert len(ids) <= PAGE
        self.asked += ids
        if not self.failing_again:
            self.open = [each for each in self.open if each in self.refused or each not in ids]
        outcomes = {each: REFUSED if each in self.refused else REPLAYED for each in ids}
        return [dead_letters_pb2.LetterResult(letter_id=each, outcome=outcomes[each]) for each in ids], more


async def call(method: Callable[[Any], Awaitable[Any]], request: Any, seconds: float) -> Any:
    return await method(request)


@pytest.mark.parametrize("decision", ["replay", "discard"])
@pytest.mark.parametrize("refused", [0, 1, PAGE, PAGE + 1])
async def test_letters_that_are_refused_hide_no_others(decision: str, refused: int) -> None:
    ids = [f"{number:05}" for number in range(3 * PAGE + 7)]
    service = Service(list(ids), set(ids[:refused]))
    letters = DeadLetters(service, call, call)
    results = await (letters.replay(reason="R") if decision == "replay" else letters.discard("why", reason="R"))
    assert sorted(result.letter_id for result in results) == ids
    assert sum(result.outcome == "refused" for result in results) == refused
    assert service.open == ids[:refused]


async def test_letters_that_fail_again_at_once_are_tried_once() -> None:
    ids = [f"{number:05}" for number in range(PAGE + 1)]
    service = Service(list(ids), set(), failing_again=True)
    await DeadLetters(service, call, call).replay(reason="R")
    assert sorted(service.asked) == ids
