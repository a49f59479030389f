"""Several endpoints in order: the next one writes where the one before it failed before its first word.

    first, with retries → second, with retries → EndpointError (the generator then shows the passages)

Two halves of two texts are never joined: from its first word on, an answer is that endpoint's, however it ends.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, Protocol

from chassis.telemetry import logger, metrics
from gateway.generators.openai_compatible.endpoint import Delta, Payer
from gateway.generators.openai_compatible.errors import EndpointError
from gateway.generators.openai_compatible.prompt import Message

_LAST_SHARE: Final = 0.9
"""Of the time that is left, for the last endpoint's first word: an answer that begins at the very end is none."""

_log = logger("generator")


class Completions(Protocol):
    """One endpoint, or several that stand in for each other."""

    def complete(
        self, messages: Sequence[Message], payer: Payer | None = None, seconds: float | None = None
    ) -> AsyncGenerator[Delta, None]:
        """The completion piece by piece, the first within ``seconds``. Raises as ``ChatEndpoint.complete``."""
        ...


@dataclass(frozen=True, slots=True)
class NamedEndpoint:
    """An endpoint, and what answers and metrics call it."""

    name: str
    endpoint: Completions


class ChatEndpoints:
    """See the module.

    Args:
        endpoints: At least one, the preferred one first.
    """

    def __init__(self, endpoints: Sequence[NamedEndpoint]) -> None:
        self._endpoints = tuple(endpoints)

    async def complete(
        self, messages: Sequence[Message], payer: Payer | None = None, seconds: float | None = None
    ) -> AsyncGenerator[Delta, None]:
        """Pieces of the first endpoint that has something to say, under its name. Of ``seconds``, each may use its
        share for its first word: what is left by the endpoints that are left.

        Raises:
            EndpointError: The last one failed, or the one that had begun.
            Overloaded, DependencyUnavailable: As ``ChatEndpoint.complete``; the budget is the same everywhere.
        """
        end = None if seconds is None else time.monotonic() + seconds
        for place, named in enumerate(self._endpoints):
            left = len(self._endpoints) - place
            share = None if end is None else max(0.0, end - time.monotonic()) * (1 / left if left > 1 else _LAST_SHARE)
            begun = False
            try:
                async with aclosing(_spoken(named.endpoint.complete(messages, payer, share), last=left == 1)) as deltas:
                    async for delta in deltas:
                        if not begun:
                            begun = True
                            metrics.GATEWAY_COMPLETIONS.add(1, endpoint=named.name, outcome="begun")
                        yield replace(delta, endpoint=named.name)
                return
            except EndpointError as error:
                metrics.GATEWAY_COMPLETIONS.add(1, endpoint=named.name, outcome="cut_off" if begun else "failed")
                if begun or left == 1:
                    raise
                _log.warning("the next endpoint is asked", endpoint=named.name, cause=str(error))


async def _spoken(deltas: AsyncGenerator[Delta, None], *, last: bool) -> AsyncGenerator[Delta, None]:
    """The same from the first word on; one that ends without any has failed, unless nobody comes after it."""
    held: list[Delta] | None = []
    async with aclosing(deltas):
        async for delta in deltas:
            if held is None:
                yield delta
                continue
            held.append(delta)
            # What was filtered for what it says must not be asked of the next one.
            if delta.text.strip() or delta.finish_reason == "content_filter":
                for each in held:
                    yield each
                held = None
    if held is not None:
        if not last:
            raise EndpointError("nothing was written")
        for each in held:
            yield each
