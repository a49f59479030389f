"""Tables of the embedded log."""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE topics (
        topic_id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        partitions INTEGER NOT NULL,
        compacted INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE partitions (
        topic_id INTEGER NOT NULL REFERENCES topics,
        partition INTEGER NOT NULL,
        next_offset INTEGER NOT NULL DEFAULT 0,
        start_offset INTEGER NOT NULL DEFAULT 0,
        cleaned_to INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (topic_id, partition)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE records (
        topic_id INTEGER NOT NULL,
        partition INTEGER NOT NULL,
        record_offset INTEGER NOT NULL,
        key BLOB NOT NULL,
        value BLOB,
        headers TEXT NOT NULL,
        timestamp_ms INTEGER NOT NULL,
        PRIMARY KEY (topic_id, partition, record_offset)
    ) STRICT;

    CREATE TABLE consumer_groups (
        topic_id INTEGER NOT NULL,
        name TEXT NOT NULL,
        epoch INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (topic_id, name)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE members (
        topic_id INTEGER NOT NULL,
        group_name TEXT NOT NULL,
        member_id TEXT NOT NULL,
        process TEXT NOT NULL,
        lease_until REAL NOT NULL,
        PRIMARY KEY (topic_id, group_name, member_id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE seats (
        topic_id INTEGER NOT NULL,
        group_name TEXT NOT NULL,
        partition INTEGER NOT NULL,
        target TEXT,
        owner TEXT,
        fence INTEGER NOT NULL DEFAULT 0,
        committed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (topic_id, group_name, partition)
    ) STRICT, WITHOUT ROWID;
    """,
)
