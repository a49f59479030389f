"""Files of one vector index.

``rows.sqlite`` says which rows there are; ``segment-NNNNNN.f32`` hold the vectors, little-endian float32, row by row.
A row lives in a slot: segment ``slot // SEGMENT_ROWS``, place ``slot % SEGMENT_ROWS``. Slots are handed out once, in
order, and a slot's vector never changes.

The order of a write is vectors, fsync, row commit. Vectors whose row commit did not happen lie behind the last
committed slot and are overwritten by the next write. Every commit gives its changed rows a new ``seq``, so a reader
asks for the rows after the one it knows. A deleted row stays as a tombstone until its segment goes, so that every
reader hears of it.
"""

from __future__ import annotations

from pathlib import Path

KIND = "vectors-v1"
"""Directory name; changes with the format."""

SEGMENT_ROWS = 16_384
"""25 MB at 384 dimensions: few enough segments to visit per search, small enough pieces to rewrite when rows die."""

ROWS_FILE = "rows.sqlite"

MIGRATIONS = (
    """
    CREATE TABLE state (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        dimensions INTEGER NOT NULL,
        next_slot INTEGER NOT NULL,
        seq INTEGER NOT NULL
    ) STRICT;
    INSERT INTO state VALUES (1, 0, 0, 0);
    CREATE TABLE access_sets (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        level INTEGER NOT NULL,
        tokens TEXT NOT NULL,
        UNIQUE (level, tokens)
    ) STRICT;
    CREATE TABLE metadata (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        json TEXT NOT NULL
    ) STRICT;
    CREATE TABLE vector_rows (
        slot INTEGER PRIMARY KEY,
        seq INTEGER NOT NULL,
        live INTEGER NOT NULL,
        chunk_id TEXT NOT NULL,
        document_id TEXT NOT NULL,
        chunks_version INTEGER NOT NULL,
        access_id INTEGER NOT NULL,
        metadata_id INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX vector_rows_live ON vector_rows (chunk_id) WHERE live = 1;
    CREATE INDEX vector_rows_seq ON vector_rows (seq);
    CREATE TABLE dropped_segments (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
    """,
    """
    ALTER TABLE vector_rows ADD COLUMN content_sha256 TEXT NOT NULL DEFAULT '';
    """,
)


def segment_file(directory: Path, segment_id: int) -> Path:
    """File of a segment's vectors."""
    return directory / f"segment-{segment_id:06d}.f32"
