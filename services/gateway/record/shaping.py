"""Which settings shape which stage of an answer, and what of them a record keeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

_STAGES: Final = (
    ("guard_question", "guard"),
    ("guard_sources", "context"),
    ("guard_output", "generation"),
    ("answer_link", "generation"),
    ("understand_", "understanding"),
    ("ask_", "retrieval"),
    ("min_", "context"),
    ("context_", "context"),
    ("generator", "generation"),
    ("openai_", "generation"),
    ("over_", "generation"),
    ("verify", "verification"),
)
_DIGITS: Final = 12


def chosen(values: Mapping[str, object], defaults: Mapping[str, object]) -> dict[str, str]:
    """Those settings that are not their defaults: numbers and switches as they are, anything else as a digest, since
    records are read by people who may not know of addresses and files."""
    return {name: _shown(value) for name, value in values.items() if value != defaults.get(name)}


def stage_of(setting: str) -> str:
    """The stage that a setting shapes; empty for one that none is known of."""
    return next((stage for prefix, stage in _STAGES if setting.startswith(prefix)), "")


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, list[str]]:
    """For each stage, what of its settings differs, for people."""
    found: dict[str, list[str]] = {}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            words = f"setting {name} changed{_values(before.get(name), after.get(name))}"
            found.setdefault(stage_of(name), []).append(words)
    return found


def _shown(value: object) -> str:
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return "#" + hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()[:_DIGITS]


def _values(before: str | None, after: str | None) -> str:
    if any(each is not None and each.startswith("#") for each in (before, after)):
        return ""
    return f": {before or 'default'} → {after or 'default'}"
