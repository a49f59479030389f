"""``python -m eval.pii FILE [--json]``: how much personal data is found, by kind, in texts with labelled spans.

FILE is a JSON list of objects with ``full_text`` and ``spans`` of ``entity_type``, ``start_position`` and
``end_position``.
Texts are split in halves by their hash: rules were written while reading the development half only, and the held-out
half is what counts.

A label is found when one entity of its kind covers all of it; a found entity is right when it overlaps such a label.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from corpus.privacy.entities import Entity, EntityKind
from corpus.privacy.find import find_entities
from corpus.privacy.pseudonyms import Pseudonyms
from corpus.privacy.redact import redact

KINDS: Final = {
    "EMAIL_ADDRESS": EntityKind.EMAIL,
    "PHONE_NUMBER": EntityKind.PHONE,
    "CREDIT_CARD": EntityKind.CARD,
    "IBAN_CODE": EntityKind.IBAN,
    "US_SSN": EntityKind.SSN,
    "IP_ADDRESS": EntityKind.IP,
}
RECALL_GOAL: Final = 0.95


@dataclass(slots=True)
class Tally:
    """Of one kind in one half."""

    labelled: int = 0
    covered: int = 0
    found: int = 0
    right: int = 0

    def figures(self) -> dict[str, float | int | None]:
        """The report's figures; None where there is nothing to divide by."""
        return {
            "labelled": self.labelled,
            "recall": round(self.covered / self.labelled, 4) if self.labelled else None,
            "found": self.found,
            "precision": round(self.right / self.found, 4) if self.found else None,
        }


Tallies = dict[EntityKind, Tally]


def is_held_out(identity: str) -> bool:
    """Half of all identities, by their hash."""
    return hashlib.sha256(identity.encode()).digest()[-1] % 2 == 1


def measure(records: list[Mapping[str, Any]]) -> dict[str, Tallies]:
    """Tallies of the "development" and the "held_out" half."""
    halves: dict[str, Tallies] = {
        name: {kind: Tally() for kind in KINDS.values()} for name in ("development", "held_out")
    }
    for record in records:
        tallies = halves["held_out" if is_held_out(record["full_text"]) else "development"]
        _note(tallies, list(_labels(record)), find_entities(record["full_text"], set(KINDS.values())))
    return halves


def _labels(record: Mapping[str, Any]) -> Iterator[Entity]:
    for span in record["spans"]:
        kind = KINDS.get(span["entity_type"])
        if kind is not None:
            yield Entity(kind, span["start_position"], span["end_position"])


def _note(tallies: Tallies, labels: list[Entity], found: tuple[Entity, ...]) -> None:
    for label in labels:
        tally = tallies[label.kind]
        tally.labelled += 1
        tally.covered += any(
            entity.kind is label.kind and entity.start <= label.start and label.end <= entity.end for entity in found
        )
    for entity in found:
        tally = tallies[entity.kind]
        tally.found += 1
        tally.right += any(
            entity.kind is label.kind and entity.start < label.end and label.start < entity.end for label in labels
        )


def _microseconds_per_1000_characters(records: list[Mapping[str, Any]]) -> float:
    texts = [record["full_text"] for record in records]
    started = time.process_time()
    for text in texts:
        find_entities(text)
    return (time.process_time() - started) * 1e9 / sum(map(len, texts))


def pseudonymised(records: list[Mapping[str, Any]]) -> dict[str, float | int]:
    """What pseudonymising the texts gives, with a key for this run: how many pseudonyms stand for how many ways of
    writing a value, and how many of the texts change when it is done once more (none should)."""
    names, values, changed, characters = Pseudonyms(os.urandom(32)), dict[str, str](), 0, 0
    forms: set[str] = set()
    seconds = 0.0
    for record in records:
        own: dict[str, str] = {}
        started = time.process_time()
        text = redact(record["full_text"], name=names.naming("eval", own)).text
        seconds += time.process_time() - started
        changed += redact(text).text != text
        characters += len(record["full_text"])
        forms |= set(own.values())
        values |= own
    return {
        "pseudonyms": len(values),
        "values_as_written": len(forms),
        "texts_changed_again": changed,
        "microseconds_per_1000_characters": round(seconds * 1e9 / characters, 1),
    }


def report(path: Path) -> dict[str, Any]:
    """Figures of the file, by half and kind."""
    records = json.loads(path.read_text("utf-8"))
    halves = {
        half: {kind.value: tally.figures() for kind, tally in tallies.items()}
        for half, tallies in measure(records).items()
    }
    return {
        "texts": len(records),
        **halves,
        "pseudonymised": pseudonymised(records),
        "microseconds_per_1000_characters": round(_microseconds_per_1000_characters(records), 1),
    }


def main() -> int:
    """Prints the figures; 1 when a kind of the held-out half is found less often than the goal."""
    parser = argparse.ArgumentParser(prog="python -m eval.pii", description="Recall and precision by kind.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    figures = report(arguments.file)
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        for half in ("development", "held_out"):
            print(half)
            for kind, row in figures[half].items():
                print(f"  {kind:6} " + "  ".join(f"{name} {value}" for name, value in row.items()))
        print("pseudonymised  " + "  ".join(f"{name} {value}" for name, value in figures["pseudonymised"].items()))
        print(f"{figures['microseconds_per_1000_characters']} µs per 1,000 characters")
    recalls = [row["recall"] for row in figures["held_out"].values() if row["recall"] is not None]
    return int(min(recalls) < RECALL_GOAL)


if __name__ == "__main__":
    sys.exit(main())
