"""The registry of generations in memory."""

from __future__ import annotations

from corpus.domain import Generation


class MemoryGenerations:
    """Generations within one process."""

    def __init__(self) -> None:
        self._active: Generation | None = None

    async def activate(self, generation: Generation) -> None:
        """Makes the generation the active one."""
        self._active = generation

    async def active(self) -> Generation | None:
        """The active generation, or None before the first."""
        return self._active
