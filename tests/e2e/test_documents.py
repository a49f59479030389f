"""A document's life through the SDK: searchable, cited, edited, hidden, deleted."""

import time
from collections.abc import Callable

import httpx
import pytest
from tests.e2e.conftest import Place

from headwater import AnswerOutcome, Client, ConflictError, NotFoundError
from headwater.cli.stack import Endpoints

PUMP = (
    "# Pump manual\n\n## Lubrication\n\nChange the oil of the Kestrel pump every 500 hours of operation.\n\n"
    "## Storage\n\nStore the pump dry, between 5 and 40 degrees, away from sunlight.\n"
)
QUESTION = "How often do I change the oil of the Kestrel pump?"


def put(client: Client, document_id: str, text: str, **description: object) -> None:
    said = {"filename": f"{document_id}.md", "readers": ["public"], **description}
    client.put_document(document_id, text.encode(), **said)
    states = {change.state for change in client.wait_until_applied().values()}
    assert states <= {"applied"}


def found(client: Client, text: str = QUESTION, **options: object) -> list[str]:
    return [hit.document_id for hit in client.search(text, **options).hits]


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
    return True


def test_a_document_is_found_and_its_answer_cites_the_exact_span(place: Place) -> None:
    with place.client() as client:
        put(client, "pump", PUMP)
        answer = client.ask(QUESTION)
    assert answer.outcome is AnswerOutcome.ANSWERED
    assert "500 hours" in answer.text
    citation = next(item for item in answer.citations if "500 hours" in item.quote)
    assert citation.document_id == "pump"
    assert citation.location.heading_path[0] == "Pump manual"
    assert PUMP[citation.location.start : citation.location.end] == citation.quote


def test_a_document_of_a_backfill_becomes_searchable_as_any_other(place: Place) -> None:
    with place.client() as client:
        put(client, "old-pump", PUMP.replace("Kestrel", "Merlin"), bulk=True)
        assert "old-pump" in found(client, "How often do I change the oil of the Merlin pump?")
        # Offsets are committed a moment after what they stand for was applied.
        assert eventually(lambda: client.ingest_status().bulk_lag == 0)


def test_every_hit_is_a_span_of_its_document(place: Place) -> None:
    text = "\n\n".join(f"## Part {n}\n\n" + f"Sentence {n} about valves and seals. " * 40 for n in range(12))
    with place.client() as client:
        put(client, "long", text)
        hits = client.search("valves and seals", k=50).hits
    assert len(hits) > 1
    assert all(text[hit.location.start : hit.location.end] == hit.text for hit in hits)


def test_an_edit_replaces_what_was_said_before(place: Place) -> None:
    with place.client() as client:
        put(client, "pump", PUMP)
        put(client, "pump", PUMP.replace("500", "750"))
        assert eventually(lambda: "750" in client.search(QUESTION, k=1).hits[0].text)
        assert all("500 hours" not in hit.text for hit in client.search(QUESTION, k=20).hits)


def test_a_deleted_document_is_gone_from_search_answers_and_replays(place: Place) -> None:
    with place.client() as client:
        put(client, "pump", PUMP)
        answer = client.ask(QUESTION)
        client.delete_document("pump")
        client.wait_until_applied()
        assert found(client) == []
        assert client.ask(QUESTION).outcome is AnswerOutcome.ABSTAINED
        replay = client.get_answer(answer.answer_id)
        assert replay.redacted
        assert "500" not in replay.answer.text
        assert all(not item.readable and not item.quote for item in replay.answer.citations)
        assert client.get_document("pump").state == "deleted"


def test_a_late_update_after_a_delete_stays_deleted(place: Place) -> None:
    with place.client() as client:
        put(client, "pump", PUMP, version=10)
        client.delete_document("pump", version=20)
        client.put_document("pump", PUMP.encode(), version=15, filename="pump.md", readers=["public"])
        states = [change.state for change in client.wait_until_applied().values()]
        assert sorted(states) == ["applied", "superseded"]
        assert found(client) == []
        put(client, "pump", PUMP, version=21)
        assert eventually(lambda: found(client) == ["pump"])


