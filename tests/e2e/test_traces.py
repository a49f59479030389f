"""Traces as an SRE's collector receives them."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.e2e.collector import Collector, ReceivedSpan
from tests.e2e.conftest import Place
from tests.e2e.test_documents import put

T = TypeVar("T")

UPLOAD = "headwater.gateway.v1.GatewayService/PutDocument"
QUESTION = "headwater.gateway.v1.GatewayService/Ask"


WHOLE = {
    ("gateway", UPLOAD),
    ("ingest", "headwater.ingest.v1.IngestService/PutDocument"),
    ("ingest", "process document-changes"),
    ("ingest", "parse"),
    ("ingest", "embed"),
    ("embedder", "headwater.embedding.v1.EmbeddingService/Embed"),
    ("ingest", "write_terms"),
    ("ingest", "write_vectors"),
    ("ingest", "write_head"),
}


def _await(found: Callable[[], T | None], seconds: float = 60) -> T | None:
    deadline = time.monotonic() + seconds
    while (value := found()) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return value


def test_one_exported_trace_leads_from_upload_through_the_log_to_the_head(place: Place, collector: Collector) -> None:
    missing: list[object] = []
    with place.client() as client:
        # Spans are exported at most once: a batch that meets a busy collector is dropped, and shows here what it held.
        for number in range(4):
            put(client, f"otters-{number}", f"Otters sleep holding hands, {number} of them.")
            trace_id = client.get_document(f"otters-{number}").ingest_trace_id

            def complete(trace_id: str = trace_id) -> list[ReceivedSpan] | None:
                spans = collector.trace(trace_id)
                return spans if {(span.service, span.name) for span in spans} >= WHOLE else None

            if spans := _await(complete, seconds=20):
                break
            missing.append(WHOLE - {(span.service, span.name) for span in collector.trace(trace_id)})
    assert spans, missing
    known = {span.span_id for span in spans}
    assert [span.name for span in spans if span.parent_id not in known] == [UPLOAD], "one root, and nothing torn off"


def test_a_question_s_trace_is_linked_to_the_traces_that_made_its_hits(place: Place, collector: Collector) -> None:
    with place.client() as client:
        put(client, "beavers", "Beavers build dams of branches and mud.")
        ingested = client.get_document("beavers").ingest_trace_id
        client.ask("What do beavers build dams of?")

    def complete() -> bool | None:
        roots = [root.trace_id for root in collector.roots(QUESTION)]
        asked = next((each for each in roots if _links_to(collector, each, ingested)), "")
        return {span.service for span in collector.trace(asked)} >= {"gateway", "retriever", "embedder"} or None

    assert _await(complete)


def _links_to(collector: Collector, question: str, ingested: str) -> bool:
    return any(ingested in span.links for span in collector.trace(question))
