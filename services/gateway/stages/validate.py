"""Refuses what can't be a question before anything is spent on it."""

from __future__ import annotations

from collections.abc import Sequence

from chassis.errors import InvalidRequest
from gateway.domain import MAX_BATCH_QUESTIONS, MAX_COMMENT_CHARACTERS, MAX_QUESTION_CHARACTERS, Question
from gateway.plan import MAX_TURN_CHARACTERS, MAX_TURNS, Turn

MAX_CONTEXT_TOKENS = 128_000
"""More than the window of the models in common use; a larger number is a mistake."""
MAX_K = 200


def check_text(text: str) -> None:
    """Raises InvalidRequest unless there is something to look for, of at most 8,192 characters."""
    if not text.strip():
        raise InvalidRequest("The query has no text: send at least one word.", reason="EMPTY_QUERY")
    if len(text) > MAX_QUESTION_CHARACTERS:
        raise InvalidRequest(
            f"The query is longer than {MAX_QUESTION_CHARACTERS:,} characters: shorten it.",
            reason="QUERY_TOO_LONG",
            metadata={"limit": str(MAX_QUESTION_CHARACTERS), "length": str(len(text))},
        )


def check_k(k: int) -> None:
    """Raises InvalidRequest unless 1 ≤ k ≤ 200."""
    if not 1 <= k <= MAX_K:
        raise InvalidRequest(
            f"k must be 1 to {MAX_K}.",
            reason="INVALID_K",
            metadata={"minimum": "1", "maximum": str(MAX_K), "k": str(k)},
        )


def check_question(question: Question) -> None:
    """Raises InvalidRequest for a question that can't be asked."""
    check_text(question.text)
    if question.context_tokens > MAX_CONTEXT_TOKENS:
        raise InvalidRequest(
            f"context_tokens must be at most {MAX_CONTEXT_TOKENS:,}.",
            reason="INVALID_CONTEXT_TOKENS",
            metadata={"maximum": str(MAX_CONTEXT_TOKENS)},
        )
    check_history(question.history)


def check_history(history: Sequence[Turn]) -> None:
    """Raises InvalidRequest for more than 20 turns, or for one whose question or answer is too long."""
    if len(history) > MAX_TURNS:
        raise InvalidRequest(
            f"A conversation has at most {MAX_TURNS} earlier turns: send the last ones.",
            reason="HISTORY_TOO_LONG",
            metadata={"maximum": str(MAX_TURNS), "turns": str(len(history))},
        )
    if any(len(turn.question) > MAX_QUESTION_CHARACTERS or len(turn.answer) > MAX_TURN_CHARACTERS for turn in history):
        raise InvalidRequest("An earlier turn is too long.", reason="TURN_TOO_LONG")


def check_batch_size(items: Sequence[object]) -> None:
    """Raises InvalidRequest unless there are 1 to 64 items."""
    if not 1 <= len(items) <= MAX_BATCH_QUESTIONS:
        raise InvalidRequest(
            f"A batch holds 1 to {MAX_BATCH_QUESTIONS} entries: split it.",
            reason="INVALID_BATCH_SIZE",
            metadata={"maximum": str(MAX_BATCH_QUESTIONS), "size": str(len(items))},
        )


def check_comment(comment: str) -> None:
    """Raises InvalidRequest for a comment of more than 4,096 characters."""
    if len(comment) > MAX_COMMENT_CHARACTERS:
        raise InvalidRequest(
            f"The comment is longer than {MAX_COMMENT_CHARACTERS:,} characters: shorten it.",
            reason="COMMENT_TOO_LONG",
            metadata={"limit": str(MAX_COMMENT_CHARACTERS)},
        )