def test_revoking_hides_at_once_and_granting_shows_again(place: Place) -> None:
    with place.client() as writer, place.client("staff", scopes=("read",)) as reader:
        put(writer, "pump", PUMP, readers=["group:staff"])
        assert found(reader) == ["pump"]
        answer = reader.ask(QUESTION)
        writer.set_document_access("pump", ["group:board"])
        writer.wait_until_applied()
        assert found(reader) == []
        assert reader.get_answer(answer.answer_id).redacted
        with pytest.raises(NotFoundError):
            reader.get_document("pump")
        writer.set_document_access("pump", ["group:staff"])
        writer.wait_until_applied()
        assert eventually(lambda: found(reader) == ["pump"])


def test_groups_are_compared_byte_for_byte(place: Place) -> None:
    with place.client() as writer:
        put(writer, "pump", PUMP, readers=["group:eng"])
    for group, may in (("eng", True), ("eng-admins", False), ("Eng", False), ("еng", False)):  # the last is Cyrillic
        with place.client(group) as reader:
            assert (found(reader) == ["pump"]) is may, group


def test_clearance_is_needed_besides_membership(place: Place) -> None:
    with place.client() as writer:
        put(writer, "pump", PUMP, security_level=3)
    with place.client() as low, place.client(clearance=3) as high:
        assert found(low) == []
        assert found(high) == ["pump"]


def test_tenants_do_not_see_each_other(place: Place) -> None:
    with place.client() as client:
        put(client, "pump", PUMP)
        client.create_tenant("elsewhere")
    with Place(place.data, place.target, place.http, "elsewhere").client() as other:
        assert found(other) == []
        with pytest.raises(NotFoundError):
            other.get_document("pump")


def test_filters_compare_versions_as_versions(place: Place) -> None:
    with place.client() as client:
        for release in ("2.9", "2.10", "3.0"):
            put(client, f"notes-{release}", PUMP, title=f"Release {release}", metadata={"release": release})
        wanted = {"$and": [{"release": {"$gt": "2.9"}}, {"release": {"$lt": "3.0"}}]}
        assert eventually(lambda: found(client, filter=wanted) == ["notes-2.10"])


def test_putting_the_same_again_changes_nothing(place: Place) -> None:
    with place.client() as client:
        put(client, "pump", PUMP)
        again = client.put_document("pump", PUMP.encode(), filename="pump.md", readers=["public"])
        assert again.unchanged
        put(client, "manual", PUMP, version=5)
        with pytest.raises(ConflictError) as refused:
            client.put_document("manual", b"Other text.", version=5, filename="manual.md", readers=["public"])
        assert refused.value.reason == "VERSION_CONFLICT"


def test_a_large_document_is_streamed(place: Place) -> None:
    paragraphs = "\n\n".join(f"Paragraph {n} speaks of bearings." for n in range(9_000))
    text = (paragraphs + "\n\n" + "x " * 2_000_000)[: 4 * 2**20]
    with place.client() as client:
        receipt = client.put_document("large", text.encode(), filename="large.bin", readers=["public"])
        assert receipt.version > 0
        client.delete_document("large")


def test_a_batch_answers_like_single_questions(place: Place) -> None:
    with place.client() as client:
        put(client, "pump", PUMP)
        single = client.search(QUESTION, k=3)
        first, second = client.search_batch([QUESTION, "Where is the pump stored?"], k=3)
        assert [hit.chunk_id for hit in first.hits] == [hit.chunk_id for hit in single.hits]
        assert second.hits
        assert [answer.outcome for answer in client.ask_batch([QUESTION])] == [AnswerOutcome.ANSWERED]


def test_what_ingestion_does_is_counted(place: Place) -> None:
    with place.client() as client:
        client.put_document("counted", b"The ferry leaves at nine.", filename="counted.txt", readers=["public"])
        client.wait_until_applied()
    counted = httpx.get(f"http://{Endpoints.load(place.data).metrics['ingest']}/metrics", timeout=60).text
    for sample in (
        'headwater_ingest_accepted_total{kind="upsert"}',
        "headwater_ingest_chunks_total",
        *(f'headwater_ingest_stage_duration_seconds_count{{stage="{stage}"}}' for stage in ("fetch", "parse", "embed")),
    ):
        assert any(line.startswith(sample) and float(line.split()[-1]) > 0 for line in counted.splitlines()), sample
