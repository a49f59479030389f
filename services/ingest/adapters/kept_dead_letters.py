"""Dead letters on their topic and, exactly once, in the store that operators look at."""

from __future__ import annotations

from dataclasses import replace

from chassis.clock import Clock
from chassis.objectstore.port import ObjectStore
from corpus.dead_letters import DeadLetterStore
from ingest.dead_letters.letters import (
    KeptRecord,
    encode_record,
    event_object_key,
    is_of,
    letter_id_of,
    letter_of,
    without_claim,
)
from ingest.ports import DeadLetters, FailedEvent


class KeptDeadLetters:
    """1. The record goes to the object store, where a replay takes it from. 2. A copy of the letter goes to the topic.
    3. The letter goes to the store. A crash before the third step repeats all of them."""

    def __init__(self, store: DeadLetterStore, objects: ObjectStore, topic: DeadLetters, clock: Clock) -> None:
        self._store = store
        self._objects = objects
        self._topic = topic
        self._clock = clock

    async def record(self, event: FailedEvent) -> None:
        """See the port."""
        known = await self._store.get(letter_id_of(event))
        if known is not None and event.change is None and known.topic != event.topic:
            # Whoever may write to the topic may not write over letters of others.
            event = without_claim(event)
            known = await self._store.get(letter_id_of(event))
        if known is not None and is_of(known, event):
            return
        kept = KeptRecord(event.key, event.value if event.has_value else None, dict(event.headers))
        await self._objects.put(event_object_key(event), encode_record(kept))
        now = self._clock.now()
        first = known.first_failed_at if known else event.first_failed_at or now
        reason = known.first_reason if known else event.first_reason or event.reason
        await self._topic.record(replace(event, first_failed_at=first, first_reason=reason))
        while known is None or not is_of(known, event):
            if await self._store.put(letter_of(event, known, now), expected=known):
                return
            known = await self._store.get(letter_id_of(event))
