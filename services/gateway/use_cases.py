"""What both edges call."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.forwarding import ForwardedDocuments, ForwardedSearch
from gateway.service import AnswerQuestions, ReplayAnswers


@dataclass(frozen=True, slots=True)
class UseCases:
    """The gateway without its edges."""

    questions: AnswerQuestions
    answers: ReplayAnswers
    search: ForwardedSearch
    documents: ForwardedDocuments
