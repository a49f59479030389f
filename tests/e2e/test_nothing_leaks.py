"""Distinctive words go into everything that is somebody's secret, down paths that work and paths that fail; afterwards
none of them is in a log, a span, a metric or an error."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import httpx
import pytest
from tests.e2e.locked_stack import API_KEY, Locked, locked_stack

from corpus.privacy.pseudonyms import PSEUDONYM
from headwater.cli import stack
from headwater.errors import HeadwaterError

CANARIES = {
    name: f"canary{name}9f3a"
    for name in (
        "text",
        "title",
        "question",
        "meta",
        "field",
        "person",
        "group",
        "file",
        "id",
        "uri",
        "token",
        "note",
        "mail",
    )
}
C = CANARIES
MAIL = f"{C['mail']}@example.org"
VAULT_KEY, PSEUDONYM_KEY = (base64.b64encode(bytes(range(first, first + 32))).decode() for first in (7, 77))
SECRETS = {**CANARIES, "key": API_KEY, "vault key": VAULT_KEY, "pseudonym key": PSEUDONYM_KEY}
PRIVATE = {
    "HEADWATER_INGEST_PRIVACY": '[tenants.acme.doc_types]\nletter = "pseudonymise"\n',
    "HEADWATER_INGEST_VAULT_KEYS": VAULT_KEY,
    "HEADWATER_INGEST_PSEUDONYM_KEY": PSEUDONYM_KEY,
}
MARKDOWN = f"---\n{C['field']}: {C['meta']}\nyear: {C['meta']}\n---\n# {C['title']}\n\nThe code is {C['text']}.\n"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Locked, list[str], str]]:
    """The stack after all that was done to it, what its errors said, and its metrics."""
    with locked_stack(tmp_path_factory.mktemp("canaries"), PRIVATE) as locked:
        errors: list[str] = []
        write(locked, errors)
        ask(locked, errors)
        reveal(locked, errors)
        knock(locked, errors)
        without_embedder(locked, errors)
        metrics = ""
        for service, address in locked.endpoints.metrics.items():
            if service != "embedder":
                metrics += httpx.get(f"http://{address}/metrics").text
        stack.stop(locked.data / "stack")
        yield locked, errors, metrics


def write(locked: Locked, errors: list[str]) -> None:
    with locked.client(C["person"]) as client:
        client.create_tenant("acme", {"year": "number"})
        described = {"title": C["title"], "uri": f"https://x.example/{C['uri']}", "readers": [f"group:{C['group']}"]}
        receipts = [
            client.put_document(C["id"], MARKDOWN.encode(), filename=f"{C['file']}.md", **described),
            client.put_document(C["id"] + "-bad", b"%PDF-1.7 " + C["text"].encode(), filename=f"{C['file']}.pdf"),
            client.put_document(C["id"] + "-zip", b"PK\x03\x04" + C["text"].encode(), filename=f"{C['file']}.docx"),
            client.put_document(C["id"] + "-json", b"{" + C["text"].encode(), filename=f"{C['file']}.json"),
        ]
        changes = client.wait_for_changes([each.event_id for each in receipts], timeout_seconds=60)
        errors += [f"{change.reason} {change.message}" for change in changes.values()]
        assert {"applied", "dead_lettered"} <= {str(change.state) for change in changes.values()}
        for wrong in ({"metadata": {"year": C["meta"]}}, {"readers": [C["group"]]}, {"version": -1}):
            with suppress(ValueError):
                note(errors, lambda wrong=wrong: client.put_document(C["id"], b"x", **{"filename": "a.txt", **wrong}))  # type: ignore[misc]
        note(errors, lambda: client.delete_document(C["id"] + "\n"))


def note(errors: list[str], action: object) -> None:
    """Runs what has to fail, and keeps what the error says."""
    assert callable(action)
    with pytest.raises(HeadwaterError) as caught:
        action()
    errors.append(f"{caught.value.message} {caught.value.reason}")


def ask(locked: Locked, errors: list[str]) -> None:
    with locked.client(C["person"], groups=[C["group"]]) as client:
        assert client.search(C["question"] + " code").hits
        answer = client.ask(f"What is the code of {C['question']}?")
        assert str(answer.outcome) == "fallback"
        client.send_feedback(answer.answer_id, good=False, comment=C["note"])
        client.get_answer(answer.answer_id)
        note(errors, lambda: client.search(C["question"], filter={"year": {"$like": C["meta"]}}))
        note(errors, lambda: client.search(C["question"], k=100_000))
        note(errors, lambda: client.search(C["question"] * 10_000))
        note(errors, lambda: client.get_document(C["id"] + "-unknown"))
        note(errors, lambda: client.get_answer(C["note"]))
    with locked.client(C["person"], tenant="nobody") as client:
        note(errors, lambda: client.search(C["question"]))


def reveal(locked: Locked, errors: list[str]) -> None:
    """What a pseudonym stands for, to somebody who may know and to those who may not."""
    readers, letter = [f"group:{C['group']}"], C["id"] + "-letter"
    text = f"Complaints about the green pump go to {MAIL} at once."
    with locked.client(C["person"], groups=[C["group"]], scope="read write admin reveal") as client:
        receipt = client.put_document(
            letter, text.encode(), filename=f"{C['file']}.txt", doc_type="letter", readers=readers
        )
        client.wait_for_changes([receipt.event_id], timeout_seconds=60)
        [hit] = [each for each in client.search("complaints about the green pump").hits if each.document_id == letter]
        assert MAIL not in hit.text
        pseudonyms = PSEUDONYM.findall(hit.text)
        assert [each.value for each in client.reveal_pseudonyms([letter], pseudonyms)] == [MAIL]
        assert client.vault_keys()[0].records == 1
        answer = client.ask("Where do complaints about the green pump go?", reveal=True)
        assert str(answer.outcome) == "fallback"
        note(errors, lambda: client.reveal_pseudonyms([letter + "-unknown"], pseudonyms))
        note(errors, lambda: client.reveal_pseudonyms([letter], [MAIL]))
    with locked.client(C["person"], groups=[C["group"]]) as client:
        note(errors, lambda: client.reveal_pseudonyms([letter], pseudonyms))
        note(errors, lambda: client.ask("Where do complaints go?", reveal=True))
    with locked.client(C["person"], scope="read write admin reveal") as client:
        note(errors, lambda: client.reveal_pseudonyms([letter], pseudonyms))


def knock(locked: Locked, errors: list[str]) -> None:
    for token in (C["token"], locked.token(C["person"], exp=1), locked.token(C["person"], aud=C["token"])):
        response = httpx.post(
            f"{locked.url}/v1/ask", headers={"authorization": f"Bearer {token}"}, json={"question": C["question"]}
        )
        assert response.status_code == 401
        errors.append(response.text)
    own = {"authorization": f"Bearer {locked.token(C['person'])}"}
    for body in ({"question": [C["question"]]}, {"question": C["question"], "k": C["meta"]}):
        response = httpx.post(f"{locked.url}/v1/ask", headers=own, json=body)
        assert response.status_code == 400
        errors.append(response.text)
    raw = httpx.post(f"{locked.url}/v1/ask", headers=own, content=b'{"' + C["question"].encode())
    errors.append(raw.text)
    for path in ("documents", C["id"], f"documents/{C['file']}"):
        errors.append(httpx.patch(f"{locked.url}/v1/{path}", headers=own).text)
    # A message that is none.
    with grpc.insecure_channel(locked.endpoints.grpc["gateway"]) as channel:
        call = channel.unary_unary("/headwater.gateway.v1.GatewayService/Search")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\x0a\xff" + C["question"].encode(), metadata=[("authorization", own["authorization"])], timeout=5)
        errors.append(str(caught.value.details()))  # type: ignore[attr-defined]


def without_embedder(locked: Locked, errors: list[str]) -> None:
    pid = stack.pid_of(locked.data / "stack", "embedder")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with locked.client(C["person"], groups=[C["group"]]) as client:
        assert "vector" in client.search(C["question"] + " anew").degraded
        note(errors, lambda: client.search(C["question"] + " again", legs=["vector"]))
        client.put_document(C["id"] + "-later", C["text"].encode(), filename=f"{C['file']}.txt")
        client.ingest_status()


def spilled(where: str) -> list[str]:
    return [name for name, canary in SECRETS.items() if canary in where]


def test_no_log_holds_a_word_of_it(said: tuple[Locked, list[str], str]) -> None:
    for file in (said[0].data / "stack" / "logs").iterdir():
        content = file.read_text()
        assert content
        lines = [line for line in content.splitlines() if spilled(line)]
        assert not lines, file.name
        assert "Bearer " not in content
        assert "eyJ" not in content


def test_no_span_holds_a_word_of_it(said: tuple[Locked, list[str], str]) -> None:
    files = list((said[0].data / "stack" / "traces").iterdir())
    assert len(files) >= 4
    for file in files:
        lines = [line for line in file.read_text().splitlines() if spilled(line)]
        assert not lines, file.name


def test_no_metric_holds_a_word_of_it(said: tuple[Locked, list[str], str]) -> None:
    assert "headwater_" in said[2]
    assert spilled(said[2]) == []


def test_no_error_repeats_a_word_of_it(said: tuple[Locked, list[str], str]) -> None:
    assert len(said[1]) > 15
    assert [error for error in said[1] if spilled(error)] == []


def test_no_process_shows_a_secret_on_its_command_line(said: tuple[Locked, list[str], str]) -> None:
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert not [secret for secret in (API_KEY, VAULT_KEY, PSEUDONYM_KEY) if secret in shown]


def test_only_the_data_stores_hold_it(said: tuple[Locked, list[str], str]) -> None:
    data = said[0].data / "stack"
    stores = {"corpus.sqlite", "eventlog.sqlite", "answers.sqlite", "objects", "index", "embeddings.sqlite"}
    for file in (each for each in data.rglob("*") if each.is_file()):
        first = file.relative_to(data).parts[0].removesuffix("-wal").removesuffix("-shm")
        if first not in stores:
            raw = file.read_bytes()
            held = {name for name, canary in SECRETS.items() if canary.encode() in raw}
            # What questions cost is reported by user; of him it holds the name that he signs in with.
            assert held <= ({"person"} if first == "costs.sqlite" else set()), Path(first)


def test_what_a_pseudonym_stands_for_is_with_the_bytes_that_came_and_sealed(
    said: tuple[Locked, list[str], str],
) -> None:
    data = said[0].data / "stack"
    holds = {
        file.relative_to(data).parts[0]
        for file in data.rglob("*")
        if file.is_file() and MAIL.encode() in file.read_bytes()
    }
    # In a cluster they are in no file of this stack.
    assert holds <= {"objects"}
