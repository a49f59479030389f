"""``make eval``: asks the golden set through the services, and fails below a floor or on a significant loss.

Every measure is a mean over questions (``eval.measures`` says what each one is). A run fails when one is below its
floor, or significantly worse than ``baseline.json`` by a paired bootstrap over the questions. A change that is meant
to move figures commits a new baseline (``--write-baseline``), so the review sees what moved.

``--judge`` has the configured language model grade the answers as well (``eval.llm_judge``); it never gates.

``--ablation`` asks everything again without each stage of understanding, and shows what it is worth.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from eval.ask import Asking
from eval.gate import BASELINE, Change, Verdict, judge, read_baseline, values_of, write_baseline
from eval.golden_set import GoldenSet, load_golden_set
from eval.llm_judge import LanguageModelJudge, configured_judge
from eval.measures import MEASURES, Result
from eval.sample import ingest_corpus

from gateway.plan import STAGES
from headwater import AsyncClient, Identity
from headwater.cli import stack
from headwater.cli.output import console, print_json, table
from inference.domain import TextKind
from inference.encoder import TextEncoder

MODEL: Final = "all-MiniLM-L6-v2"
ABLATED: Final = ("hit@5", "answered", "complete", "faithfulness", "citation_recall", "refused")


def main() -> int:
    """Starts a stack of its own, or uses ``--target``; exit code 1 where CI must not go on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", help="gateway of a running stack; default: a stack of its own")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots")
    parser.add_argument("--ablation", action="store_true", help="what each stage of understanding is worth")
    parser.add_argument("--judge", action="store_true", help="have the configured language model grade answers as well")
    parser.add_argument("--judge-kept", type=Path, metavar="FILE", help="keep its verdicts here, for the next run")
    parser.add_argument(
        "--write-baseline", action="store_true", help=f"take this run as the new {BASELINE.name}, if its floors hold"
    )
    arguments = parser.parse_args()
    golden = load_golden_set()
    judging = configured_judge(arguments.judge_kept) if arguments.judge else None
    with running_stack(arguments.target) as target:
        results, without = asyncio.run(_run(target, golden, arguments.ablation, judging))
    baseline = None if arguments.write_baseline else read_baseline()
    verdict = judge(results, baseline)
    worth = {stage: judge(each, values_of(results)).changes for stage, each in without.items()}
    if arguments.write_baseline and verdict.passed:
        write_baseline(results)
    if arguments.html:
        from eval import report  # plots take a second to load

        report.write(arguments.html, results, verdict)
    if arguments.json:
        print_json({"passed": verdict.passed, "verdict": verdict, "without": worth, "results": results})
    else:
        _show(results, verdict)
        if judging is not None:
            console.print(f"  judge: {judging.tally}", markup=False)
        if worth:
            _show_ablation(worth)
    return 0 if verdict.passed else 1


@contextmanager
def running_stack(target: str | None) -> Iterator[str]:
    """The gateway of ``target``, or of a stack that lives as long."""
    if target is not None:
        yield target
        return
    with tempfile.TemporaryDirectory(prefix="headwater-eval-") as folder:
        try:
            yield stack.start(Path(folder), port_base=0).grpc["gateway"]
        finally:
            stack.stop(Path(folder))


async def _run(
    target: str, golden: GoldenSet, ablation: bool, judging: LanguageModelJudge | None
) -> tuple[list[Result], dict[str, list[Result]]]:
    async with AsyncClient(target, identity=Identity(golden.tenant, "evaluation")) as client:
        report = await ingest_corpus(client, golden)
        if report.failed:
            raise SystemExit(f"documents were refused: {report.failed}")
    encoder = TextEncoder.load(MODEL)

    def similarity(one: str, other: str) -> float:
        first, second = encoder.encode([one, other], TextKind.PASSAGE).vectors
        return float(first @ second)

    results = await Asking(target, golden, similarity, judge=judging).everything()
    if judging is not None:
        await judging.close()
    without = {}
    for stage in STAGES if ablation else ():
        without[stage] = await Asking(target, golden, similarity, (stage,)).everything(f"without {stage}")
    return results, without


def _show(results: Sequence[Result], verdict: Verdict) -> None:
    rows = table("measure", "mean", "floor", "against the baseline", "", right=("mean", "floor"))
    for name, mean in verdict.means.items():
        measure = MEASURES[name]
        floor = "" if measure.floor is None else f"{measure.floor:.2f}"
        bad = "below the floor" if name in verdict.below else "significant loss" if name in verdict.lost else ""
        rows.add_row(name, f"{mean:.3f}", floor, str(verdict.changes.get(name, "")), bad)
    console.print(rows)
    for each in results:
        if each.note:
            console.print(f"  {each.case_id} {each.note}", style="yellow", markup=False)
    for case_id in verdict.missing:
        console.print(f"  {case_id} is in the baseline and was not asked", style="red", markup=False)


def _show_ablation(worth: Mapping[str, Mapping[str, Change]]) -> None:
    rows = table("without", *ABLATED)
    for stage, changes in worth.items():
        rows.add_row(stage, *(str(changes.get(name, "")) for name in ABLATED))
    console.print(rows)


if __name__ == "__main__":
    sys.exit(main())
