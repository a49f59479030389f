"""P6: a user never sees what they may not, and a revocation is effective at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tests.chaos.figures import Figures, Mark, percentile
from tests.chaos.patience import SECONDS
from tests.chaos.world import World
from tests.faults.nemesis import until

from headwater import Client
from headwater.errors import NotFoundError

EFFECTIVE_SECONDS = 1.0
PROGRAMS = "tests/integration/test_access_programs.py"
STRANGERS = (("eng", "tester"), ("Eng-Admins", "tester"), ("eng-admins ", "tester"))
"""Groups that look like the one that may read."""


def play(world: World) -> Figures:
    """Readers are taken away from documents that are being searched for; look-alikes and another tenant search too.
    The random programs run as they do in the test suite, on the same servers."""
    tenant, foreign = world.tenant("p6"), world.tenant("p6")
    names = [f"paper-{number:03}" for number in range(world.scale.revoked)]
    with world.client(tenant) as writer, world.reader(tenant, "ann", ["eng-admins"]) as reader:
        for number, name in enumerate(names):
            writer.put_document(name, _text(number).encode(), filename="a.txt", readers=["group:eng-admins"])
        writer.wait_until_applied(timeout_seconds=SECONDS)
        until(lambda: _sees(reader, names[-1], len(names) - 1), SECONDS, "readers see their documents")
        leaks = _leaks(world, tenant, foreign, names)
        times = []
        for number, name in enumerate(names):
            writer.set_document_access(name, ["group:board"])
            began = time.monotonic()
            while _sees(reader, name, number) and time.monotonic() - began < SECONDS:
                pass
            times.append(time.monotonic() - began)
        writer.wait_until_applied(timeout_seconds=SECONDS)
        leaks += sum(_sees(reader, name, number) for number, name in enumerate(names))
    programs, failed = _programs(world) if world.scale.programs else (0, 0)
    marks = [
        Mark("leaks", leaks, "=", 0),
        Mark("revoke → effective p99", percentile(times, 0.99), "≤", EFFECTIVE_SECONDS * world.scale.slack, " s"),
    ]
    if world.scale.programs:
        marks += [Mark("tests of random programs that failed", failed, "=", 0), Mark("that ran", programs, "≥", 1)]
    return Figures(
        "P6",
        f"{len(names)} revocations under search; every document looked for by {len(STRANGERS)} look-alike groups and a "
        f"foreign tenant" + (f"; {programs} tests of {PROGRAMS} on servers" if programs else ""),
        marks,
        {},
        {"revoke → effective p50": f"{percentile(times, 0.5):.2f} s"},
    )


def _text(number: int) -> str:
    return f"The board discusses sluice {number} under the word W{number:04}X."


def _sees(client: Client, name: str, number: int) -> bool:
    return any(hit.document_id == name for hit in client.search(_text(number), k=10).hits)


def _leaks(world: World, tenant: str, foreign: str, names: list[str]) -> int:
    """What is shown to those who may read none of the documents."""
    leaks = 0
    for group, subject in STRANGERS:
        with world.reader(tenant, subject, [group]) as stranger:
            leaks += _shown(stranger, names)
    with world.reader(foreign, "ann", ["eng-admins"]) as stranger:
        leaks += _shown(stranger, names)
    return leaks


def _shown(client: Client, names: list[str]) -> int:
    shown = 0
    for number, name in enumerate(names):
        shown += len(client.search(_text(number), k=10).hits)
        try:
            client.get_document(name)
            shown += 1
        except NotFoundError:
            pass
    return shown


def _programs(world: World) -> tuple[int, int]:
    """Tests that ran, and that failed."""
    report = world.folder / "programs.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "cluster",
        PROGRAMS,
        f"--junitxml={report}",
        "-p",
        "no:cacheprovider",
    ]
    # A quarter of the programs runs on servers.
    environment = {**os.environ, "HEADWATER_PROGRAMS": str(4 * world.scale.programs)}
    root = Path(__file__).parents[3]
    subprocess.run(command, cwd=root, env=environment, check=False, capture_output=True, timeout=1800)
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    counts = [(int(each.get("tests", 0)), int(each.get("failures", 0)) + int(each.get("errors", 0))) for each in suites]
    return sum(tests for tests, _ in counts), sum(failed for _, failed in counts)
