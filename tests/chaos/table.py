"""The table in docs/guarantees.md: a row per promise, each with the date of the run that measured it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.chaos.figures import Figures
from tests.chaos.promises import Promise

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
NOT_MEASURED: Final = "not measured yet"
_HEAD: Final = (
    "| promise | pass mark | measured | reproduced by | when, where |",
    "| --- | --- | --- | --- | --- |",
)


def row(promise: Promise, figures: Figures | None, command: str, where: str) -> str:
    """One line of the table; ``figures`` None for what was not measured yet."""
    shown = [promise.elsewhere] if promise.elsewhere else []
    if figures is None:
        cells = [NOT_MEASURED, "; ".join(shown), ""]
    else:
        verdict = "**held**" if figures.held else "**NOT HELD**"
        cells = [f"{verdict}: {figures.summary()}", "; ".join([f"`{command}`", *shown]), where]
    return (
        "| " + " | ".join(_cell(text) for text in (f"**{promise.number}** {promise.says}", promise.mark, *cells)) + " |"
    )


def merged(page: str, promises: Sequence[Promise], rows: Mapping[str, str]) -> str:
    """The page with these rows (by number of the promise) in place of those it had; the others stay as they are.

    Raises ValueError when the page has not both markers.
    """
    before, begin, rest = page.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    known = {
        line.split("**")[1]: line for line in old.splitlines() if line.startswith("| **") and NOT_MEASURED not in line
    }
    lines = [rows.get(each.number) or known.get(each.number) or row(each, None, "", "") for each in promises]
    return "\n".join([before + BEGIN, *_HEAD, *lines, END + after])


def write(path: Path, promises: Sequence[Promise], rows: Mapping[str, str]) -> None:
    """Replaces rows of a page. Raises ValueError, OSError."""
    path.write_text(merged(path.read_text(), promises, rows))


def command_of(scale: str, seed: int, number: str) -> str:
    """What plays one scenario again."""
    return f"make chaos SCALE={scale} SEED={seed} ONLY={number}"


def where_and_when() -> str:
    """Date and machine."""
    gigabytes = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{datetime.now(UTC).date().isoformat()}; {cores} cores ({_cpu()}), {gigabytes} GiB, servers included"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
