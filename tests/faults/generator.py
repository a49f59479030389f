"""Makes changes from a seed, sends them as many sources at once would, and notes what was accepted.

Half of the documents are changed in order, their readers included; of the others upserts and deletes come out of order
and more than once. A call whose outcome is unknown is repeated until it has one: that is the contract of a source.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

from headwater import Client
from headwater.errors import HeadwaterError, OverloadedError, TimeoutExceededError, UnavailableError

UNKNOWN_OUTCOME = (UnavailableError, TimeoutExceededError, OverloadedError)
READERS = (("public",), ("group:eng",), ("group:eng", "group:eng-admins"), ("user:bob@x",), ())
FILENAME = "notice.txt"
DUPLICATES = 0.1
WINDOW = 6.0
"""How far, in changes of its document, one may come too late."""
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one document."""

    document_id: str
    version: int
    kind: Literal["upsert", "delete", "access"]
    text: str = ""
    readers: tuple[str, ...] = ()
    level: int = 0


def plan(seed: int, events: int, documents: int, *, prefix: str = "doc") -> list[list[Event]]:
    """Changes by document, in the order in which they are sent; about ``events`` in all."""
    dice = random.Random(seed)
    counts = [events // documents + (number < events % documents) for number in range(documents)]
    return [_of_document(dice, f"{prefix}-{number:04}", count, number % 2 == 0) for number, count in enumerate(counts)]


def _of_document(dice: random.Random, document_id: str, count: int, in_order: bool) -> list[Event]:
    made = [_event(dice, document_id, version, in_order) for version in range(1, count + 1)]
    if in_order:
        return made
    late = sorted(made, key=lambda event: event.version + dice.uniform(0, WINDOW))
    return [each for event in late for each in ([event, event] if dice.random() < DUPLICATES else [event])]


def _event(dice: random.Random, document_id: str, version: int, in_order: bool) -> Event:
    kind = dice.random()
    readers, level = dice.choice(READERS), dice.choice((0, 0, 1))
    if version > 1 and kind < 0.1:
        return Event(document_id, version, "delete")
    if version > 1 and in_order and kind < 0.3:
        return Event(document_id, version, "access", readers=readers, level=level)
    text = f"Notice {dice.getrandbits(40):010x} of {document_id}: pump {version} runs {dice.choice(('slow', 'hot'))}."
    return Event(document_id, version, "upsert", text, readers, level)


@dataclass
class Source:
    """Sends a plan over a few connections; of one document everything over the same one, one after the other."""

    connect: Callable[[], AbstractContextManager[Client]]
    planned: Sequence[Sequence[Event]]
    connections: int = 4
    accepted: list[tuple[Event, str]] = field(default_factory=list)
    """Changes that a receipt was given for, with the event's id, in that order."""
    unknown: int = 0
    """Calls that failed without saying whether the change was accepted."""
    failures: list[BaseException] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begins to send."""
        shares = [self.planned[number :: self.connections] for number in range(self.connections)]
        self._threads = [threading.Thread(target=self._send_all, args=(share,), daemon=True) for share in shares]
        for thread in self._threads:
            thread.start()

    @property
    def is_done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def join(self, seconds: float) -> None:
        """Waits until everything is accepted. Raises what no repetition could mend."""
        for thread in self._threads:
            thread.join(seconds)
        done = self.is_done
        self._stopped.set()
        if self.failures:
            raise self.failures[0]
        if not done:
            raise TimeoutError(f"{len(self.accepted)} changes accepted, and the rest not in time.")

    def _send_all(self, documents: Sequence[Sequence[Event]]) -> None:
        try:
            with self.connect() as client:
                # A round of each document: changes of one document then lie among those of many others.
                for turn in range(max(map(len, documents), default=0)):
                    for events in documents:
                        if turn < len(events):
                            self._send(client, events[turn])
        except (HeadwaterError, AssertionError) as error:
            self.failures.append(error)

    def _send(self, client: Client, event: Event) -> None:
        while not self._stopped.is_set():
            try:
                receipt_of = _call(client, event)
            except UNKNOWN_OUTCOME:
                self.unknown += 1
                self._stopped.wait(PAUSE_SECONDS)
            else:
                self.accepted.append((event, receipt_of))
                return


def _call(client: Client, event: Event) -> str:
    document_id, version = event.document_id, event.version
    match event.kind:
        case "upsert":
            described = {"filename": FILENAME, "readers": event.readers, "security_level": event.level}
            return client.put_document(document_id, event.text.encode(), version=version, **described).event_id
        case "delete":
            return client.delete_document(document_id, version=version).event_id
        case "access":
            readers, level = event.readers, event.level
            changed = client.set_document_access(document_id, readers, security_level=level, version=version)
            return changed.event_id
