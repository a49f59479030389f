"""The registry of generations in memory."""

from __future__ import annotations

from corpus.domain import Generation
from corpus.generation_plan import GenerationPlan


class MemoryGenerations:
    """Generations within one process."""

    def __init__(self) -> None:
        self._plan: GenerationPlan | None = None
        self._notes: dict[tuple[str, str], str] = {}

    async def activate(self, generation: Generation) -> None:
        """Makes the generation the active one; see the port."""
        plan = self._plan
        if plan is None or plan.active != generation:
            self._plan = GenerationPlan(plan.revision + 1 if plan else 1, generation)

    async def active(self) -> Generation | None:
        """The active generation, or None before the first."""
        return self._plan.active if self._plan else None

    async def plan(self) -> GenerationPlan | None:
        """The plan, or None before the first generation."""
        return self._plan

    async def change(self, plan: GenerationPlan) -> bool:
        """Replaces the plan; see the port."""
        if self._plan is None or self._plan.revision != plan.revision - 1:
            return False
        self._plan = plan
        return True

    async def note(self, generation: str, about: str, text: str) -> None:
        """Keeps a text; see the port."""
        self._notes[generation, about] = text

    async def noted(self, generation: str, about: str) -> str:
        """The text, or ""."""
        return self._notes.get((generation, about), "")

    async def forget(self, generation: str) -> None:
        """Removes all texts about the generation."""
        self._notes = {key: text for key, text in self._notes.items() if key[0] != generation}
