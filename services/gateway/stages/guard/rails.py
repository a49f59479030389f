"""The guardrails of the gateway, each None where it is switched off."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.stages.guard.output import OutputGuard
from gateway.stages.guard.question import QuestionGuard


@dataclass(frozen=True, slots=True)
class Guardrails:
    """What stands around answering.

    Attributes:
        question: Refuses questions that steer.
        sources: Whether sentences of sources that steer are kept from the generator.
        output: Takes out foreign links, refuses calls of tools.
    """

    question: QuestionGuard | None = None
    sources: bool = True
    output: OutputGuard | None = None
