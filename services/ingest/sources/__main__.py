"""``python -m ingest.sources check MAPPINGS [RECORD …]`` and ``… send RECORD …``: see ``headwater sources --help``.

Prints one JSON object. Exits 0, 1 when a record is refused, 65 (EX_DATAERR) when the mappings can't be used, 75
(EX_TEMPFAIL) when the log can't be reached, 78 when the settings can't be used.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chassis.errors import DeadlineExceeded, DependencyUnavailable, HeadwaterError, InvalidRequest, Overloaded
from chassis.lifecycle import Lifecycle
from chassis.settings import EXIT_CONFIGURATION, ConfigurationError, read_settings
from corpus.engines import open_engines
from ingest.codec import SOURCES_TOPIC
from ingest.settings import IngestSettings
from ingest.sources.mapping import Sources, load_sources
from ingest.sources.model import Described, RemoteObject, SourceChange, SourceRecord
from ingest.sources.read import read_record
from ingest.topics import topics

EXIT_REFUSED: Final = 1
EXIT_MAPPINGS: Final = 65
EXIT_UNREACHABLE: Final = 75
_SHOWN_CHARACTERS = 2000
_SECONDS = 60.0


def main() -> int:
    """Runs one command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="ingest.sources", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check, send = commands.add_parser("check"), commands.add_parser("send")
    check.add_argument("mappings", type=Path)
    check.add_argument("records", type=Path, nargs="*")
    send.add_argument("records", type=Path, nargs="+")
    for each in (check, send):
        each.add_argument("--key", default="")
        each.add_argument("--header", action="append", default=[], type=_header)
    given = parser.parse_args()
    try:
        records = {
            str(path): SourceRecord(given.key.encode(), path.read_bytes(), dict(given.header)) for path in given.records
        }
        if given.command == "send":
            asyncio.run(_send(list(records.values())))
            return _answer({"sent": len(records)}, 0)
        sources = load_sources(given.mappings)
    except ConfigurationError as error:
        return _answer({"error": str(error), "reason": "CONFIGURATION"}, EXIT_CONFIGURATION)
    except OSError as error:
        return _answer({"error": f"{error.filename}: {error.strerror}", "reason": "UNREADABLE_FILE"}, EXIT_MAPPINGS)
    except ValueError as error:
        return _answer({"error": str(error), "reason": "INVALID_MAPPINGS"}, EXIT_MAPPINGS)
    except (DependencyUnavailable, Overloaded, DeadlineExceeded, TimeoutError) as error:
        reason = getattr(error, "reason", "TIMEOUT")
        return _answer({"error": str(error) or "The log did not answer in time.", "reason": reason}, EXIT_UNREACHABLE)
    except HeadwaterError as error:
        return _answer({"error": error.message, "reason": error.reason}, EXIT_REFUSED)
    shown = [{"record": name, **_meaning(record, sources)} for name, record in records.items()]
    refused = any("refused" in each for each in shown)
    return _answer({"sources": sorted(sources.sources), "records": shown}, EXIT_REFUSED if refused else 0)


def _header(text: str) -> tuple[str, bytes]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("write a header as name=value")
    return name, value.encode()


def _meaning(record: SourceRecord, sources: Sources) -> Mapping[str, Any]:
    try:
        changes, problem = read_record(record, sources)
    except InvalidRequest as error:
        changes, problem = [], error
    meaning: dict[str, Any] = {"changes": [_shown(change) for change in changes]}
    if problem is not None:
        meaning["refused"] = {"reason": problem.reason, "message": problem.message}
    return meaning


def _shown(change: SourceChange) -> Mapping[str, Any]:
    where = {
        "source": change.source,
        "tenant": change.tenant_id,
        "document": change.document_id,
        "version": change.version,
    }
    if change.document is None:
        return {"change": "delete", **where}
    return {"change": "put", **where, **_described(change.document)}


def _described(document: Described) -> Mapping[str, Any]:
    content = document.content
    if isinstance(content, RemoteObject):
        text = f"(the object {content.key})"
    else:
        text = content.decode(errors="replace")[:_SHOWN_CHARACTERS]
    return {
        "readers": list(document.readers),
        "title": document.title,
        "doc_type": document.doc_type,
        "uri": document.uri,
        "filename": document.filename,
        "media_type": document.media_type,
        "metadata": dict(document.metadata),
        "security_level": document.security_level,
        "lane": document.lane.value,
        "text": text,
    }


async def _send(records: list[SourceRecord]) -> None:
    settings = read_settings(IngestSettings)
    lifecycle = Lifecycle(settings)
    async with asyncio.timeout(_SECONDS), lifecycle.stack:
        engines = open_engines(lifecycle, settings)
        await engines.prepare(topics(settings.partitions))
        producer = engines.event_log().producer()
        for record in records:
            await producer.append(SOURCES_TOPIC, record.key, record.value, record.headers)


def _answer(answer: Mapping[str, Any], code: int) -> int:
    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
