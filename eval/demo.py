"""``make demo``: the whole system in a few minutes, on the sample corpus.

Starts the five services, ingests the corpus through the event log, asks, shows access control, a live edit and
delete, and the trace of one document from upload to searchable; then stops everything.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from eval.golden_set import GoldenSet, load_golden_set
from eval.sample import ingest_corpus
from rich.text import Text

from headwater import AnswerOutcome, AsyncClient, Client, Identity
from headwater.cli import stack
from headwater.cli.ask import stream_answer
from headwater.cli.output import console
from headwater.cli.trace import print_waterfall, read_trace

QUESTIONS = ("q14", "q27", "q29")
LIVE_DOCUMENT = "notice-board"
LIVE_QUESTION = "Which visitor parking spaces does the Halifax office have?"
LIVE_TEXT = (
    "# Visitor parking in Halifax\n\nThe Halifax office has {spaces} visitor parking spaces behind the north gate.\n"
)
TRACE_SECONDS = 10.0


def main() -> int:
    """Runs the demonstration; exit code 1 when something it shows did not happen."""
    golden = load_golden_set()
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="headwater-demo-") as folder:
        data = Path(folder)
        try:
            target = _start(data)
            _ingest(target, golden)
            _questions(target, golden, problems)
            _access(target, golden, problems)
            trace_id = _live(target, golden, problems)
            _trace(data, trace_id, problems)
        finally:
            _heading("Stopping")
            console.print("stopped: " + ", ".join(stack.stop(data)))
    for problem in problems:
        console.print(f"not as promised: {problem}", style="red", markup=False)
    return 1 if problems else 0


def _heading(text: str) -> None:
    console.print()
    console.rule(Text(text, style="bold"), align="left")


def _start(data: Path) -> str:
    _heading("Five services on this machine")
    endpoints = stack.start(
        data,
        port_base=0,
        on_ready=lambda service, seconds: console.print(
            f"  {service:10} ready after {seconds:4.1f} s   {service_address(data, service)}"
        ),
    )
    return endpoints.grpc["gateway"]


def service_address(data: Path, service: str) -> str:
    """gRPC address of a service of the stack."""
    endpoints = stack.Endpoints.load(data)
    return endpoints.grpc[service] if endpoints else ""


def _ingest(target: str, golden: GoldenSet) -> None:
    _heading(f"{len(golden.documents)} documents through the event log")

    async def send() -> float:
        async with AsyncClient(target, identity=_identity(golden)) as client:
            report = await ingest_corpus(client, golden)
            status = await client.ingest_status()
        console.print(
            f"  {status.live_documents} documents, {status.live_chunks} chunks searchable after {report.seconds:.1f} s"
        )
        return report.seconds

    asyncio.run(send())


def _questions(target: str, golden: GoldenSet, problems: list[str]) -> None:
    cases = {case.case_id: case for case in golden.answerable}
    for case_id in QUESTIONS:
        case = cases[case_id]
        _heading(case.question)
        with Client(target, identity=_identity(golden, case.groups)) as client:
            answer = stream_answer(client, case.question)
        if answer.outcome is not AnswerOutcome.ANSWERED or not answer.citations:
            problems.append(f"no cited answer to: {case.question}")
    refused = golden.unanswerable[0]
    _heading(f"{refused.question}   (nothing in the corpus says)")
    with Client(target, identity=_identity(golden, refused.groups)) as client:
        answer = stream_answer(client, refused.question)
    if answer.outcome is not AnswerOutcome.ABSTAINED:
        problems.append(f"not refused: {refused.question}")


def _access(target: str, golden: GoldenSet, problems: list[str]) -> None:
    case = golden.access[0]
    for caller, may in ((case.allowed, True), (case.denied, False)):
        groups = ", ".join(sorted(caller.groups)) or "no group"
        _heading(f"{caller.name} ({groups}): {case.question}")
        with Client(target, identity=_identity(golden, caller.groups, caller.name)) as client:
            answer = stream_answer(client, case.question)
            shown = any(citation.document_id == case.passage.document_id for citation in answer.citations)
        if shown is not may:
            problems.append(f"{caller.name} {'was not shown' if may else 'was shown'} {case.passage.document_id}")


def _live(target: str, golden: GoldenSet, problems: list[str]) -> str:
    _heading("A document appears, changes, is hidden and is deleted while the services run")
    with Client(target, identity=_identity(golden)) as client:

        def texts() -> str:
            return " ".join(hit.text for hit in client.search(LIVE_QUESTION, k=3).hits)

        def show(what: str, change: Callable[[], object], visible: Callable[[], bool]) -> None:
            began = time.perf_counter()
            change()
            while not visible():
                if time.perf_counter() - began > TRACE_SECONDS:
                    problems.append(f"{what} did not show in {TRACE_SECONDS:.0f} s")
                    return
                time.sleep(0.002)
            console.print(f"  {what:28} after {(time.perf_counter() - began) * 1000:5.0f} ms")

        def put(spaces: str) -> None:
            text = LIVE_TEXT.format(spaces=spaces).encode()
            receipts.append(client.put_document(LIVE_DOCUMENT, text, filename="notice.md", readers=["public"]))

        receipts: list[object] = []
        show("new document searchable", lambda: put("twelve"), lambda: "twelve" in texts())
        show("edit searchable", lambda: put("nineteen"), lambda: "nineteen" in texts() and "twelve" not in texts())
        show(
            "revoked: invisible",
            lambda: client.set_document_access(LIVE_DOCUMENT, ["group:facilities"]),
            lambda: "nineteen" not in texts(),
        )
        show(
            "granted again: visible",
            lambda: client.set_document_access(LIVE_DOCUMENT, ["public"]),
            lambda: "nineteen" in texts(),
        )
        show("deleted: invisible", lambda: client.delete_document(LIVE_DOCUMENT), lambda: "nineteen" not in texts())
        client.wait_until_applied()
        return next(
            change.trace_id
            for change in reversed(client.get_document(LIVE_DOCUMENT).changes)
            if change.kind == "upsert"
        )


def _trace(data: Path, trace_id: str, problems: list[str]) -> None:
    _heading(f"One change from upload to searchable: trace {trace_id}")
    deadline = time.monotonic() + TRACE_SECONDS
    while True:
        spans = read_trace(data, trace_id)
        services = {span.service for span in spans}
        if {"gateway", "ingest", "embedder"} <= services or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    if spans:
        print_waterfall(spans)
    if not {"gateway", "ingest", "embedder"} <= services:
        problems.append(f"the trace has spans of {sorted(services)} only")


def _identity(golden: GoldenSet, groups: frozenset[str] = frozenset(), subject: str = "demo") -> Identity:
    return Identity(tenant=golden.tenant, subject=subject, groups=tuple(sorted(groups)))


if __name__ == "__main__":
    sys.exit(main())
