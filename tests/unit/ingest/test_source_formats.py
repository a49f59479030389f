"""Records of other systems mean the changes that their formats say, and nothing is guessed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.ingest.sources_world import content, debezium, golden, sources

from chassis.errors import InvalidRequest
from ingest.domain import Lane
from ingest.sources.debezium import RANKS, Rank, read_envelope
from ingest.sources.mapping import DebeziumMapping
from ingest.sources.model import Described, RemoteObject, SourceChange, SourceRecord
from ingest.sources.read import read_record

MINIMAL = {
    "format": "debezium",
    "match": {"table": "articles"},
    "tenant": "acme",
    "document_id": "articles/{id}",
    "text": "{body}",
}
STRUCTURED = {"content-type": b"application/cloudevents+json; charset=UTF-8"}


def changes(record: SourceRecord) -> list[SourceChange]:
    found, problem = read_record(record, sources())
    assert problem is None
    return found


def only(record: SourceRecord) -> SourceChange:
    (change,) = changes(record)
    return change


def said(change: SourceChange) -> Described:
    assert change.document is not None
    return change.document


def edited(name: str, **parts: Any) -> SourceRecord:
    """A golden envelope with other parts."""
    return SourceRecord(b'{"id": 1004}', json.dumps({**content(name), **parts}).encode())


def refused(record: SourceRecord) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read_record(record, sources())
    return caught.value.reason


# -- Debezium ----------------------------------------------------------------------------------------------------------


def test_an_inserted_row_is_a_document_at_the_position_of_its_insert() -> None:
    change = only(debezium("debezium-create"))
    assert (change.source, change.tenant_id, change.document_id) == ("articles", "acme", "articles/1004")
    assert change.version == 24023128 * RANKS + Rank.WRITTEN
    document = said(change)
    assert document.content == b"# Pump manual\n\nOpen the valve, then start the pump.\n"
    assert document.readers == ("group:service",)
    assert document.metadata == {"year": 2026, "tags": ["pump", "valve"]}
    assert (document.title, document.doc_type) == ("Pump manual", "article")
    assert document.uri == "https://shop.example/articles/1004"
    assert document.lane is Lane.LIVE


def test_the_schema_wrapper_changes_nothing() -> None:
    wrapped = debezium("debezium-create-wrapped", content("debezium-key-wrapped"))
    assert changes(wrapped) == changes(debezium("debezium-create"))


def test_a_snapshot_is_a_backfill_and_older_than_the_first_change_after_it() -> None:
    read = only(debezium("debezium-read"))
    assert said(read).lane is Lane.BULK
    at_the_same_place = {**content("debezium-update")}
    at_the_same_place["source"] = content("debezium-read")["source"]
    written = only(SourceRecord(b'{"id": 1004}', json.dumps(at_the_same_place).encode()))
    assert read.version < written.version


def test_a_transaction_that_is_open_over_a_snapshot_counts_as_older_unless_a_column_tells() -> None:
    """What docs/sources.md warns of: PostgreSQL's positions are those of the write, not of the commit."""

    def version(how: str, name: str, lsn: int, revision: int) -> int:
        mapping = DebeziumMapping.model_validate({**MINIMAL, "version": how})
        envelope = content(name)
        envelope["source"]["lsn"] = lsn
        envelope["after"]["revision"] = revision
        (change,) = read_envelope("articles", mapping, envelope, {"id": 1004})
        return change.version

    # Written at 150, not yet to be seen by the snapshot at 200, committed after it.
    for how, is_newer in (("lsn", False), ("{revision}", True)):
        read, written = version(how, "debezium-read", 200, 1), version(how, "debezium-update", 150, 2)
        assert (written > read) is is_newer


def test_a_deleted_row_is_a_deleted_document_though_only_its_key_is_known() -> None:
    change = only(debezium("debezium-delete"))
    assert change.document is None
    assert change.document_id == "articles/1004"
    assert change.version > only(debezium("debezium-update")).version


def test_a_tombstone_says_nothing_that_its_delete_did_not_say() -> None:
    assert changes(SourceRecord(b'{"id": 1004}', None)) == []


def test_an_update_that_changes_the_id_deletes_the_old_document() -> None:
    deleted, written = changes(debezium("debezium-update-full", {"id": 2004}))
    assert (deleted.document_id, deleted.document) == ("articles/1004", None)
    assert (written.document_id, said(written).title) == ("articles/2004", "Pump manual")
    assert deleted.version > only(debezium("debezium-create")).version


def test_a_value_that_the_update_left_out_is_never_taken_for_text() -> None:
    assert refused(debezium("debezium-toast")) == "VALUE_UNAVAILABLE"


