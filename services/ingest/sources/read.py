"""What a record of the topic of sources means: its format, the mapping that is for it, and what that makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chassis.errors import HeadwaterError, InvalidRequest
from ingest.sources import cloud_events, debezium, s3_events
from ingest.sources.json_text import read_json
from ingest.sources.mapping import CloudEventsMapping, DebeziumMapping, S3Mapping, Sources
from ingest.sources.model import SourceChange, SourceRecord


def read_record(record: SourceRecord, sources: Sources) -> tuple[list[SourceChange], HeadwaterError | None]:
    """The changes that the record means, oldest first, and what is wrong with the rest of it, if anything is. No change
    and no error: the record says nothing about documents.

    Pure and quick, but for the size of the record. Raises InvalidRequest when nothing of it can be used: NO_MAPPING,
    MALFORMED_SOURCE_RECORD, MALFORMED_CLOUD_EVENT, UNKNOWN_SOURCE_FORMAT, and what the formats say.
    """
    if cloud_events.is_binary(record):
        return [_of_event(cloud_events.read_binary(record), sources)], None
    if record.value is None:
        # Debezium's tombstone: it lets a compacted topic forget the key and follows the change event of the delete,
        # which said it all. The topic of sources is not compacted, so that one is never missing.
        return [], None
    content = read_json(record.value)
    if not isinstance(content, Mapping):
        raise _unknown()
    if cloud_events.content_type(record) == cloud_events.STRUCTURED or "specversion" in content:
        return [_of_event(cloud_events.read_structured(content), sources)], None
    if s3_events.is_test(content):
        return [], None
    if (found := s3_events.notifications(content)) is not None:
        return _of_notifications(found, sources)
    envelope = _unwrapped(content)
    if not debezium.is_envelope(envelope):
        raise _unknown()
    return _of_row(envelope, _key(record.key), sources), None


def _of_row(envelope: Mapping[str, object], key: Mapping[str, object], sources: Sources) -> list[SourceChange]:
    source = envelope["source"]
    for name, mapping in sources.sources.items():
        if isinstance(mapping, DebeziumMapping) and isinstance(source, Mapping) and mapping.match.matches(source):
            return debezium.read_envelope(name, mapping, envelope, key)
    raise _unmapped("this table")


def _of_event(event: cloud_events.CloudEvent, sources: Sources) -> SourceChange:
    known = False
    for name, mapping in sources.sources.items():
        if isinstance(mapping, CloudEventsMapping) and mapping.source == event.attributes["source"]:
            known = True
            if event.attributes["type"] in (*mapping.put_types, *mapping.delete_types):
                return cloud_events.read_event(name, mapping, event)
    raise _unmapped("this type of event" if known else "events of this source")


def _of_notifications(
    found: Iterable[Mapping[str, object]], sources: Sources
) -> tuple[list[SourceChange], HeadwaterError | None]:
    changes: list[SourceChange] = []
    problem: HeadwaterError | None = None
    for notification in found:
        try:
            name, mapping = _bucket_of(notification, sources)
            change = s3_events.read_notification(name, mapping, notification)
        except InvalidRequest as error:
            problem = problem or error
        else:
            changes += [change] if change else []
    return changes, problem


def _bucket_of(notification: Mapping[str, object], sources: Sources) -> tuple[str, S3Mapping]:
    bucket, key = s3_events.bucket_and_key(notification)
    for name, mapping in sources.sources.items():
        if isinstance(mapping, S3Mapping) and mapping.bucket_name == bucket and key.startswith(mapping.prefix):
            return name, mapping
    raise _unmapped("this bucket and prefix")


def _unwrapped(content: Mapping[str, object]) -> Mapping[str, object]:
    """Without the wrapper of Kafka Connect's JSON converter (``schemas.enable``)."""
    payload = content.get("payload")
    return payload if "schema" in content and isinstance(payload, Mapping) else content


def _key(key: bytes) -> Mapping[str, object]:
    """The row's key columns, where the record's key is JSON."""
    try:
        content = read_json(key)
    except InvalidRequest:
        return {}
    return _unwrapped(content) if isinstance(content, Mapping) else {}


def _unknown() -> InvalidRequest:
    return InvalidRequest(
        "The record is neither a Debezium change event, nor a CloudEvent, nor an S3 notification.",
        reason="UNKNOWN_SOURCE_FORMAT",
    )


def _unmapped(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"No mapping is declared for {what}; add one to the file of sources and replay the record.", reason="NO_MAPPING"
    )
