"""Records as text, also those that this version did not write."""

from __future__ import annotations

import math
from contextlib import aclosing
from dataclasses import replace

import pytest
from tests.unit.gateway.fakes import ALICE, PASSAGES, Gateway

from gateway.domain import Question
from gateway.record.domain import AnswerRecord, LegScore, Scores
from gateway.record.rows import record_of, record_text


async def record_with(number: float) -> AnswerRecord:
    scores = Scores((LegScore("vector", 1, number, number, 0.5),), number, 0.0, 0.0, number, number)
    gateway = Gateway([replace(each, scores=scores) for each in PASSAGES])
    async with aclosing(gateway.questions.ask(Question("How many sensors does a gateway accept?"), ALICE)) as events:
        async for _ in events:
            pass
    [entry] = gateway.log.entries.values()
    assert entry.record is not None
    return entry.record


async def test_a_record_is_read_as_it_was_written() -> None:
    record = await record_with(0.5)
    assert record_of(record_text(record)) == record


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
async def test_a_number_that_is_none_leaves_a_record_that_is_read(number: float) -> None:
    found = record_of(record_text(await record_with(number)))
    assert found is not None
    assert found.candidates[0].scores is not None
    assert repr(found.candidates[0].scores.fused) == repr(number)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"format": 1}', '{"format": "x"}', '{"format": 99}'])
def test_a_record_that_can_not_be_read_is_none_and_takes_no_answer_with_it(text: str) -> None:
    assert record_of(text) is None
