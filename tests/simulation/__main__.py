"""``python -m tests.simulation KIND SEED``: plays one history again, prints its faults, its changes and how it ended;
exits with 1 when that was badly."""

from __future__ import annotations

import argparse
import sys
import traceback

from structlog.testing import capture_logs
from tests.simulation import KINDS
from tests.simulation.histories import History, seeded_ids
from tests.simulation.virtual_time import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("seed", type=int)
    asked = parser.parse_args()
    played: list[History] = []

    async def program(loop: object) -> None:
        with seeded_ids(asked.seed), capture_logs():
            played.append(KINDS[asked.kind](asked.seed, loop))  # type: ignore[arg-type]  # a VirtualLoop
            await played[0].play()

    failure: Exception | None = None
    try:
        run(program)
    except Exception as error:
        failure = error
    (history,) = played
    print(*history.nemesis.journal, sep="\n")
    for change in history.stores.log.changes:
        print(f"{change.accepted_at:%M:%S.%f} {change.key.document_id}@{change.version} {change.kind}")
    if failure is not None:
        traceback.print_exception(failure, limit=-3)
    print("as it should be" if failure is None else f"FAILED: {failure!r}")
    return 0 if failure is None else 1


if __name__ == "__main__":
    sys.exit(main())
