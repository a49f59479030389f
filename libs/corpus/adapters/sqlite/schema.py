"""Tables of corpus.sqlite and embeddings.sqlite. A script that was released is never edited: changes are appended."""

from __future__ import annotations

_HEADS = """
    CREATE TABLE heads (
        tenant_id TEXT NOT NULL,
        document_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        chunks_version INTEGER NOT NULL,
        state TEXT NOT NULL,
        access_tokens TEXT NOT NULL,
        security_level INTEGER NOT NULL,
        generation TEXT NOT NULL,
        event_id TEXT NOT NULL,
        updated_at INTEGER NOT NULL,
        principals TEXT NOT NULL,
        expires_at INTEGER,
        title TEXT NOT NULL,
        doc_type TEXT NOT NULL,
        uri TEXT NOT NULL,
        language TEXT NOT NULL,
        filename TEXT NOT NULL,
        media_type TEXT NOT NULL,
        metadata TEXT NOT NULL,
        content_sha256 TEXT NOT NULL,
        description_sha256 TEXT NOT NULL,
        object_key TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        chunk_count INTEGER NOT NULL,
        token_count INTEGER NOT NULL,
        ingest_trace_id TEXT NOT NULL,
        stamp INTEGER NOT NULL,
        PRIMARY KEY (tenant_id, document_id)
    ) STRICT;

    CREATE INDEX heads_stamps ON heads (tenant_id, document_id, stamp);
    CREATE INDEX heads_live ON heads (tenant_id, chunk_count, token_count) WHERE state = 'live';
"""

_CHUNKS = """
    CREATE TABLE versions (
        version_id INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant_id TEXT NOT NULL,
        document_id TEXT NOT NULL,
        chunks_version INTEGER NOT NULL,
        generation TEXT NOT NULL,
        title TEXT NOT NULL,
        doc_type TEXT NOT NULL,
        uri TEXT NOT NULL,
        language TEXT NOT NULL,
        metadata TEXT NOT NULL,
        updated_at INTEGER NOT NULL,
        stored_at INTEGER NOT NULL,
        UNIQUE (tenant_id, document_id, chunks_version, generation)
    ) STRICT;

    CREATE TABLE chunks (
        tenant_id TEXT NOT NULL,
        chunk_id TEXT NOT NULL,
        version_id INTEGER NOT NULL,
        ordinal INTEGER NOT NULL,
        text TEXT NOT NULL,
        start_offset INTEGER NOT NULL,
        end_offset INTEGER NOT NULL,
        section_ordinal INTEGER NOT NULL,
        heading_path TEXT NOT NULL,
        page INTEGER NOT NULL,
        kind TEXT NOT NULL,
        token_count INTEGER NOT NULL,
        content_sha256 TEXT NOT NULL,
        PRIMARY KEY (tenant_id, chunk_id)
    ) STRICT;

    CREATE INDEX chunks_of_version ON chunks (version_id, ordinal);

    CREATE TABLE sections (
        version_id INTEGER NOT NULL,
        ordinal INTEGER NOT NULL,
        heading_path TEXT NOT NULL,
        start_offset INTEGER NOT NULL,
        end_offset INTEGER NOT NULL,
        text TEXT NOT NULL,
        page INTEGER NOT NULL,
        PRIMARY KEY (version_id, ordinal)
    ) STRICT;
"""

_LEDGER = """
    CREATE TABLE changes (
        event_id TEXT NOT NULL PRIMARY KEY,
        tenant_id TEXT NOT NULL,
        document_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        accepted_at INTEGER NOT NULL,
        fingerprint TEXT NOT NULL,
        finished_at INTEGER,
        reason TEXT NOT NULL,
        message TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        trace_id TEXT NOT NULL,
        UNIQUE (tenant_id, document_id, version)
    ) STRICT;

    CREATE INDEX changes_by_state ON changes (tenant_id, state, accepted_at);
    CREATE INDEX dead_letters ON changes (tenant_id, finished_at) WHERE state = 'dead_lettered';
"""

_REGISTRIES = """
    CREATE TABLE tenants (
        tenant_id TEXT NOT NULL PRIMARY KEY,
        created_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE tenant_fields (
        tenant_id TEXT NOT NULL,
        name TEXT NOT NULL,
        type TEXT NOT NULL,
        PRIMARY KEY (tenant_id, name)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE generations (
        name TEXT NOT NULL PRIMARY KEY,
        model_id TEXT NOT NULL,
        model_revision TEXT NOT NULL,
        dimensions INTEGER NOT NULL,
        chunker TEXT NOT NULL,
        analyser TEXT NOT NULL
    ) STRICT;

    CREATE TABLE active_generation (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        name TEXT NOT NULL REFERENCES generations
    ) STRICT;
"""

_ORIGINS = """
    ALTER TABLE versions ADD COLUMN origin TEXT NOT NULL DEFAULT '';
"""

