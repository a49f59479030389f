"""``admin init|check``: what a service's program prints and how it ends."""

import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

from chassis.admin import administer
from chassis.errors import Conflict, DependencyUnavailable
from chassis.settings import ServiceSettings


class StoreSettings(ServiceSettings):
    service_name: ClassVar[str] = "gateway"


Answer = Callable[[StoreSettings], Awaitable[list[str]]]


def answering(*names: str) -> Answer:
    async def look(_: StoreSettings) -> list[str]:
        return list(names)

    return look


def failing(error: Exception) -> Answer:
    async def look(_: StoreSettings) -> list[str]:
        raise error

    return look


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    monkeypatch.setenv("HEADWATER_PROFILE", "cluster")

    def administered(command: str, create: Answer, differences: Answer) -> tuple[int, Any]:
        monkeypatch.setattr(sys, "argv", ["gateway.admin", command])
        code = administer(StoreSettings, create, differences)
        return code, json.loads(capsys.readouterr().out)

    return administered


def test_init_names_what_it_created_and_check_what_differs(run: Callable[..., tuple[int, Any]]) -> None:
    answers = answering("topic a"), answering("topic b: 3 partitions")
    assert run("init", *answers) == (0, {"created": ["topic a"]})
    assert run("check", *answers) == (1, {"differences": ["topic b: 3 partitions"]})
    assert run("check", answering(), answering()) == (0, {"differences": []})


@pytest.mark.parametrize("command", ["init", "check"])
@pytest.mark.parametrize("profile", ["embedded", None])
def test_another_profile_is_refused_and_nothing_is_looked_at(
    command: str, profile: str | None, run: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if profile:
        monkeypatch.setenv("HEADWATER_PROFILE", profile)
    else:
        monkeypatch.delenv("HEADWATER_PROFILE")
    touched = failing(AssertionError("a store was asked"))
    code, printed = run(command, touched, touched)
    assert code == 2
    assert set(printed) == {"error", "reason"}
    assert printed["reason"] == "NOT_CLUSTER_PROFILE"
    assert "HEADWATER_PROFILE=cluster" in printed["error"]


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (DependencyUnavailable("Kafka does not answer.", reason="KAFKA_UNAVAILABLE"), 75, "KAFKA_UNAVAILABLE"),
        (TimeoutError(), 75, "TIMEOUT"),
        (Conflict("It exists with other settings.", reason="TOPIC_DIFFERS"), 1, "TOPIC_DIFFERS"),
    ],
)
def test_a_failure_is_told_apart_by_its_exit_code(
    error: Exception, code: int, reason: str, run: Callable[..., tuple[int, Any]]
) -> None:
    ended, printed = run("init", failing(error), answering())
    assert (ended, printed["reason"]) == (code, reason)
    assert printed["error"]


def test_settings_that_cannot_be_used_are_no_timeout(
    run: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_GATEWAY_NO_SUCH", "1")
    ended, printed = run("check", answering(), answering())
    assert (ended, printed["reason"]) == (78, "CONFIGURATION")
    assert "HEADWATER_GATEWAY_NO_SUCH" in printed["error"]


@pytest.mark.parametrize("arguments", [("init",), ("check",), ("check", "--json")], ids=" ".join)
def test_the_command_line_refuses_the_embedded_profile_as_wrong_usage(arguments: tuple[str, ...]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    done = subprocess.run(
        [sys.executable, "-m", "headwater.cli", "admin", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "HEADWATER_PROFILE=cluster" in " ".join(done.stderr.split())
    assert done.stdout == ""
