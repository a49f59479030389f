"""The sample corpus and its golden set as typed records: what `check_golden` checks and an evaluation run asks.

A *case* is one question with what is known about its answer. A *quote* is a passage that answers a question; it
occurs verbatim in the plain text of its document once runs of white space are read as one space (`normalise`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

EVAL_DIRECTORY = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class SampleDocument:
    """One document of the corpus; empty `groups` means that every caller of the tenant may read it."""

    document_id: str
    path: Path
    title: str
    doc_type: str
    groups: frozenset[str]
    metadata: Mapping[str, str | list[str]]

    def readable_by(self, groups: frozenset[str]) -> bool:
        """Returns whether a caller in these groups may read the document."""
        return not self.groups or bool(self.groups & groups)


@dataclass(frozen=True, slots=True)
class Passage:
    """A quote that answers, and the document it stands in."""

    document_id: str
    quote: str


@dataclass(frozen=True, slots=True)
class AnswerableCase:
    """A question that the corpus answers.

    `expected` are all passages that answer; a search hits when one of them is found. For `comparison` and
    `multi_hop` a complete answer needs more than one. `answer_contains` is a conjunction of alternatives: of each
    inner tuple at least one string must occur in the answer.
    """

    case_id: str
    question: str
    kind: str
    groups: frozenset[str]
    expected: tuple[Passage, ...]
    answer_contains: tuple[tuple[str, ...], ...]
    filter: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class UnanswerableCase:
    """A question that no document answers; `absent` are words of the missing fact, found nowhere in the corpus."""

    case_id: str
    question: str
    groups: frozenset[str]
    absent: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Caller:
    """A named person of `access.yaml`."""

    name: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class AccessCase:
    """A question whose only answering document one caller may read and another may not."""

    case_id: str
    question: str
    passage: Passage
    answer_contains: tuple[tuple[str, ...], ...]
    allowed: Caller
    denied: Caller


@dataclass(frozen=True, slots=True)
class InjectionCase:
    """A question that brings up text with planted instructions; an answer must not contain what they ask for."""

    case_id: str
    question: str
    groups: frozenset[str]
    passage: Passage
    must_not_contain: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """Everything that the files of one evaluation directory say."""

    tenant: str
    metadata_fields: Mapping[str, str]
    known_groups: frozenset[str]
    documents: tuple[SampleDocument, ...]
    answerable: tuple[AnswerableCase, ...]
    unanswerable: tuple[UnanswerableCase, ...]
    access: tuple[AccessCase, ...]
    injection: tuple[InjectionCase, ...]


def normalise(text: str) -> str:
    """Returns the text with every run of white space as one space: how quotes and texts are compared."""
    return " ".join(text.split())


def load_golden_set(directory: Path = EVAL_DIRECTORY) -> GoldenSet:
    """Reads the manifest, the access file and the four case files of a directory.

    Raises:
        OSError: a file is missing.
        KeyError: a record lacks a field.
        ValueError: a file is not valid JSON.
    """
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    access = yaml.safe_load((directory / "access.yaml").read_text(encoding="utf-8"))
    callers = {name: Caller(name, frozenset(entry["groups"])) for name, entry in access["callers"].items()}
    return GoldenSet(
        tenant=access["tenant"],
        metadata_fields=manifest["metadata_fields"],
        known_groups=frozenset(access["groups"]),
        documents=tuple(_document(directory, entry) for entry in manifest["documents"]),
        answerable=tuple(_answerable(row) for row in _rows(directory / "golden.jsonl")),
        unanswerable=tuple(
            UnanswerableCase(row["id"], row["question"], frozenset(row["groups"]), tuple(row["absent"]), row["why"])
            for row in _rows(directory / "unanswerable.jsonl")
        ),
        access=tuple(_access(row, callers) for row in _rows(directory / "access_cases.jsonl")),
        injection=tuple(
            InjectionCase(
                row["id"],
                row["question"],
                frozenset(row["groups"]),
                Passage(row["document_id"], row["quote"]),
                tuple(row["must_not_contain"]),
            )
            for row in _rows(directory / "injection_cases.jsonl")
        ),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _document(directory: Path, entry: Mapping[str, Any]) -> SampleDocument:
    return SampleDocument(
        entry["document_id"],
        directory / entry["file"],
        entry["title"],
        entry["doc_type"],
        frozenset(entry["groups"]),
        entry["metadata"],
    )


def _answerable(row: Mapping[str, Any]) -> AnswerableCase:
    return AnswerableCase(
        row["id"],
        row["question"],
        row["kind"],
        frozenset(row["groups"]),
        tuple(Passage(item["document_id"], item["quote"]) for item in row["expected"]),
        tuple(map(tuple, row["answer_contains"])),
        row.get("filter"),
    )


def _access(row: Mapping[str, Any], callers: Mapping[str, Caller]) -> AccessCase:
    return AccessCase(
        row["id"],
        row["question"],
        Passage(row["document_id"], row["quote"]),
        tuple(map(tuple, row["answer_contains"])),
        callers[row["allowed"]],
        callers[row["denied"]],
    )
