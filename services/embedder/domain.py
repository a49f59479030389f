"""What is asked of the embedder, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from chassis.errors import FailedPrecondition, InvalidRequest
from inference.domain import Priority, TextKind


class ModelMismatch(FailedPrecondition):
    """The caller's index was made with another model than the one that is loaded."""

    default_reason = "MODEL_MISMATCH"


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to embed.

    Attributes:
        texts: At least one; may be empty strings.
        kind: Which prompt goes in front.
        priority: Whether somebody waits.
        expected_revision: Revision that the caller's index was made with; empty if any will do.
    """

    texts: tuple[str, ...]
    kind: TextKind
    priority: Priority
    expected_revision: str = ""


def check(request: EmbeddingRequest, *, max_texts: int, revision: str) -> None:
    """Refuses what can't be answered, before any work is done for it.

    Raises:
        InvalidRequest: There is no text, or too many.
        ModelMismatch: Vectors of the loaded model would not be comparable with the caller's.
    """
    if not request.texts:
        raise InvalidRequest("There is no text to embed.", reason="NO_TEXTS")
    if len(request.texts) > max_texts:
        raise InvalidRequest(
            f"A request holds at most {max_texts} texts: split it.",
            reason="TOO_MANY_TEXTS",
            metadata={"limit": str(max_texts), "texts": str(len(request.texts))},
        )
    if request.expected_revision not in ("", revision):
        raise ModelMismatch(
            "Another model is loaded than the caller's index was made with: re-index, or load that model.",
            metadata={"expected": request.expected_revision, "loaded": revision},
        )
