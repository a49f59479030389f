"""Which generations are kept up to date, and which of them is searched (docs/generations.md).

Nouns
    **Plan**: the one record that says so. It is replaced as a whole, by a compare-and-set of its revision.
    **Beside**: a second generation that is kept up to date while it is not searched: a shadow that may be promoted, or
    the previous one, for a way back.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from chassis.errors import FailedPrecondition
from corpus.domain import Generation


class BesideRole(StrEnum):
    """Why a generation is kept beside the active one."""

    SHADOW = "shadow"
    """It is built, compared, and may be promoted."""
    PREVIOUS = "previous"
    """It was active before; a rollback makes it so again."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The generation beside the active one.

    Attributes:
        generation: Its settings.
        role: Why it is kept.
        since: When it was created, or took this role.
        required: A change is not committed before it is written here too. Otherwise a failure leaves a gap, which is
            filled a moment later.
    """

    generation: Generation
    role: BesideRole
    since: datetime
    required: bool = False


@dataclass(frozen=True, slots=True)
class GenerationPlan:
    """What is kept. Every change of it has the next revision.

    Attributes:
        revision: 1 for the first.
        active: Searched, and always written.
        beside: The other one that is written, or None.
        chosen: ``active`` was promoted by an operator, so the settings no longer say what it should be.
        leaving: Names of generations that are no longer kept, while their rows are still to be removed.
        changed_at, reason: Of the last promotion, rollback or drop; for people.
    """

    revision: int
    active: Generation
    beside: Beside | None = None
    chosen: bool = False
    leaving: tuple[str, ...] = ()
    changed_at: datetime | None = None
    reason: str = ""

    @property
    def kept(self) -> tuple[Generation, ...]:
        """The generations that changes are written to, the active one first."""
        return (self.active,) if self.beside is None else (self.active, self.beside.generation)

    def written_alike(self, other: GenerationPlan) -> bool:
        """Whether a change that was written by one plan is written by the other one too."""

        def wanted(plan: GenerationPlan) -> object:
            return plan.active.name, plan.beside and (plan.beside.generation.name, plan.beside.required)

        return wanted(self) == wanted(other)

    def with_shadow(self, generation: Generation, at: datetime) -> GenerationPlan:
        """Raises FailedPrecondition GENERATION_BESIDE when there is another one already."""
        if self.beside is not None:
            raise FailedPrecondition(
                f"Generation {self.beside.generation.name} is kept beside the active one; drop it first:"
                f" headwater generation drop {self.beside.generation.name}",
                reason="GENERATION_BESIDE",
            )
        return replace(self._next(), beside=Beside(generation, BesideRole.SHADOW, at))

    def requiring(self, required: bool) -> GenerationPlan:
        """With the generation beside the active one required, or not."""
        assert self.beside is not None
        return replace(self._next(), beside=replace(self.beside, required=required))

    def swapped(self, at: datetime, reason: str) -> GenerationPlan:
        """The two change places. What was a shadow is searched, and what was searched is the way back; the other way
        round it is a shadow again."""
        assert self.beside is not None
        role = BesideRole.PREVIOUS if self.beside.role is BesideRole.SHADOW else BesideRole.SHADOW
        beside = Beside(self.active, role, at)
        return replace(
            self._next(), active=self.beside.generation, beside=beside, chosen=True, changed_at=at, reason=reason
        )

    def without_beside(self, at: datetime) -> GenerationPlan:
        """The generation beside the active one is kept no longer, and its rows may go."""
        assert self.beside is not None
        leaving = (*self.leaving, self.beside.generation.name)
        return replace(self._next(), beside=None, leaving=leaving, changed_at=at, reason="dropped")

    def reclaimed(self, name: str) -> GenerationPlan:
        """Nothing is left of a generation that was leaving."""
        return replace(self._next(), leaving=tuple(each for each in self.leaving if each != name))

    def _next(self) -> GenerationPlan:
        return replace(self, revision=self.revision + 1)


def plan_to_text(plan: GenerationPlan) -> str:
    """As stores keep it."""
    return json.dumps(asdict(plan), default=datetime.isoformat, separators=(",", ":"), sort_keys=True)


def plan_from_text(text: str) -> GenerationPlan:
    """Inverse of ``plan_to_text``."""
    row: dict[str, Any] = json.loads(text)
    beside, changed_at = row.get("beside"), row.get("changed_at")
    return GenerationPlan(
        row["revision"],
        Generation(**row["active"]),
        beside
        and Beside(
            Generation(**beside["generation"]),
            BesideRole(beside["role"]),
            datetime.fromisoformat(beside["since"]),
            beside["required"],
        ),
        row.get("chosen", False),
        tuple(row.get("leaving", ())),
        datetime.fromisoformat(changed_at) if changed_at else None,
        row.get("reason", ""),
    )
