"""``python -m tests.chaos``: plays the promises of docs/guarantees.md on the servers whose addresses the environment
names (``python -m tests.servers run --``), and on a Kafka of its own; exit code 1 when a mark is missed."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from tests.chaos import table
from tests.chaos.figures import Figures
from tests.chaos.promises import PROMISES, Promise
from tests.chaos.scale import SCALES
from tests.chaos.world import World, running


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code."""
    options = _parsed(argv)
    logging.getLogger("asyncio").addFilter(_is_news)
    signal.signal(signal.SIGTERM, _terminated)
    wanted = [each for each in PROMISES if not options.only or each.number in options.only]
    # A generation is of the whole installation: it is built soonest where there is little yet.
    wanted.sort(key=lambda each: each.number != "P13")
    scale = SCALES[options.scale]
    results: dict[str, Figures] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="headwater-chaos-", ignore_cleanup_errors=True) as folder:
        with running(Path(folder), scale, options.seed) as world:
            _say(f"everything runs after {time.monotonic() - began:.0f} s")
            for promise in wanted:
                results[promise.number] = _played(promise, world)
                if options.write:
                    figures, where = results[promise.number], table.where_and_when()
                    command = table.command_of(scale.name, options.seed, promise.number)
                    table.write(options.write, PROMISES, {promise.number: table.row(promise, figures, command, where)})
        if options.keep and not all(each.held for each in results.values()):
            options.keep.mkdir(parents=True, exist_ok=True)
            for log in Path(folder).rglob("*.log"):
                (options.keep / "-".join(log.relative_to(folder).parts)).write_bytes(log.read_bytes())
    for promise in wanted:
        figures = results[promise.number]
        sys.stdout.write(f"{promise.number:4} {'held' if figures.held else 'NOT HELD':9} {figures.summary()}\n")
    if options.json:
        found = {number: {**asdict(figures), "held": figures.held} for number, figures in results.items()}
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
    return 0 if all(each.held for each in results.values()) else 1


def _played(promise: Promise, world: World) -> Figures:
    """What the scenario measured; one that can't be played to its end has not held."""
    _say(f"{promise.number}: {promise.says}")
    began = time.monotonic()
    try:
        figures = promise.play(world)
    except Exception as error:
        traceback.print_exc()
        figures = Figures(promise.number, "", problem=f"{type(error).__name__}: {error}")
    finally:
        world.heal()
    _say(
        f"{promise.number}: {'held' if figures.held else 'NOT HELD'} after {time.monotonic() - began:.0f} s; "
        f"{figures.summary()}"
    )
    return figures


def _terminated(_number: int, _frame: object) -> NoReturn:
    """Everything that was started is stopped on the way out."""
    raise SystemExit(128 + signal.SIGTERM)


def _is_news(record: logging.LogRecord) -> bool:
    """gRPC's loops of several threads share one queue, and each is woken for the others' events."""
    return "PollerCompletionQueue" not in record.getMessage()


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--scale", choices=sorted(SCALES), default="full")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--only", type=_numbers, default=(), metavar="P1,P3,…")
    parser.add_argument("--json", action="store_true", help="print one JSON object besides")
    parser.add_argument("--write", type=Path, metavar="docs/guarantees.md", help="put the rows into the page's table")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where logs are kept when a mark is missed")
    return parser.parse_args(argv)


def _numbers(text: str) -> tuple[str, ...]:
    numbers = tuple(filter(None, (each.strip() for each in text.split(","))))
    known = {each.number for each in PROMISES}
    if unknown := sorted(set(numbers) - known):
        raise argparse.ArgumentTypeError(f"no scenario: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return numbers


def _say(line: str) -> None:
    sys.stderr.write(f"chaos: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(main())
