"""Documents that follow another system: records on the topic of sources, and a watched folder."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Place

from headwater import Client

BODY = "Change the oil of the Osprey pump every 700 hours."
QUESTION = "How often do I change the oil of the Osprey pump?"


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def live(client: Client) -> dict[str, str]:
    return {document.document_id: document.content_sha256 for document in client.list_documents()}


def envelope(place: Place, operation: str, lsn: int, **row: Any) -> bytes:
    whole = {"id": 7, "tenant": place.tenant, "title": "Pumps", "body": BODY, "team": "service", **row}
    source = {"connector": "postgresql", "name": "shop", "schema": "public", "table": "articles", "lsn": lsn}
    before, after = (whole, None) if operation == "d" else (None, whole)
    return json.dumps({"op": operation, "before": before, "after": after, "source": source}).encode()


def send(place: Place, file: Path, value: bytes, *options: str) -> None:
    file.write_bytes(value)
    key = json.dumps({"id": 7, "tenant": place.tenant})
    done = place.command("sources", "send", str(file), "--key", key, *options)
    assert done.returncode == 0, done.stderr.decode()


def test_a_row_of_a_database_is_found_by_its_readers_until_it_is_deleted(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    with place.client("service") as reader, place.client("sales") as other:
        send(place, file, envelope(place, "c", 100))
        assert eventually(lambda: [hit.document_id for hit in reader.search(QUESTION).hits] == ["articles/7"])
        assert not other.search(QUESTION).hits
        send(place, file, envelope(place, "u", 200, team="sales"))
        assert eventually(lambda: bool(other.search(QUESTION).hits))
        assert not reader.search(QUESTION).hits
        send(place, file, envelope(place, "c", 100))
        send(place, file, envelope(place, "d", 300))
        assert eventually(lambda: not live(reader))
        send(place, file, envelope(place, "u", 200, team="sales"))
        send(place, file, envelope(place, "c", 400, body="Another row with the same key."))
        assert eventually(lambda: reader.get_document("articles/7").state == "live")
        assert reader.get_document("articles/7").version == 400 * 4 + 1


def test_an_event_in_binary_mode_brings_its_document_along(place: Place, tmp_path: Path) -> None:
    said = {"specversion": "1.0", "id": "1", "source": "/wiki", "subject": "ferry", "tenant": place.tenant}

    def headers(**more: str) -> list[str]:
        return [part for name, value in {**said, **more}.items() for part in ("--header", f"ce_{name}={value}")]

    with place.client() as client:
        page = b"# Ferry\n\nThe ferry leaves at nine.\n"
        put = [*headers(type="page.published", sequence="1"), "--header", "content-type=text/markdown"]
        send(place, tmp_path / "page.md", page, *put)
        assert eventually(lambda: bool(client.search("When does the ferry leave?").hits))
        send(place, tmp_path / "empty", b"", *headers(type="page.deleted", sequence="2"))
        assert eventually(lambda: not live(client))


def test_a_record_that_nobody_declared_holds_up_nothing(place: Place, tmp_path: Path) -> None:
    with place.client("service") as client:
        send(place, tmp_path / "a", b"\x00not a record")
        send(place, tmp_path / "b", envelope(place, "c", 100).replace(b'"articles"', b'"salaries"'))
        send(place, tmp_path / "c", envelope(place, "c", 100))
        assert eventually(lambda: set(live(client)) == {"articles/7"})


def test_a_mapping_can_be_tried_without_a_service(place: Place, tmp_path: Path) -> None:
    mappings = Path(__file__).with_name("sources.toml")
    record = tmp_path / "record.json"
    record.write_bytes(envelope(place, "c", 100))
    command = [sys.executable, "-m", "headwater.cli", "sources", "check", str(mappings), str(record)]
    done = subprocess.run([*command, "--json"], capture_output=True, timeout=60, check=True)
    (shown,) = json.loads(done.stdout)["records"]
    assert shown["changes"][0]["document"] == "articles/7"
    assert shown["changes"][0]["readers"] == ["group:service"]
    record.write_bytes(envelope(place, "c", 100, body=None))
    refused = subprocess.run(command, capture_output=True, timeout=60)
    assert refused.returncode == 1
    assert b"MISSING_FIELD" in refused.stdout


def test_a_watched_folder_and_its_documents_stay_equal_until_ctrl_c(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "first.md").write_text("# First\n\nThe heron stands still.\n")
    command = [sys.executable, "-m", "headwater.cli", "watch", str(folder), "--data", str(place.data)]
    watching = subprocess.Popen(
        [*command, "--tenant", place.tenant], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        with place.client() as client:
            assert eventually(lambda: set(live(client)) == {"notes/first.md"})
            (folder / "second.md").write_text("# Second\n\nThe ferry leaves at nine.\n")
            (folder / "second.md~").write_text("an editor's own")
            assert eventually(lambda: set(live(client)) == {"notes/first.md", "notes/second.md"})
            (folder / "first.md").rename(folder / "third.md")
            assert eventually(lambda: set(live(client)) == {"notes/second.md", "notes/third.md"})
            (folder / "third.md").unlink()
            assert eventually(lambda: set(live(client)) == {"notes/second.md"})
        watching.send_signal(signal.SIGINT)
        said, problems = watching.communicate(timeout=30)
    finally:
        watching.kill()
        watching.wait()
    assert (watching.returncode, problems) == (0, "")
    *told, stopped = said.splitlines()
    # A rename may be told of twice, and of its two names in either order; a put that is not applied yet is then
    # accepted again, and changes nothing.
    by_path: dict[str, list[str]] = {}
    for line in dict.fromkeys(told):
        verb, path = line.split(" ", 1)
        by_path.setdefault(path, []).append(verb)
    assert by_path == {
        "notes/first.md": ["put", "deleted"],
        "notes/second.md": ["put"],
        "notes/third.md": ["put", "deleted"],
    }
    assert stopped.startswith("stopped: ")
    assert stopped.endswith("2 deleted, 0 refused")
