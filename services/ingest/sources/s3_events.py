"""S3 event notifications: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html,
also as MinIO sends them. Not as Ceph does, whose sequencers are a clock's bytes as they lie in memory, in no order.

Of two notifications about one key the one with the greater ``sequencer`` is the later one. Sequencers are hexadecimal
and may differ in length: the shorter one is padded with zeros on its right before they are compared (same page). Padded
to a fixed length they are numbers, and so versions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import unquote_plus

from chassis.errors import InvalidRequest
from corpus.domain import MAX_VERSION
from ingest.domain import Lane
from ingest.sources.debezium import metadata, optional, readers
from ingest.sources.mapping import S3Mapping
from ingest.sources.model import Described, RemoteObject, SourceChange

_CREATED = ("ObjectCreated:",)
_REMOVED = ("ObjectRemoved:", "LifecycleExpiration:")
_OF_A_VERSION = ("ObjectRemoved:Delete", "LifecycleExpiration:Delete")
"""With a version's id, they say that this version is gone, and nothing about the others."""
_SEQUENCER = re.compile(r"[0-9A-Fa-f]+")


def is_test(content: Mapping[str, object]) -> bool:
    """Whether this is what S3 sends when notifications are set up."""
    return content.get("Event") == "s3:TestEvent"


def notifications(content: Mapping[str, object]) -> list[Mapping[str, object]] | None:
    """The notifications of a record, or None when it is something else."""
    records = content.get("Records")
    if not isinstance(records, list) or not all(isinstance(record, Mapping) and "s3" in record for record in records):
        return None
    return records


def bucket_and_key(notification: Mapping[str, object]) -> tuple[str, str]:
    """What it is about. Raises InvalidRequest MALFORMED_SOURCE_RECORD."""
    s3 = _of(notification, "s3")
    bucket, key = _of(s3, "bucket").get("name"), _of(s3, "object").get("key")
    if not (isinstance(bucket, str) and isinstance(key, str) and bucket and key):
        raise InvalidRequest("The notification names no bucket or key.", reason="MALFORMED_SOURCE_RECORD")
    return bucket, unquote_plus(key)


def read_notification(name: str, mapping: S3Mapping, notification: Mapping[str, object]) -> SourceChange | None:
    """The change that it means; None for what changes no content, and for objects that nobody wants. Raises
    InvalidRequest: INVALID_POSITION, MISSING_FIELD."""
    _, key = bucket_and_key(notification)
    event = str(notification.get("eventName", "")).removeprefix("s3:")
    created = event.startswith(_CREATED)
    if key.endswith("/") or (mapping.suffixes and not key.endswith(mapping.suffixes)):
        return None
    if not created and not event.startswith(_REMOVED):
        return None
    about = _of(_of(notification, "s3"), "object")
    version = _version(about.get("sequencer"), mapping.sequencer_digits)
    fields = {"key": key, "bucket": mapping.bucket_name, "size": about.get("size"), "etag": about.get("eTag")}
    look = created or (event in _OF_A_VERSION and bool(about.get("versionId")))
    return SourceChange(
        source=name,
        tenant_id=mapping.tenant.text(fields),
        document_id=mapping.document_id.identifier(fields),
        version=version,
        document=_described(name, mapping, fields) if look else None,
    )


def gone(change: SourceChange) -> SourceChange:
    """The same, of an object that the bucket does not have any more."""
    return replace(change, document=None)


def _described(name: str, mapping: S3Mapping, fields: Mapping[str, object]) -> Described:
    key = str(fields["key"])
    return Described(
        content=RemoteObject(name, key),
        filename=optional(mapping.filename, fields) or key.rpartition("/")[2],
        media_type=optional(mapping.media_type, fields),
        title=optional(mapping.title, fields),
        doc_type=optional(mapping.doc_type, fields),
        uri=optional(mapping.uri, fields) or f"s3://{mapping.bucket_name}/{key}",
        metadata=metadata(mapping.metadata, fields),
        readers=readers(mapping.readers, fields),
        security_level=mapping.security_level,
        lane=Lane.LIVE,
    )


def _version(sequencer: object, digits: int) -> int:
    if isinstance(sequencer, str) and _SEQUENCER.fullmatch(sequencer) and len(sequencer) <= digits:
        version = int(sequencer.ljust(digits, "0"), 16)
        if 0 < version <= MAX_VERSION:
            return version
    raise InvalidRequest(
        f"The notification has no sequencer of at most {digits} digits below 2^63; see sequencer_digits.",
        reason="INVALID_POSITION",
    )


def _of(value: Mapping[str, object], name: str) -> Mapping[str, object]:
    inner = value.get(name)
    return inner if isinstance(inner, Mapping) else {}
