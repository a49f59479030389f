"""What ``generation compare`` refuses to compare."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.cli.generation import compare
from headwater.cli.problems import CommandError


def test_a_golden_set_that_names_groups_is_refused_where_a_token_decides_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = tmp_path / "golden.jsonl"
    golden.write_text(json.dumps({"question": "When?", "groups": ["staff"], "expected": [{"document_id": "a"}]}))
    monkeypatch.setenv("HEADWATER_TOKEN", "a token")
    with pytest.raises(CommandError, match="HEADWATER_TOKEN"):
        compare("g1", golden, target="127.0.0.1:1")
