"""Tests that several mutants name."""

from __future__ import annotations

HISTORIES = "tests/simulation/test_ingest_histories.py"
APPLY = "tests/unit/ingest/test_apply.py"
INTERRUPTED = "tests/unit/ingest/test_apply_interrupted.py"
CONSUMER = "tests/unit/ingest/test_consumer.py"
PROGRAMS = "tests/integration/test_access_programs.py"
HEAD_CHECK = "tests/unit/retriever/test_head_check.py"
OVERTAKEN = "tests/unit/retriever/test_overtaken.py"
INGEST = ("tests/unit/ingest", "tests/simulation")
READING_AREA = ("tests/unit/retriever", PROGRAMS)
