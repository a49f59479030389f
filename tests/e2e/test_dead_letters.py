"""Dead letters by way of the command line: listed, shown, tried again, given up."""

from __future__ import annotations

import asyncio
import json
import urllib.request
import uuid

import pytest
from tests.e2e.conftest import Place
from tests.e2e.installation import with_log

from chassis.eventlog.port import EventLog
from headwater import PermissionDeniedError

SECRET = "the heron nests in drawer nine"
BAD = b"%PDF-1.7\n" + SECRET.encode() + bytes(range(256)) * 40


def refuse(place: Place, document_id: str, content: bytes = BAD) -> str:
    """The letter that a bad document leaves."""
    with place.client() as client:
        receipt = client.put_document(document_id, content, filename=document_id, readers=["public"])
        assert client.wait_until_applied()[receipt.event_id].state == "dead_lettered"
        return receipt.event_id


def letters(place: Place, *options: str) -> dict[str, dict[str, object]]:
    found = place.json("dlq", "list", "--tenant", place.tenant, *options)
    return {letter["letter_id"]: letter for letter in found["letters"]}


def test_a_dead_letter_is_listed_shown_and_tried_again_and_holds_no_content(place: Place) -> None:
    letter_id = refuse(place, "plans/a.pdf")
    [letter] = letters(place).values()
    assert (letter["letter_id"], letter["document_id"], letter["state"]) == (letter_id, "plans/a.pdf", "open")
    assert letters(place, "--prefix", "other/") == letters(place, "--reason", "ENCRYPTED") == {}
    assert letters(place, "--prefix", "plans/", "--reason", str(letter["reason"])).keys() == {letter_id}

    shown = place.json("dlq", "show", letter_id)
    assert shown["change"]["state"] == "dead_lettered"
    assert shown["letter"]["topic"] == "headwater.document-changes.v1"
    assert shown["letter"]["attempts"] == 1
    assert str(shown["letter"]["object_key"]).startswith(f"documents/{place.tenant}/")
    for output in (place.command("dlq", "show", letter_id), place.command("dlq", "list", "--tenant", place.tenant)):
        assert output.returncode == 0
        assert SECRET.encode() not in output.stdout + output.stderr

    [result] = place.json("dlq", "replay", letter_id)["results"]
    assert result["outcome"] == "replayed"
    with place.client() as client:
        change = client.wait_for_changes([letter_id])[letter_id]
    assert (change.state, change.attempts) == ("dead_lettered", 2)
    again = place.json("dlq", "show", letter_id)["letter"]
    assert (again["state"], again["replays"], again["attempts"]) == ("open", 1, 2)


def test_a_newer_version_wins_over_a_replay(place: Place) -> None:
    letter_id = refuse(place, "b.pdf")
    with place.client() as client:
        client.put_document("b.pdf", b"# Plan\n\nWords.", filename="b.md", readers=["public"])
        client.wait_until_applied()
        [result] = place.json("dlq", "replay", "--tenant", place.tenant)["results"]
        assert result["outcome"] == "superseded"
        assert client.wait_for_changes([letter_id])[letter_id].state == "superseded"
        assert client.get_document("b.pdf").media_type is not None
    assert letters(place) == {}
    assert letters(place, "--state", "replayed")[letter_id]["outcome"] == "superseded"


def test_a_discarded_change_says_who_and_why_and_the_counts_say_so(place: Place) -> None:
    letter_id = refuse(place, "c.pdf")
    done = place.command("dlq", "discard", letter_id, "--why", "scanned upside down")
    assert done.returncode == 0, done.stderr.decode()
    letter = letters(place, "--state", "discarded")[letter_id]
    assert (letter["why"], letter["decided_by"]) == ("scanned upside down", "developer")
    refused = place.command("dlq", "replay", letter_id)
    assert refused.returncode == 6
    assert b"given up" in refused.stdout
    status = place.json("status")
    assert status["ingest"]["change_counts"] == {"discarded": 1}


def test_a_known_bad_file_is_refused_at_once_under_another_name(place: Place) -> None:
    first, second = refuse(place, "d.pdf"), refuse(place, "e.pdf")
    found = letters(place)
    assert (found[first]["registered"], found[second]["registered"]) == (False, True)
    assert found[first]["reason"] == found[second]["reason"]
    assert place.json("dlq", "forget", first) == {"forgotten": 1}
    third = refuse(place, "f.pdf")
    assert letters(place)[third]["registered"] is False


@pytest.mark.parametrize("value", [b"\xff\x00junk", b"", None], ids=["random bytes", "no bytes", "no value"])
def test_a_record_that_is_no_change_is_listed_once_with_its_coordinates_and_discarded(
    place: Place, value: bytes | None
) -> None:
    async def append(log: EventLog) -> tuple[int, int]:
        position = await log.producer().append("headwater.document-changes.v1", uuid.uuid4().bytes, value)
        return position.partition.index, position.offset

    where = asyncio.run(with_log(place.data, place.settings, append))
    with place.client() as client:
        # What comes after it in the same log is applied.
        client.put_document("good.md", b"# Fine\n\nWords.", filename="good.md", readers=["public"])
        client.wait_until_applied()

    def found() -> list[str]:
        listed = place.json("dlq", "list", "--reason", "MALFORMED_EVENT", "--state", "all", "--limit", "1000")
        return [
            letter["letter_id"]
            for letter in listed["letters"]
            if (letter["partition"], letter["offset"]) == where and letter["tenant_id"] == ""
        ]

    for _ in range(30):
        if found():
            break
    [letter_id] = found()
    assert place.json("dlq", "show", letter_id)["change"] is None
    assert place.command("dlq", "replay", letter_id).returncode == 6
    assert place.json("dlq", "discard", letter_id, "--why", "not ours")["results"][0]["outcome"] == "discarded"


def test_only_administrators_see_dead_letters(place: Place) -> None:
    with place.client(scopes=("read", "write")) as client:
        for attempt in (
            lambda: list(client.list_dead_letters()),
            lambda: client.get_dead_letter("x"),
            lambda: client.replay_dead_letters(["x"]),
            lambda: client.discard_dead_letters("why", ["x"]),
            lambda: client.forget_known_bad(["x"]),
            lambda: client.resume_ingestion(),
        ):
            with pytest.raises(PermissionDeniedError):
                attempt()
        assert client.ingest_status().open_dead_letters == 0


def test_http_says_what_is_open_and_what_is_halted(place: Place) -> None:
    headers = {"x-headwater-dev-tenant": place.tenant}
    for path, parts in (("status?list_limit=5", {"open", "halts", "open_dead_letters"}), ("changes/open", {"changes"})):
        request = urllib.request.Request(f"http://{place.http}/v1/{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as reply:
            body = json.load(reply)
        assert parts <= body.keys()
        assert body.get("changes", []) == body.get("open", []) == []


def test_nothing_is_halted_and_resuming_says_so(place: Place) -> None:
    assert place.json("dlq", "resume") == {"halted": []}
    assert place.json("status")["ingest"]["halts"] == []
    assert place.json("status", "--open")["ingest"]["open"] == []


def test_usage_errors_say_what_to_do(place: Place) -> None:
    for arguments in (("replay",), ("replay", "x", "--reason", "EMPTY"), ("list", "--state", "odd")):
        done = place.command("dlq", *arguments)
        assert done.returncode == 2
        assert done.stderr
    assert place.command("dlq", "show", "unknown").returncode == 4
