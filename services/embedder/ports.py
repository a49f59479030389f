"""What the embedder needs from an engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from inference.domain import Embeddings, ModelInfo, Priority, TextKind


class Engine(Protocol):
    """A loaded model behind one queue, in this process or in a cluster of replicas.

    Nothing here blocks the event loop. A caller that is cancelled costs nothing more than the pass under way.
    """

    @property
    def info(self) -> ModelInfo:
        """The loaded model; the same for the life of the engine."""
        ...

    @property
    def works(self) -> bool:
        """Whether it can answer; False after something in it has died for good."""
        ...

    async def close(self) -> None:
        """Ends it; who still waits gets DependencyUnavailable."""
        ...

    async def embed(self, texts: Sequence[str], kind: TextKind, priority: Priority) -> Embeddings:
        """Vectors in the order of the texts; a text without tokens gets zeros and is flagged, a text longer than the
        window is cut and flagged. The vector of a text does not depend on what else is in the call. Raises Overloaded
        when too much waits."""
        ...
