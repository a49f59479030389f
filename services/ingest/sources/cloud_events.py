"""CloudEvents 1.0 in Kafka's protocol binding: structured mode is one JSON object (content type
``application/cloudevents+json``), binary mode keeps attributes in headers that begin with ``ce_`` and the data as it
is. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md, and formats/
json-format.md beside it; ``sequence`` is the extension of that name."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from chassis.errors import InvalidRequest
from corpus.domain import MAX_VERSION
from ingest.domain import Lane
from ingest.sources.debezium import metadata, optional, readers, whole_number
from ingest.sources.json_text import read_json
from ingest.sources.mapping import CloudEventsMapping
from ingest.sources.model import Described, SourceChange, SourceRecord

STRUCTURED = "application/cloudevents+json"
_PREFIX = "ce_"
_REQUIRED = ("id", "source", "type")


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """An event: its attributes, its data as bytes, and the data's value where it is JSON."""

    attributes: Mapping[str, object]
    data: bytes | None
    value: object = None

    @property
    def fields(self) -> Mapping[str, object]:
        """What templates see: the attributes, and ``data``."""
        return {**self.attributes, "data": self.value}


def is_binary(record: SourceRecord) -> bool:
    """Whether the record is an event in binary mode."""
    return f"{_PREFIX}specversion" in record.headers


def content_type(record: SourceRecord) -> str:
    """The header's media type, without parameters."""
    value = next((value for name, value in record.headers.items() if name.lower() == "content-type"), b"")
    return value.decode("utf-8", "replace").split(";")[0].strip().lower()


def read_binary(record: SourceRecord) -> CloudEvent:
    """Raises InvalidRequest MALFORMED_CLOUD_EVENT."""
    try:
        attributes: dict[str, object] = {
            name.removeprefix(_PREFIX): value.decode()
            for name, value in record.headers.items()
            if name.startswith(_PREFIX)
        }
    except UnicodeDecodeError:
        raise _malformed("An attribute is not UTF-8.") from None
    attributes["datacontenttype"] = content_type(record)
    _check(attributes)
    value = read_json(record.value) if record.value and _is_json(attributes) else None
    return CloudEvent(attributes, record.value, value)


def read_structured(content: Mapping[str, object]) -> CloudEvent:
    """Raises InvalidRequest MALFORMED_CLOUD_EVENT."""
    attributes = {name: value for name, value in content.items() if name not in ("data", "data_base64")}
    _check(attributes)
    if (encoded := content.get("data_base64")) is not None:
        try:
            data = base64.b64decode(encoded if isinstance(encoded, str) else "?", validate=True)
        except (binascii.Error, ValueError):
            raise _malformed("data_base64 is not base64.") from None
        return CloudEvent(attributes, data, read_json(data) if _is_json(attributes) else None)
    value = content.get("data")
    if value is None:
        return CloudEvent(attributes, None)
    # Data of another type than JSON is a JSON string that holds it.
    text = value if isinstance(value, str) and not _is_json(attributes) else json.dumps(value, ensure_ascii=False)
    return CloudEvent(attributes, text.encode(), value)


def read_event(name: str, mapping: CloudEventsMapping, event: CloudEvent) -> SourceChange:
    """The change that the event means. Raises InvalidRequest: MISSING_FIELD, INVALID_POSITION, INVALID_READERS."""
    fields = event.fields
    version = whole_number(mapping.version.value(fields))
    if version is None or not 0 < version <= MAX_VERSION:
        raise InvalidRequest(
            "The event has no usable version, so nobody can tell what it is older than; send the extension attribute "
            "'sequence' or map another field.",
            reason="INVALID_POSITION",
        )
    document = _described(mapping, event) if str(event.attributes["type"]) in mapping.put_types else None
    return SourceChange(name, mapping.tenant.text(fields), mapping.document_id.identifier(fields), version, document)


def _described(mapping: CloudEventsMapping, event: CloudEvent) -> Described:
    fields = event.fields
    content = mapping.text.text(fields).encode() if mapping.text else event.data
    if content is None:
        raise InvalidRequest("The event has no data to make a document of.", reason="MISSING_FIELD")
    media_type = "text/plain" if mapping.text else str(event.attributes.get("datacontenttype") or "")
    return Described(
        content=content,
        filename=optional(mapping.filename, fields),
        media_type=optional(mapping.media_type, fields) or media_type,
        title=optional(mapping.title, fields),
        doc_type=optional(mapping.doc_type, fields),
        uri=optional(mapping.uri, fields),
        metadata=metadata(mapping.metadata, fields),
        readers=readers(mapping.readers, fields),
        security_level=mapping.security_level,
        lane=Lane.LIVE,
    )


def _is_json(attributes: Mapping[str, object]) -> bool:
    # Without a content type the data of the JSON format is JSON.
    subtype = str(attributes.get("datacontenttype") or "application/json").split(";")[0].rpartition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def _check(attributes: Mapping[str, object]) -> None:
    if attributes.get("specversion") != "1.0":
        raise _malformed("Its specversion is not 1.0.")
    for name in _REQUIRED:
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise _malformed(f"The attribute {name} is missing.")


def _malformed(what: str) -> InvalidRequest:
    return InvalidRequest(f"The record is not a CloudEvent. {what}", reason="MALFORMED_CLOUD_EVENT")