@pytest.mark.parametrize(
    "written",
    [
        ["__debezium_unavailable_value"],
        list(b"__debezium_unavailable_value"),
        {"__debezium_unavailable_value": "__debezium_unavailable_value"},
        "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
    ],
)
@pytest.mark.parametrize("column", ["tags", "year"])
def test_what_stands_for_a_left_out_value_is_never_metadata_either(column: str, written: object) -> None:
    row = {**content("debezium-update")["after"], column: written}
    assert refused(edited("debezium-update", after=row)) == "VALUE_UNAVAILABLE"


def test_a_truncated_table_is_not_ignored() -> None:
    assert refused(debezium("debezium-truncate")) == "UNKNOWN_OPERATION"


@pytest.mark.parametrize(
    ("lsn", "position"), [(24023128, 24023128), ("24023128", 24023128), ("0/16E9058", 24023128), ("1/0", 2**32)]
)
def test_positions_are_read_as_debezium_and_as_postgresql_write_them(lsn: object, position: int) -> None:
    source = {**content("debezium-create")["source"], "lsn": lsn}
    assert only(edited("debezium-create", source=source)).version == position * RANKS + Rank.WRITTEN


@pytest.mark.parametrize("op", ["r", "c", "u", "d"])
def test_nothing_happens_at_position_zero(op: str) -> None:
    row = content("debezium-create")["after"]
    source = {**content("debezium-create")["source"], "lsn": 0}
    parts = {"before": row if op == "d" else None, "after": None if op == "d" else row, "source": source}
    assert refused(edited("debezium-create", op=op, **parts)) == "INVALID_POSITION"


@pytest.mark.parametrize("lsn", [None, 0, -1, 0.5, True, "", "x", "1/2/3", 2**61, "9" * 30, [1], "123456789/0"])
def test_a_record_without_a_usable_position_is_refused(lsn: object) -> None:
    source = {**content("debezium-create")["source"], "lsn": lsn}
    assert refused(edited("debezium-create", source=source)) == "INVALID_POSITION"


def test_a_database_that_begins_anew_is_newer_in_the_next_epoch() -> None:
    def version(epoch: int, lsn: int) -> int:
        mapping = DebeziumMapping.model_validate({**MINIMAL, "epoch": epoch})
        envelope = content("debezium-create")
        envelope["source"]["lsn"] = lsn
        (change,) = read_envelope("articles", mapping, envelope, {"id": 1004})
        return change.version

    assert version(0, 2**55) < version(1, 1) < version(1, 2**56 - 1) < version(2, 1) < version(31, 2**56 - 1) < 2**63
    with pytest.raises(InvalidRequest):
        version(1, 2**56)


def test_an_update_needs_no_version_of_the_row_before_unless_its_id_changed() -> None:
    mapping = DebeziumMapping.model_validate({**MINIMAL, "version": "{revision}"})

    def read(op: str, before: object, after: object) -> list[SourceChange]:
        envelope = {**content("debezium-create"), "op": op, "before": before, "after": after}
        return read_envelope("articles", mapping, envelope, {"id": 1})

    # PostgreSQL's default replica identity: the row before is not told.
    (updated,) = read("u", None, {"id": 1, "body": "Two.", "revision": 2})
    assert updated.version == 2 * RANKS + Rank.WRITTEN
    old = {"id": 1, "revision": 2}
    deleted, written = read("u", old, {"id": 5, "body": "Three.", "revision": 3})
    assert (deleted.document_id, deleted.version) == ("articles/1", 2 * RANKS + Rank.DELETED)
    assert (written.document_id, written.version) == ("articles/5", 3 * RANKS + Rank.WRITTEN)
    (gone,) = read("d", old, None)
    assert gone.version == 2 * RANKS + Rank.DELETED
    with pytest.raises(InvalidRequest) as caught:
        read("d", {"id": 1}, None)
    assert caught.value.reason == "INVALID_POSITION"


def test_positions_of_a_binlog_grow_over_its_files() -> None:
    def version(file: str, position: int) -> int:
        envelope = content("debezium-mysql-create")
        envelope["source"].update(file=file, pos=position)
        return only(SourceRecord(b'{"id":7}', json.dumps(envelope).encode())).version

    positions = [("mysql-bin.000003", 484), ("mysql-bin.000003", 2**32), ("mysql-bin.000004", 4), ("b.1000000", 4)]
    versions = [version(*position) for position in positions]
    assert versions == sorted(set(versions))