_DECISIONS = """
    ALTER TABLE changes ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;

    CREATE INDEX changes_by_end ON changes (tenant_id, finished_at, event_id)
        WHERE state NOT IN ('pending', 'dead_lettered');

    CREATE TABLE letters (
        letter_id TEXT NOT NULL PRIMARY KEY,
        state TEXT NOT NULL,
        tenant_id TEXT NOT NULL,
        document_id TEXT NOT NULL,
        reason TEXT NOT NULL,
        last_failed_at INTEGER NOT NULL,
        decided_at INTEGER,
        letter TEXT NOT NULL
    ) STRICT;

    CREATE INDEX letters_by_failure ON letters (last_failed_at, letter_id);
    CREATE INDEX letters_by_decision ON letters (decided_at) WHERE state IN ('replayed', 'discarded');
    CREATE INDEX letters_of_tenant ON letters (tenant_id);

    CREATE TABLE known_bad (
        tenant_id TEXT NOT NULL,
        content_key TEXT NOT NULL,
        reason TEXT NOT NULL,
        message TEXT NOT NULL,
        first_seen_at INTEGER NOT NULL,
        last_seen_at INTEGER NOT NULL,
        times INTEGER NOT NULL,
        PRIMARY KEY (tenant_id, content_key)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX known_bad_by_time ON known_bad (last_seen_at);

    CREATE TABLE halts (
        worker TEXT NOT NULL PRIMARY KEY,
        since INTEGER NOT NULL,
        seen_at INTEGER NOT NULL,
        reason TEXT NOT NULL,
        message TEXT NOT NULL,
        rejections INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE resume_requests (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        at INTEGER NOT NULL
    ) STRICT;
"""

_REBUILDS = """
    CREATE TABLE tenant_rebuilds (
        tenant_id TEXT NOT NULL,
        store TEXT NOT NULL,
        PRIMARY KEY (tenant_id, store)
    ) STRICT, WITHOUT ROWID;
"""

_GENERATIONS = """
    ALTER TABLE versions ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;

    CREATE TABLE generation_plan (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        revision INTEGER NOT NULL,
        plan TEXT NOT NULL
    ) STRICT;

    INSERT INTO generation_plan
        SELECT 1, 1, json_object('revision', 1, 'active', json_object('name', name, 'model_id', model_id,
            'model_revision', model_revision, 'dimensions', dimensions, 'chunker', chunker, 'analyser', analyser))
        FROM generations JOIN active_generation USING (name);

    DROP TABLE active_generation;
    DROP TABLE generations;

    CREATE TABLE generation_notes (
        generation TEXT NOT NULL,
        about TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (generation, about)
    ) STRICT, WITHOUT ROWID;
"""

_NAMES = """
    CREATE TABLE tenant_names (
        name TEXT NOT NULL PRIMARY KEY,
        tenant_id TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    INSERT INTO tenant_names SELECT tenant_id, tenant_id FROM tenants;
"""

_HOLDS = """
    CREATE TABLE holds (
        tenant_id TEXT NOT NULL,
        document_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        held INTEGER NOT NULL,
        changed_at INTEGER NOT NULL,
        said_by TEXT NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (tenant_id, document_id)
    ) STRICT, WITHOUT ROWID;

    CREATE INDEX holds_held ON holds (tenant_id, document_id) WHERE held = 1;
"""

_PSEUDONYMS = """
    CREATE TABLE pseudonyms (
        tenant_id TEXT NOT NULL,
        document_id TEXT NOT NULL,
        chunks_version INTEGER NOT NULL,
        generation TEXT NOT NULL,
        key_id TEXT NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (tenant_id, document_id, chunks_version, generation)
    ) STRICT;

    CREATE INDEX pseudonyms_by_key ON pseudonyms (key_id);
"""

_REVIEWS = """
    CREATE TABLE reviews (
        review_id TEXT NOT NULL PRIMARY KEY,
        tenant_id TEXT NOT NULL,
        state TEXT NOT NULL,
        raised_at INTEGER NOT NULL,
        item TEXT NOT NULL
    ) STRICT;

    CREATE INDEX reviews_by_state ON reviews (tenant_id, state, raised_at);
"""

CORPUS_MIGRATIONS = (
    _HEADS + _CHUNKS + _LEDGER + _REGISTRIES,
    _ORIGINS,
    _DECISIONS,
    _REBUILDS,
    _GENERATIONS,
    _NAMES,
    _HOLDS,
    _PSEUDONYMS,
    _REVIEWS,
)

EMBEDDING_MIGRATIONS = (
    """
    CREATE TABLE vectors (
        model TEXT NOT NULL,
        text_hash BLOB NOT NULL,
        vector BLOB NOT NULL,
        used_at INTEGER NOT NULL,
        PRIMARY KEY (model, text_hash)
    ) STRICT;

    CREATE INDEX vectors_by_use ON vectors (used_at);

    CREATE TABLE usage (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        bytes INTEGER NOT NULL
    ) STRICT;

    INSERT INTO usage VALUES (1, 0);
    """,
)
