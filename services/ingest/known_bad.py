"""Files that the parsers refused, so that they are not parsed again and again.

A file is registered by a hash of everything its parsing depends on: its bytes, its name's suffix, its declared media
type, the parsers' version and the limits. Another version of the parsers is another hash, so nothing has to be
forgotten for it. Registered files are refused at once, with the reason of before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Final

from chassis.clock import Clock
from chassis.errors import DocumentRejected, HeadwaterError
from chassis.telemetry.metrics import INGEST_REGISTERED
from corpus.dead_letters import KnownBad, KnownBadContent
from corpus.ids import length_prefixed
from ingest.domain import DocumentChange, Upsert
from ingest.generation import CHUNKER_VERSION
from ingest.parsing.limits import ParseLimits

INGEST_HALTED: Final = "INGEST_HALTED"
"""Reason of an event that waits because its worker does not trust itself."""

PARSERS_VERSION: Final = "1"
"""Changes whenever a file that was refused might be read."""
_PARSING_LIBRARIES: Final = ("trafilatura", "pypdfium2", "markitdown", "pyyaml", "charset-normalizer")

_TWICE: Final = frozenset({"PARSER_TIMEOUT", "PARSER_MEMORY", "PARSER_CRASHED"})
"""Reasons that a busy machine may have a part in: one more try is fair."""
_NOT_THE_FILE: Final = frozenset({"CONTENT_MISSING", "TOO_MANY_CHUNKS"})
"""Reasons that may be none for the next one: how many chunks a file has is for the generation to say, and an operator
may promote one with larger chunks."""
_REGISTERED: Final = "registered"


def parsers_version(limits: ParseLimits, max_chunks: int) -> str:
    """What decides, besides the file itself, whether it can be parsed."""
    libraries = [f"{name}={version(name)}" for name in _PARSING_LIBRARIES]
    return " ".join([PARSERS_VERSION, CHUNKER_VERSION, *libraries, repr(limits), str(max_chunks)])


def is_registered(error: HeadwaterError) -> bool:
    """Whether a file was refused because it was known, without being parsed."""
    return _REGISTERED in error.metadata


@dataclass(frozen=True, slots=True)
class KnownBadFiles:
    """Use case of the worker: asks and tells the registry. ``parsers`` is of ``parsers_version``."""

    registry: KnownBadContent
    clock: Clock
    parsers: str

    def content_key(self, upsert: Upsert) -> str:
        """What a file is registered under."""
        name = PurePosixPath(upsert.draft.filename.replace("\\", "/"))
        said = (self.parsers, upsert.content.sha256, (name.suffix or name.name).lower(), upsert.draft.media_type)
        return hashlib.sha256(length_prefixed(said)).hexdigest()

    async def check(self, tenant_id: str, upsert: Upsert) -> None:
        """Raises DocumentRejected with the earlier reason when the file is known to be bad. Raises
        DependencyUnavailable."""
        known = await self.registry.get(tenant_id, self.content_key(upsert))
        if known is None or known.reason in _NOT_THE_FILE or (known.reason in _TWICE and known.times < 2):
            return
        INGEST_REGISTERED.add(reason=known.reason)
        raise DocumentRejected(
            f"{known.message} (Known since {known.first_seen_at:%Y-%m-%d}; not parsed again.)",
            reason=known.reason,
            metadata={_REGISTERED: known.first_seen_at.isoformat()},
        )

    async def note(self, event: DocumentChange, error: HeadwaterError) -> str:
        """Registers the file of a change that was refused, if the file is what is wrong; returns what it is registered
        under, "" if it is not. Raises DependencyUnavailable."""
        if not isinstance(event.change, Upsert) or not isinstance(error, DocumentRejected):
            return ""
        if error.reason in _NOT_THE_FILE:
            return ""
        key = self.content_key(event.change)
        if not is_registered(error):
            now = self.clock.now()
            await self.registry.note(KnownBad(event.key.tenant_id, key, error.reason, error.message, now, now))
        return key
