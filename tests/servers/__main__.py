"""Starts real servers for a command: ``python -m tests.servers --help``."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tests.servers import containers
from tests.servers.addresses import VARIABLES
from tests.servers.native import Running, ServerUnavailableError

EXIT_UNAVAILABLE = 69
"""EX_UNAVAILABLE of sysexits.h: a server can't be had; the command did not run."""

_INTERRUPTED_SECONDS = 30.0
_SLOWEST_FIRST = ("weaviate", "s3", "elasticsearch", "kafka", "redis")


@dataclass(frozen=True)
class Started:
    """A server that was started here, or why it was not."""

    running: Running | None = None
    error: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: the command's own, or 69 when a server can't be had."""
    arguments = _parsed(argv)
    names = [name for name in _SLOWEST_FIRST if name in arguments.only]
    wanted = [name for name in names if not os.environ.get(VARIABLES[name])]
    for name in names:
        if name not in wanted:
            _say(f"{name}: given by {VARIABLES[name]}")
    in_containers = bool(wanted) and containers.engine_answers()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        if arguments.action == "prepare":
            return _prepare(wanted, in_containers)
        return _run(wanted, in_containers, arguments.command)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _prepare(names: Sequence[str], in_containers: bool) -> int:
    def prepare(name: str) -> Started:
        container = (lambda: containers.pull(name)) if in_containers else None
        return _attempt(name, "there", container, lambda: _native(name).prepare())

    with ThreadPoolExecutor(max(1, len(names))) as pool:
        return EXIT_UNAVAILABLE if _complain(dict(zip(names, pool.map(prepare, names), strict=True))) else 0


def _run(names: Sequence[str], in_containers: bool, command: Sequence[str]) -> int:
    with ExitStack() as stack:
        place = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="headwater-servers-", ignore_cleanup_errors=True)
        )
        started = _start_all(names, in_containers, Path(place), stack)
        if _complain(started):
            return EXIT_UNAVAILABLE
        addresses = {VARIABLES[name]: each.running.address for name, each in started.items() if each.running}
        return _run_command(command, {**os.environ, **addresses})


def _start_all(names: Sequence[str], in_containers: bool, place: Path, stack: ExitStack) -> Mapping[str, Started]:
    """Side by side. What has been started is stopped by ``stack``, also when this is interrupted."""
    given_up = threading.Event()

    def start(name: str) -> Started:
        directory = place / name
        directory.mkdir()
        container = (lambda: containers.start(name)) if in_containers else None
        started = _attempt(name, "ready", container, lambda: _native(name).start(directory))
        if started.running is not None:
            if given_up.is_set():
                started.running.stop()
            else:
                stack.callback(started.running.stop)
        return started

    with ThreadPoolExecutor(max(1, len(names))) as pool:
        try:
            return dict(zip(names, pool.map(start, names), strict=True))
        except BaseException:
            given_up.set()
            raise


def _attempt(name: str, done: str, container: Callable[[], Any] | None, native: Callable[[], Any]) -> Started:
    """The container where there is an engine for it, and the process where there is none or it has not the image."""
    began = time.monotonic()
    if container is not None:
        try:
            result = container()
            _say(f"{name}: {done} after {time.monotonic() - began:.1f} s, in a container")
            return Started(result if isinstance(result, Running) else None)
        except (ServerUnavailableError, OSError) as error:
            _say(f"{name}: no container ({str(error)[:200]}), so a process")
    try:
        result = native()
    except (ServerUnavailableError, OSError, subprocess.SubprocessError) as error:
        _say(f"{name}: failed after {time.monotonic() - began:.1f} s")
        return Started(error=str(error) or type(error).__name__)
    _say(f"{name}: {done} after {time.monotonic() - began:.1f} s")
    return Started(result if isinstance(result, Running) else None)


def _native(name: str) -> Any:
    return importlib.import_module(f"tests.servers.{name}")


def _complain(started: Mapping[str, Started]) -> bool:
    failed = {name: each.error for name, each in started.items() if each.error}
    for name, error in failed.items():
        _say(f"\n{name} can't be had here: {error}\nSet {VARIABLES[name]} to use one that runs elsewhere.")
    return bool(failed)


def _run_command(command: Sequence[str], environment: Mapping[str, str]) -> int:
    _say(f"running {' '.join(command)}")
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        _say(f"{command[0]} can't be run: {error.strerror}")
        return 127
    try:
        code = process.wait()
    except BaseException as stop:
        # Ctrl-C reached it too; a SIGTERM reached this process alone.
        if not isinstance(stop, KeyboardInterrupt):
            process.terminate()
        try:
            process.wait(_INTERRUPTED_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    return code if code >= 0 else 128 - code


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    run = actions.add_parser("run", help="start the servers, run what follows '--', stop them")
    prepare = actions.add_parser("prepare", help="download and build what the servers need, and start nothing")
    for action in (run, prepare):
        action.add_argument("--only", type=_names, default=_names(",".join(VARIABLES)), metavar="kafka,redis,…")
    words = list(sys.argv[1:] if argv is None else argv)
    end = words.index("--") if "--" in words else len(words)
    arguments = parser.parse_args(words[:end])
    arguments.command = words[end + 1 :]
    if arguments.action == "run" and not arguments.command:
        run.error("what to run comes after '--'")
    return arguments


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := sorted(set(names) - VARIABLES.keys()):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(VARIABLES)}")
    return names


def _terminated(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def _say(line: str) -> None:
    print(f"servers: {line}" if not line.startswith("\n") else line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
