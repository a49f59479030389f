"""Dead letters, contents known to be bad and halts, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from corpus.adapters.letter_rows import fits, follows
from corpus.dead_letters import Halt, KnownBad, Letter, LetterFilter, LetterState


class MemoryDeadLetterStore:
    """Dead letters within one process."""

    def __init__(self) -> None:
        self._letters: dict[str, Letter] = {}

    async def get(self, letter_id: str) -> Letter | None:
        """The letter or None."""
        return self._letters.get(letter_id)

    async def put(self, letter: Letter, *, expected: Letter | None) -> bool:
        """Compares and sets; see the port."""
        if self._letters.get(letter.letter_id) != expected or letter == expected:
            return False
        self._letters[letter.letter_id] = letter
        return True

    async def list(
        self, which: LetterFilter, *, after: tuple[datetime, str] | None = None, limit: int = 100
    ) -> Sequence[Letter]:
        """A page of letters; see the port."""
        found = sorted(letter.letter_id for letter in self._letters.values() if fits(letter, which))
        letters = sorted((self._letters[i] for i in found), key=lambda letter: letter.last_failed_at, reverse=True)
        return [letter for letter in letters if follows(letter, after)][: max(limit, 0)]

    async def count(self, which: LetterFilter) -> int:
        """Letters that fit."""
        return sum(fits(letter, which) for letter in self._letters.values())

    async def decided_before(self, moment: datetime, limit: int) -> Sequence[Letter]:
        """Letters decided long ago; see the port."""
        decided = [
            (letter.decided_at, letter.letter_id)
            for letter in self._letters.values()
            if letter.state in (LetterState.REPLAYED, LetterState.DISCARDED) and letter.decided_at
        ]
        return [self._letters[i] for at, i in sorted(decided) if at < moment][: max(limit, 0)]

    async def delete(self, letter_id: str) -> None:
        """Forgets a letter."""
        self._letters.pop(letter_id, None)

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's letters."""
        self._letters = {i: letter for i, letter in self._letters.items() if letter.tenant_id != tenant_id}


class MemoryKnownBadContent:
    """Contents known to be bad within one process."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], KnownBad] = {}

    async def get(self, tenant_id: str, content_key: str) -> KnownBad | None:
        """The content or None."""
        return self._known.get((tenant_id, content_key))

    async def note(self, seen: KnownBad) -> None:
        """Registers a content; see the port."""
        known = self._known.get((seen.tenant_id, seen.content_key))
        if known is not None:
            seen = replace(seen, first_seen_at=known.first_seen_at, times=known.times + 1)
        self._known[seen.tenant_id, seen.content_key] = seen

    async def forget(self, tenant_id: str, content_key: str) -> bool:
        """Removes a content."""
        return self._known.pop((tenant_id, content_key), None) is not None

    async def forget_before(self, moment: datetime, limit: int) -> int:
        """Removes contents not seen for long; see the port."""
        old = [place for place, known in self._known.items() if known.last_seen_at < moment][: max(limit, 0)]
        for place in old:
            del self._known[place]
        return len(old)

    async def drop_tenant(self, tenant_id: str) -> None:
        """Removes the tenant's contents."""
        self._known = {place: known for place, known in self._known.items() if place[0] != tenant_id}


class MemoryHalts:
    """Halts within one process."""

    def __init__(self) -> None:
        self._halts: dict[str, Halt] = {}
        self._resume: datetime | None = None

    async def put(self, halt: Halt) -> None:
        """Says that a worker is halted."""
        self._halts[halt.worker] = halt

    async def clear(self, worker: str) -> None:
        """Says that it is not any more."""
        self._halts.pop(worker, None)

    async def list(self) -> Sequence[Halt]:
        """Halted workers by name."""
        return [self._halts[worker] for worker in sorted(self._halts)]

    async def request_resume(self, at: datetime) -> None:
        """Asks workers to go on; see the port."""
        self._resume = max(self._resume, at) if self._resume else at

    async def resume_requested_at(self) -> datetime | None:
        """When that was asked for last."""
        return self._resume
