"""The command line as a user types it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.conftest import Place

COMMANDS = [
    ("up",), ("down",), ("status",), ("ingest",), ("search",), ("ask",), ("eval",), ("trace",),
    ("documents", "list"), ("documents", "show"), ("documents", "delete"), ("documents", "set-access"),
    ("tenants", "list"), ("tenants", "create"), ("tenants", "delete"),
    ("dlq", "list"), ("dlq", "show"), ("dlq", "replay"), ("dlq", "discard"), ("dlq", "forget"), ("dlq", "resume"),
    ("watch",), ("sync-bucket",), ("sources", "check"), ("sources", "send"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headwater.cli", *command, "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "Example:" in done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "handbook"
    (made / "guides").mkdir(parents=True)
    (made / "leave.md").write_text("# Leave\n\nEveryone has 30 days of paid leave a year.\n")
    (made / "guides" / "travel.txt").write_text("Book trains rather than flights below six hours of travel time.\n")
    (made / "tool.py").write_text('"""Counts herons."""\n\n\ndef count_herons(pond):\n    return len(pond.herons)\n')
    (made / "photo.png").write_bytes(b"\x89PNG")
    return made


def test_a_folder_is_ingested_asked_synchronised_and_listed(place: Place, folder: Path) -> None:
    first = place.json("ingest", str(folder), "--group", "staff", "--doc-type", "policy", "--metadata", "year=2026")
    assert first["states"] == {"applied": 3}
    assert first["skipped"] == ["photo.png"]
    again = place.json("ingest", str(folder), "--group", "staff", "--doc-type", "policy", "--metadata", "year=2026")
    assert again["unchanged"] == 3

    listed = {item["document_id"]: item for item in place.json("documents", "list")}
    assert set(listed) == {"handbook/leave.md", "handbook/guides/travel.txt", "handbook/tool.py"}
    assert listed["handbook/leave.md"]["readers"] == ["group:staff"]
    assert listed["handbook/leave.md"]["metadata"] == {"year": 2026.0}

    assert place.json("ask", "How many days of paid leave does everyone have?")["outcome"] == "abstained"
    answer = place.json("ask", "How many days of paid leave does everyone have?", "--as-group", "staff")
    assert answer["outcome"] == "answered"
    assert answer["citations"][0]["document_id"] == "handbook/leave.md"
    assert place.json("ask", "--answer-id", answer["answer_id"], "--as-group", "staff")["redacted"] is False

    code = place.json("search", "count herons", "--filter", '{"language":"python"}', "--as-group", "staff")
    assert [hit["document_id"] for hit in code["hits"]] == ["handbook/tool.py"]

    (folder / "leave.md").unlink()
    synced = place.json(
        "ingest", str(folder), "--sync", "--group", "staff", "--doc-type", "policy", "--metadata", "year=2026"
    )
    assert synced["deleted"] == ["handbook/leave.md"]
    assert {item["document_id"] for item in place.json("documents", "list")} == {
        "handbook/guides/travel.txt",
        "handbook/tool.py",
    }

    # As a mount point looks whose file system is away.
    shutil.rmtree(folder)
    folder.mkdir()
    refused = place.command("ingest", str(folder), "--sync", "--group", "staff")
    assert refused.returncode != 0
    assert b"--allow-empty" in refused.stderr
    assert len(place.json("documents", "list")) == 2
    assert len(place.json("ingest", str(folder), "--sync", "--allow-empty", "--group", "staff")["deleted"]) == 2
    assert place.json("documents", "list") == []


def test_documents_are_shown_re_permissioned_and_deleted(place: Place) -> None:
    assert place.command("ingest", "-", stdin=b"The heron nests in March.").returncode == 0
    assert place.json("documents", "show", "stdin")["state"] == "live"
    assert place.command("documents", "set-access", "stdin", "--group", "birders").returncode == 0
    assert place.json("search", "heron")["hits"] == []
    assert len(place.json("search", "heron", "--as-group", "birders")["hits"]) == 1
    assert place.command("documents", "delete", "stdin").returncode == 0
    assert place.json("documents", "show", "stdin")["state"] == "deleted"


def test_status_counts_and_names_dead_letters(place: Place, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("A good text.")
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.4 nothing here")
    done = place.command("ingest", str(tmp_path / "good.txt"), str(tmp_path / "bad.pdf"))
    assert done.returncode == 6
    assert b"bad.pdf" in done.stdout
    status = place.json("status")
    assert status["ingest"]["change_counts"] == {"applied": 1, "dead_lettered": 1}
    assert status["ingest"]["newest_dead_letters"][0]["document_id"] == "bad.pdf"
    assert all(status["services"].values())


def test_one_trace_leads_from_upload_to_searchable(place: Place) -> None:
    place.command("ingest", "-", stdin=b"A traced sentence about otters.")
    trace_id = place.json("documents", "show", "stdin")["ingest_trace_id"]
    names: set[str] = set()
    services: set[str] = set()
    for _ in range(50):  # spans are written every second or so
        done = place.command("trace", trace_id, "--json")
        spans = json.loads(done.stdout) if done.returncode == 0 else []
        services = {span["service"] for span in spans}
        names = {span["name"] for span in spans}
        if {"gateway", "ingest", "embedder"} <= services and "embed" in names:
            break
    assert {"gateway", "ingest", "embedder"} <= services
    assert {"parse", "chunk", "embed"} <= names


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("search", "x", "--filter", "{broken"), 2, b"not JSON"),
        (("search", "x", "--filter", '{"colour": "red"}'), 2, b"UNDECLARED_FIELD"),
        (("ask",), 2, b"question"),
        (("ingest", "/there/is/no/such/file"), 4, b"no file"),
        (("documents", "show", "unknown"), 4, b"UNKNOWN_DOCUMENT"),
        (("trace", "0" * 32), 4, b"No trace"),
        (("search", "x", "--target", "127.0.0.1:1"), 5, b"headwater up"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_failures_say_what_to_do_and_exit_with_a_meaning(
    place: Place, arguments: tuple[str, ...], code: int, words: bytes
) -> None:
    done = place.command(*arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_collection_is_evaluated_in_a_tenant_of_its_own(place: Place, tmp_path: Path) -> None:
    birds = ("heron", "kingfisher", "osprey", "bittern")
    folder = tmp_path / "birds"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": b, "title": b, "text": f"The {b} lives by the river."}) + "\n" for b in birds)
    )
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{b}", "text": f"Where does the {b} live?"}) + "\n" for b in birds)
    )
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "".join(f"q{b}\t{b}\t1\n" for b in birds)
    )
    report = place.json("eval", str(folder), "--legs")
    assert report["ndcg@10"] == 1.0
    assert {"recall@10", "recall@100", "mrr@10", "hit@5", "latency_ms", "documents_per_second"} <= report.keys()
    assert set(report["legs"]) == {"vector", "lexical"}
    assert "eval-birds" not in {tenant["tenant_id"] for tenant in place.json("tenants", "list")}