def notes(op: str, number: int, row: object, pos: int = 484) -> SourceChange:
    """One row of a Rows event of MySQL's log."""
    envelope = content("debezium-mysql-create")
    envelope["source"].update(row=row, pos=pos)
    said = {"id": number, "note": f"Note {number}"}
    envelope.update(op=op, before=said if op != "c" else None, after=said if op != "d" else None)
    return only(SourceRecord(json.dumps({"id": number}).encode(), json.dumps(envelope).encode()))


def test_rows_of_one_event_of_a_binlog_keep_their_order() -> None:
    # UPDATE notes SET id = id + 1 ORDER BY id DESC: 3 becomes 4, then 2 becomes 3.
    gone, came = notes("d", 3, 0), notes("c", 3, 1)
    assert gone.document_id == came.document_id
    assert gone.version < came.version < notes("u", 3, 2).version < notes("u", 3, 0, pos=487).version


@pytest.mark.parametrize("row", [-1, "x", 0.5, 2**36, [1]])
def test_a_row_that_is_no_number_is_no_position(row: object) -> None:
    envelope = content("debezium-mysql-create")
    envelope["source"]["row"] = row
    assert refused(SourceRecord(b'{"id":7}', json.dumps(envelope).encode())) == "INVALID_POSITION"


def test_a_table_without_a_mapping_is_refused() -> None:
    source = {**content("debezium-create")["source"], "table": "salaries"}
    assert refused(edited("debezium-create", source=source)) == "NO_MAPPING"


def test_a_row_without_readers_is_read_by_nobody() -> None:
    row = {**content("debezium-create")["after"], "team": None}
    assert said(only(edited("debezium-create", after=row))).readers == ()


def test_a_row_without_text_or_id_is_refused() -> None:
    row = content("debezium-create")["after"]
    assert refused(edited("debezium-create", after={**row, "body": None})) == "MISSING_FIELD"
    assert refused(edited("debezium-create", after={**row, "id": None})) == "MISSING_FIELD"
    assert refused(edited("debezium-create", after=None)) == "MISSING_FIELD"


# -- CloudEvents -------------------------------------------------------------------------------------------------------


def test_a_structured_event_is_a_document_with_readers_of_its_own() -> None:
    change = only(SourceRecord(b"", golden("cloudevents-structured"), STRUCTURED))
    assert (change.source, change.document_id, change.version) == ("wiki", "wiki/pages/42", 17)
    assert said(change).content == b"The ferry leaves at nine."
    assert said(change).readers == ("group:travel", "user:ann")


def test_a_structured_event_is_known_without_its_content_type() -> None:
    assert changes(SourceRecord(b"", golden("cloudevents-structured"))) == changes(
        SourceRecord(b"", golden("cloudevents-structured"), STRUCTURED)
    )


def test_binary_mode_says_the_same_as_structured_mode() -> None:
    event = content("cloudevents-structured")
    data = json.dumps(event.pop("data")).encode()
    headers = {f"ce_{name}": str(value).encode() for name, value in event.items() if name != "datacontenttype"}
    headers["content-type"] = b"application/json"
    assert changes(SourceRecord(b"", data, headers)) == changes(
        SourceRecord(b"", golden("cloudevents-structured"), STRUCTURED)
    )


def test_data_that_is_no_json_is_the_document() -> None:
    structured = only(SourceRecord(b"", golden("cloudevents-structured-base64"), STRUCTURED))
    assert said(structured).content == b"# Handbook\n\nThe ferry leaves at nine.\n"
    assert said(structured).media_type == "text/markdown"
    headers = {
        "ce_specversion": b"1.0",
        "ce_id": b"1",
        "ce_source": b"/files",
        "ce_type": b"com.example.page.published",
        "ce_subject": b"a.pdf",
        "ce_sequence": b"4",
        "Content-Type": b"application/pdf",
    }
    binary = only(SourceRecord(b"", b"%PDF-1.7 \xff", headers))
    assert said(binary).content == b"%PDF-1.7 \xff"
    assert (said(binary).filename, said(binary).media_type) == ("a.pdf", "application/pdf")


