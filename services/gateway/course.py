"""One question on its way to an answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from chassis.identity import Caller
from gateway import observe
from gateway.costs.domain import Account
from gateway.domain import (
    AnswerEvent,
    CitationSettled,
    Draft,
    Outcome,
    Question,
    Refusal,
    Retrieved,
    StageFinished,
    TextPiece,
    Timing,
)
from gateway.plan import Plan
from gateway.ports import ContextBlock
from gateway.stages.guard.question import QuestionGuard

_PIECE_CHARACTERS: Final = 48
"""Size of the pieces in which a finished text is told: enough to show progress, few enough to cost nothing."""


class Course:
    """What has happened to one question so far."""

    def __init__(self, question: Question, caller: Caller, asked_at: datetime) -> None:
        self.asked_at = asked_at
        self.account = Account()
        self.question = replace(question, account=self.account)
        self.settled = False
        self.caller = caller
        self.plan = Plan(question.text, question.text)
        self.made: Plan | None = None
        """The plan that was made where another is followed."""
        self.understood = False
        self.timings: list[Timing] = []
        self.started = time.perf_counter()
        self.draft: Draft | None = None
        self.written: Draft | None = None
        """The draft before it was verified."""
        self.blocks: tuple[ContextBlock, ...] = ()
        self.retrieved = Retrieved(())
        self.told = False
        self.refusal: Refusal | None = None
        self.degraded: list[str] = []
        self.cached = False

    @property
    def is_open(self) -> bool:
        """Whether nothing has decided its answer yet."""
        return self.refusal is None and self.draft is None

    def tell(self, event: AnswerEvent) -> AnswerEvent:
        """Notes that the reader sees ``event``."""
        if isinstance(event, TextPiece) and not self.told:
            self.told = True
            observe.first_token(time.perf_counter() - self.started)
        return event

    def judge(self, guard: QuestionGuard, stage: str, text: str) -> StageFinished:
        """Notes why the question is refused, if it is."""
        started = time.perf_counter()
        with observe.stage_span(stage) as span:
            self.refusal = guard.refusal(text)
            observe.note_refusal(span, self.refusal)
        return self.finished(stage, started)

    def finished(self, stage: str, started: float) -> StageFinished:
        """Notes that a stage is done that began at ``started``."""
        timing = Timing(stage, (time.perf_counter() - started) * 1000)
        self.timings.append(timing)
        observe.stage_finished(timing)
        return StageFinished(timing)


def untold(draft: Draft, told: bool) -> Sequence[AnswerEvent]:
    """What the reader has not been told yet of a finished draft."""
    if told and draft.outcome is not Outcome.FALLBACK:
        # A streaming generator told its pieces itself; where the last check changed them, the last event says so.
        return ()
    text = f"\n\n{draft.text}" if told else draft.text
    pieces = [text[start : start + _PIECE_CHARACTERS] for start in range(0, len(text), _PIECE_CHARACTERS)]
    return (*map(CitationSettled, draft.citations), *map(TextPiece, pieces))
