"""Statements over topics and records. Each function runs in a database thread; a writing one inside a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from chassis.errors import DependencyUnavailable
from chassis.eventlog.engine import share_of, topic_mismatch, topic_missing
from chassis.eventlog.partitioner import partition_of
from chassis.eventlog.port import Partition, Position, Record

FETCH_BYTES = 16 * 1024 * 1024
"""Values that one fetch gathers at most (besides the first): bounds memory when records are large."""


def create_topic(connection: sqlite3.Connection, topic: str, partitions: int, compacted: bool) -> None:
    """Creates the topic or checks that it is as wanted."""
    row = connection.execute("SELECT partitions, compacted FROM topics WHERE name = ?", (topic,)).fetchone()
    if row is not None:
        if row != (partitions, int(compacted)):
            raise topic_mismatch(topic)
        return
    cursor = connection.execute(
        "INSERT INTO topics (name, partitions, compacted) VALUES (?, ?, ?)", (topic, partitions, int(compacted))
    )
    connection.executemany(
        "INSERT INTO partitions (topic_id, partition) VALUES (?, ?)",
        [(cursor.lastrowid, index) for index in range(partitions)],
    )


def topic_of(connection: sqlite3.Connection, topic: str) -> tuple[int, int]:
    """(topic id, partition count)."""
    row = connection.execute("SELECT topic_id, partitions FROM topics WHERE name = ?", (topic,)).fetchone()
    if row is None:
        raise topic_missing(topic)
    return int(row[0]), int(row[1])


def ends(connection: sqlite3.Connection, topic: str) -> dict[int, int]:
    """Offset of the next record to be appended, by partition index."""
    topic_id, _ = topic_of(connection, topic)
    rows = connection.execute("SELECT partition, next_offset FROM partitions WHERE topic_id = ?", (topic_id,))
    return dict(rows.fetchall())


def append(
    connection: sqlite3.Connection,
    topic: str,
    key: bytes,
    value: bytes | None,
    headers: Mapping[str, bytes],
    now_seconds: float,
) -> Position:
    """Appends one record."""
    topic_id, partitions = topic_of(connection, topic)
    index = partition_of(key, partitions)
    (offset,) = connection.execute(
        "UPDATE partitions SET next_offset = next_offset + 1 WHERE topic_id = ? AND partition = ?"
        " RETURNING next_offset - 1",
        (topic_id, index),
    ).fetchone()
    connection.execute(
        "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)",
        (topic_id, index, offset, key, value, _headers_to_text(headers), int(now_seconds * 1000)),
    )
    return Position(Partition(topic, index), offset)


def fetch(
    connection: sqlite3.Connection, topic: str, topic_id: int, positions: Mapping[int, int], max_records: int
) -> Sequence[Record]:
    """Records from the positions on, shared between the partitions in the order given."""
    found: list[Record] = []
    size = 0
    for turn, (index, position) in enumerate(positions.items()):
        partition = Partition(topic, index)
        rows = connection.execute(
            "SELECT record_offset, key, value, headers, timestamp_ms FROM records"
            " WHERE topic_id = ? AND partition = ? AND record_offset >= ? ORDER BY record_offset LIMIT ?",
            (topic_id, index, position, share_of(max_records, len(found), len(positions) - turn)),
        )
        for offset, key, value, headers, timestamp_ms in rows:
            size += len(value or b"")
            if found and size > FETCH_BYTES:
                rows.close()
                return found
            found.append(Record(partition, offset, key, value, _headers_of_text(headers), timestamp_ms))
    return found


def _headers_to_text(headers: Mapping[str, bytes]) -> str:
    # Latin-1 maps every byte to one character and back, and header values are nearly always ASCII.
    return json.dumps({name: value.decode("latin-1") for name, value in headers.items()}) if headers else "{}"


def _headers_of_text(text: str) -> dict[str, bytes]:
    if text == "{}":
        return {}
    try:
        return {name: value.encode("latin-1") for name, value in json.loads(text).items()}
    except ValueError as error:
        raise DependencyUnavailable("The event log's file is damaged.", reason="STORAGE_DAMAGED") from error
