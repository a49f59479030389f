"""Records the event log of a release: what its consumers were given, and what they made of it.

    python -m tests.golden.events.record v2

writes ``v2/log.jsonl`` (records as they lie on the topics), ``v2/corpus.json`` (tenants, and the documents' bytes by
object key) and ``v2/state.json`` (heads, chunk ids and dead letters after them). Run it once, when a release is made
whose events hold something new; a log that was recorded is never written again, because consumers have to go on reading
what was written then.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.unit.ingest.world import START, TENANT, World, stop, until

from corpus.domain import FieldType
from corpus.metadata import metadata_to_json
from ingest.adapters.event_log import TOPIC_OF
from ingest.codec import BULK_CHANGES_TOPIC, CHANGES_TOPIC, encode_change
from ingest.domain import Delete, DocumentChange, Lane, SetAccess

HERE = Path(__file__).parent
FIELDS = {
    "product": FieldType.STRING,
    "year": FieldType.NUMBER,
    "current": FieldType.BOOLEAN,
    "released": FieldType.TIMESTAMP,
    "release": FieldType.VERSION,
    "tags": FieldType.STRING_LIST,
    "sizes": FieldType.NUMBER_LIST,
}
UNKNOWN_FIELD = b"\xfa\x3f\x05later"
"""Field 1023 of a message, which no release has."""


async def changes(world: World) -> list[tuple[Lane, DocumentChange]]:
    """One of everything that this release can say."""
    metadata = {
        "product": "Kestrel",
        "year": 2026.0,
        "current": True,
        "released": datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        "release": "2.10.1",
        "tags": ("pump", "valve"),
        "sizes": (1.5, 2.0),
        "undeclared": "kept",
    }
    described = {
        "media_type": "text/plain",
        "title": "Pümp manual",
        "doc_type": "manual",
        "uri": "https://example.org/ä?b=1#c",
        "metadata": metadata,
        "security_level": 2,
        "expires_at": datetime(2099, 1, 1, tzinfo=UTC),
    }
    everybody = ("public", "group:staff", "user:ann@example.org")
    two = "One valve.\nTwo pumps.\n"
    live = [
        await world.upsert("described/ä b", 2**62, two, everybody, **described),
        await world.upsert("plain", 1, "Three filters.\n", ()),
        await world.upsert("changed", 5, two),
        await world.upsert("changed", 7, "Three filters.\nFour seals.\n"),
        await world.upsert("changed", 6, "Late.\n"),
        await world.upsert("redescribed", 1, two),
        await world.upsert("redescribed", 2, two, title="New title"),
        await world.upsert("narrowed", 1, two, ("public",)),
        world.event("narrowed", 2, SetAccess(("group:staff",), 3)),
        await world.upsert("deleted", 1, two),
        world.event("deleted", 9, Delete()),
        await world.upsert("deleted", 8, two),
        await world.upsert("back", 1, two),
        world.event("back", 2, Delete()),
        await world.upsert("back", 3, "Four seals.\n"),
        world.event("never-there", 4, Delete()),
        await world.upsert("bad", 1, "BAD bytes\n"),
    ]
    return [*((Lane.LIVE, event) for event in live), (Lane.BULK, await world.upsert("backfilled", 1, two))]


def records(events: list[tuple[Lane, DocumentChange]]) -> list[dict[str, Any]]:
    """As they lie on the topics, with a repetition, a foreign tenant, something unknown and something broken."""
    lines = []
    for lane, event in events:
        key = f"{event.key.tenant_id}/{event.key.document_id}"
        lines.append(_line(TOPIC_OF[lane], key, encode_change(event), event.event_id))
    lines.append(lines[0])
    stranger = events[1][1]
    stranger = replace(stranger, event_id="stranger", key=replace(stranger.key, tenant_id="nobody"))
    lines.append(_line(CHANGES_TOPIC, "nobody/plain", encode_change(stranger), "stranger"))
    later = replace(events[1][1], event_id="later", version=2)
    lines.append(_line(CHANGES_TOPIC, f"{TENANT}/plain", encode_change(later) + UNKNOWN_FIELD, "later"))
    lines.append(_line(BULK_CHANGES_TOPIC, f"{TENANT}/broken", b"\x08\xff", "broken"))
    return lines


def _line(topic: str, key: str, value: bytes, event_id: str) -> dict[str, Any]:
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": "headwater/ingest",
        "ce_type": "headwater.document-change.v1",
        "ce_time": START.isoformat(),
        "content-type": "application/protobuf",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    return {"topic": topic, "key": key, "value": base64.b64encode(value).decode(), "headers": headers}


@asynccontextmanager
async def replayed(corpus: dict[str, Any], lines: list[dict[str, Any]]) -> AsyncIterator[World]:
    """A world whose workers have handled the log."""
    async with World() as world:
        world.clock.advance(timedelta(days=1).total_seconds())
        for tenant_id, fields in corpus["tenants"].items():
            declared = {name: FieldType(field_type) for name, field_type in fields.items()}
            await world.stores.tenants.create(tenant_id, declared, at=START)
        for key, content in corpus["objects"].items():
            await world.stores.objects.put(key, base64.b64decode(content))
        producer = world.stores.log.producer()
        for line in lines:
            headers = {name: value.encode() for name, value in line["headers"].items()}
            await producer.append(line["topic"], line["key"].encode(), base64.b64decode(line["value"]), headers)
        tasks = [asyncio.create_task(lane.run()) for lane in world.lanes()]
        try:
            await until(lambda: _is_done(world), 60)
        finally:
            for task in tasks:
                await stop(task)
        yield world


async def _is_done(world: World) -> bool:
    return not sum((await world.change_log.lag()).values())


async def state(world: World) -> dict[str, Any]:
    """What is served afterwards, and what was refused."""
    heads = {}
    for head in await world.stores.heads.list(TENANT, limit=1000, include_deleted=True):
        chunks = await world.stores.chunks.chunks_of(head.key, head.chunks_version, head.generation)
        heads[head.key.document_id] = {
            "version": head.version,
            "chunks_version": head.chunks_version,
            "state": head.state.value,
            "principals": list(head.principals),
            "tokens": sorted(head.access.tokens),
            "security_level": head.access.security_level,
            "expires_at": head.expires_at.isoformat() if head.expires_at else None,
            "title": head.title,
            "doc_type": head.doc_type,
            "uri": head.uri,
            "filename": head.filename,
            "media_type": head.media_type,
            "metadata": json.loads(metadata_to_json(head.metadata)),
            "content_sha256": head.content_sha256,
            "object_key": head.object_key,
            "generation": head.generation,
            "chunks": [[chunk.chunk_id, chunk.start, chunk.end] for chunk in chunks],
        }
    letters = sorted([letter.reason, letter.document_id] for letter in await world.dead_letters())
    counts = {state.value: count for state, count in (await world.stores.ledger.counts(TENANT)).items()}
    return {"heads": dict(sorted(heads.items())), "dead_letters": letters, "changes": dict(sorted(counts.items()))}


async def record(directory: Path) -> None:
    """Writes the three files."""
    async with World() as world:
        lines = records(await changes(world))
        objects = {key: base64.b64encode(data).decode() for key, data in world.stores.objects.objects.items()}
    corpus = {"tenants": {TENANT: {name: str(value) for name, value in FIELDS.items()}}, "objects": objects}
    async with replayed(corpus, lines) as world:
        after = await state(world)
    directory.mkdir()
    (directory / "log.jsonl").write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
    (directory / "corpus.json").write_text(json.dumps(corpus, indent=1, sort_keys=True) + "\n")
    (directory / "state.json").write_text(json.dumps(after, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].startswith("v"):
        sys.exit("which version? python -m tests.golden.events.record v2")
    target = HERE / sys.argv[1]
    if target.exists():
        sys.exit(f"{target} was recorded already, and what was written then has to be readable for good")
    asyncio.run(record(target))