def test_an_event_of_a_delete_type_deletes_and_needs_no_text() -> None:
    change = only(SourceRecord(b"", golden("cloudevents-deleted"), STRUCTURED))
    assert (change.document_id, change.version, change.document) == ("wiki/pages/42", 18, None)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"specversion": "0.3"}, "MALFORMED_CLOUD_EVENT"),
        ({"id": ""}, "MALFORMED_CLOUD_EVENT"),
        ({"type": None}, "MALFORMED_CLOUD_EVENT"),
        ({"type": "com.example.page.viewed"}, "NO_MAPPING"),
        ({"source": "/Wiki"}, "NO_MAPPING"),
        ({"sequence": None}, "INVALID_POSITION"),
        ({"sequence": "-1"}, "INVALID_POSITION"),
        ({"sequence": "soon"}, "INVALID_POSITION"),
        ({"sequence": str(2**63)}, "INVALID_POSITION"),
        ({"subject": None}, "MISSING_FIELD"),
        ({"data": None}, "MISSING_FIELD"),
        ({"data": {"body": "x", "readers": [1]}}, "INVALID_READERS"),
        ({"data_base64": "no base 64"}, "MALFORMED_CLOUD_EVENT"),
    ],
)
def test_an_event_that_lacks_something_is_refused(parts: dict[str, object], reason: str) -> None:
    event = {**content("cloudevents-structured"), **parts}
    assert refused(SourceRecord(b"", json.dumps(event).encode(), STRUCTURED)) == reason


# -- S3 ----------------------------------------------------------------------------------------------------------------


def test_a_created_object_is_a_document_that_is_still_in_its_bucket() -> None:
    change = only(SourceRecord(b"", golden("s3-created")))
    assert (change.source, change.document_id) == ("handbooks", "handbooks/docs/pump manual ä.md")
    assert said(change).content == RemoteObject("handbooks", "docs/pump manual ä.md")
    assert said(change).filename == "pump manual ä.md"
    assert change.version == 0x0067A1B2C3D4E5F601


def test_a_removed_object_is_a_deleted_document_and_sequencers_compare_padded() -> None:
    removed = only(SourceRecord(b"", golden("s3-removed")))
    assert removed.document is None
    assert removed.version == 0x0067A1B2C3D4E5F700
    assert removed.version > only(SourceRecord(b"", golden("s3-created"))).version


def test_a_removed_version_says_nothing_about_the_object() -> None:
    notification = content("s3-removed")
    notification["Records"][0]["s3"]["object"]["versionId"] = "v1"
    change = only(SourceRecord(b"", json.dumps(notification).encode()))
    assert isinstance(said(change).content, RemoteObject)


def test_other_events_and_objects_that_nobody_wants_change_nothing() -> None:
    assert changes(SourceRecord(b"", golden("s3-test"))) == []
    for part, value in (("eventName", "ObjectTagging:Put"), ("key", "docs/folder/"), ("key", "docs/a.png")):
        notification = content("s3-created")
        of = notification["Records"][0]
        (of["s3"]["object"] if part == "key" else of)[part] = value
        assert changes(SourceRecord(b"", json.dumps(notification).encode())) == []


@pytest.mark.parametrize("sequencer", [None, "", "xyz", "0" * 18, "F" * 18, "1" * 19, 5])
def test_a_notification_without_a_usable_sequencer_is_refused(sequencer: object) -> None:
    notification = content("s3-created")
    notification["Records"][0]["s3"]["object"]["sequencer"] = sequencer
    _, problem = read_record(SourceRecord(b"", json.dumps(notification).encode()), sources())
    assert problem is not None
    assert problem.reason == "INVALID_POSITION"


def test_one_bad_notification_takes_nothing_from_the_others() -> None:
    both = {"Records": [{"s3": {}}, *content("s3-created")["Records"], {"s3": {"bucket": {"name": "other"}}}]}
    found, problem = read_record(SourceRecord(b"", json.dumps(both).encode()), sources())
    assert [change.document_id for change in found] == ["handbooks/docs/pump manual ä.md"]
    assert problem is not None


# -- anything ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "MALFORMED_SOURCE_RECORD"),
        (b"\x00\x00\x00\x00\x01avro", "MALFORMED_SOURCE_RECORD"),
        (b"{", "MALFORMED_SOURCE_RECORD"),
        (b'{"a": NaN}', "MALFORMED_SOURCE_RECORD"),
        (b'{"a": "\\ud800"}', "MALFORMED_SOURCE_RECORD"),
        (b"[" * 100_000, "MALFORMED_SOURCE_RECORD"),
        (b'{"a": ' + b"9" * 5000 + b"}", "MALFORMED_SOURCE_RECORD"),
        (b"[]", "UNKNOWN_SOURCE_FORMAT"),
        (b"{}", "UNKNOWN_SOURCE_FORMAT"),
        (b'{"id": 1, "title": "a row without its envelope"}', "UNKNOWN_SOURCE_FORMAT"),
        (b'{"schema": {}, "payload": null}', "UNKNOWN_SOURCE_FORMAT"),
    ],
)
def test_what_is_no_record_of_a_source_is_refused(value: bytes, reason: str) -> None:
    assert refused(SourceRecord(b"", value)) == reason
