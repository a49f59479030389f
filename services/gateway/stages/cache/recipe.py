"""What shapes answers besides the question: code, prompts and settings, as one digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

import gateway
from corpus.ids import length_prefixed

_SUFFIXES: Final = frozenset({".py", ".json", ".txt", ".toml"})
_SHAPING: Final = ("generators", "stages")
"""Folders of the gateway in which answers are made. A change in any of their files is another recipe, so nobody has to
remember to raise a number when a prompt changes."""


def recipe(settings: Mapping[str, object], files: Iterable[Path] = ()) -> str:
    """Digest of the gateway's own code, the settings, and what is in the files."""
    extra = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    described = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(length_prefixed((_code(), described, *extra))).hexdigest()


@lru_cache(maxsize=1)
def _code() -> str:
    root = Path(gateway.__file__).parent
    code = hashlib.sha256()
    for path in sorted(path for folder in _SHAPING for path in (root / folder).rglob("*")):
        if path.suffix in _SUFFIXES:
            name = path.relative_to(root).as_posix()
            code.update(length_prefixed((name, hashlib.sha256(path.read_bytes()).hexdigest())))
    return code.hexdigest()
