"""The language model's server for tests, where it can't be had."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.servers import language_model
from tests.servers.native import ServerUnavailableError


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(language_model, "ENVIRONMENT", tmp_path / "llm")
    monkeypatch.setattr(language_model, "_REASON", tmp_path / "llm.reason")
    return tmp_path


def test_without_a_compiler_the_tests_are_skipped_with_that_reason(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(nowhere))

    assert language_model.main() == 0
    with pytest.raises(ServerUnavailableError, match=r"there is no C\+\+ compiler.*run make test-llm"):
        language_model.start(nowhere)


def test_before_it_was_built_the_tests_say_how_to_build_it(nowhere: Path) -> None:
    with pytest.raises(ServerUnavailableError, match="it is not installed; run make test-llm"):
        language_model.start(nowhere)


def test_a_build_that_takes_too_long_is_ended_with_all_that_it_started(nowhere: Path) -> None:
    """A pipe has its end as soon as nobody holds it any more."""
    os.mkfifo(nowhere / "pipe")
    reader = os.open(nowhere / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(ServerUnavailableError, match="took more than 1 s"):
            language_model._within(1, ["sh", "-c", f"sleep 600 > {nowhere}/pipe & wait"], {})
        os.set_blocking(reader, True)
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)


def test_a_build_that_fails_says_what_it_said(nowhere: Path) -> None:
    with pytest.raises(ServerUnavailableError, match="not built: no such flag"):
        language_model._within(60, [sys.executable, "-c", "import sys; sys.exit('no such flag')"], {})
