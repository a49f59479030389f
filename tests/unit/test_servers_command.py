"""The command that starts servers for the tests, where nothing has to be started."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.servers import __main__ as command
from tests.servers.addresses import VARIABLES, address_of
from tests.servers.containers import IMAGES
from tests.servers.native import ServerUnavailableError

GIVEN = dict.fromkeys(VARIABLES.values(), "somewhere:1")


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.servers", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_runs_with_the_addresses_that_were_given_and_its_exit_code_is_passed_on() -> None:
    done = run("run", "--", "sh", "-c", "echo $HEADWATER_TEST_KAFKA; exit 7", **GIVEN)
    assert (done.returncode, done.stdout) == (7, "somewhere:1\n")
    assert "kafka: given by HEADWATER_TEST_KAFKA" in done.stderr


def test_a_command_that_is_missing_or_killed_has_the_shell_s_exit_code() -> None:
    assert run("run", "--", "/no/such/program", **GIVEN).returncode == 127
    assert run("run", "--", "sh", "-c", "kill -9 $$", **GIVEN).returncode == 137


@pytest.mark.parametrize("words", [["run", "--only", "redi", "--", "true"], ["run", "--only", "redis"], ["start"]])
def test_what_can_not_be_meant_is_a_usage_error(words: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        command.main(words)
    assert exit_.value.code == 2


def test_a_tool_that_is_missing_is_named_and_the_command_does_not_run(tmp_path) -> None:
    done = run(
        *("run", "--only", "s3", "--", "echo", "ran"),
        PATH=str(tmp_path),
        HEADWATER_CACHE_DIR=str(tmp_path),
        HEADWATER_TEST_CONTAINERS="0",
        HEADWATER_TEST_S3="",
    )
    assert done.returncode == 69
    assert "go is not installed" in done.stderr
    assert "HEADWATER_TEST_S3" in done.stderr
    assert done.stdout == ""


def test_a_test_without_its_server_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADWATER_TEST_REDIS", raising=False)
    with pytest.raises(ServerUnavailableError, match=r"python -m tests\.servers run --only redis"):
        address_of("redis")


def test_every_server_has_an_image_with_a_pinned_tag() -> None:
    assert IMAGES.keys() == VARIABLES.keys()
    for image in IMAGES.values():
        assert image.name.rpartition(":")[2][0] in "v123456789"
        image.address.format(1, 2, host="h")
        assert bool(image.ready_url) != bool(image.ready_line)
