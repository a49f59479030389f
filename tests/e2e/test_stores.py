"""Stores that agree, seen through the command line: damage done behind the services' back, beside live changes."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from tests.e2e.conftest import Place
from tests.e2e.installation import rows, with_stores

from corpus.engines import CorpusStores
from headwater import Client

WORDS = ("pump", "valve", "filter", "seal", "bearing", "rotor", "gasket", "shaft")


def manual(number: int) -> bytes:
    rng = random.Random(number)
    parts = []
    for part in range(5):
        words = " ".join(rng.choice(WORDS) for _ in range(220))
        parts.append(f"## Part {part} of manual {number}\n\n{words.capitalize()}.\n")
    return "\n".join(parts).encode()


def put_manuals(client: Client, numbers: range) -> None:
    for number in numbers:
        client.put_document(f"manual-{number}", manual(number), filename="manual.md", readers=["public"])
    assert {change.state for change in client.wait_until_applied().values()} <= {"applied"}


def chunk_ids(place: Place) -> list[str]:
    return sorted(chunk_id for chunk_id, _ in rows(place.data, place.settings, place.tenant).vectors)


def remove_rows(place: Place, chunks: list[str]) -> None:
    """Removes rows of the vector index as a disk or an operator might: no service knows."""
    if place.settings.get("HEADWATER_PROFILE") == "cluster":
        asyncio.run(with_stores(place.data, place.settings, lambda stores: _delete(stores, place.tenant, chunks)))
        return
    # The port lets one process write, which is the service.
    [file] = place.data.glob(f"index/*/{place.tenant}/*/rows.sqlite")
    with closing(sqlite3.connect(file, timeout=10)) as database, database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE state SET seq = seq + 1")
        for chunk in chunks:
            database.execute(
                "UPDATE vector_rows SET live = 0, seq = (SELECT seq FROM state) WHERE chunk_id = ? AND live = 1",
                (chunk,),
            )


async def _delete(stores: CorpusStores, tenant_id: str, chunks: list[str]) -> None:
    active = await stores.generations.active()
    assert active is not None
    await stores.vectors.delete(active.name, tenant_id, chunks)


def audit(place: Place, *options: str) -> tuple[int, Any]:
    """(exit code, report) of an audit of the place's tenant."""
    done = place.command("audit", *options, "--json")
    [report] = json.loads(done.stdout)
    return done.returncode, report


@contextmanager
def writing(place: Place) -> Iterator[None]:
    """Puts, edits, re-permissions and deletes documents until the end."""
    stop = threading.Event()

    def write() -> None:
        rng = random.Random(5)
        with place.client() as client:
            number = 0
            while not stop.is_set():
                number += 1
                name = f"busy-{rng.randrange(6)}"
                if number % 5 == 0:
                    client.delete_document(name)
                else:
                    client.put_document(name, manual(number)[:2_000], filename="a.md", readers=["public"])
                    client.set_document_access(name, rng.choice((["public"], ["group:a"], [])))
                if number % 3 == 0:
                    # No faster than they are applied: a backlog would only say that nothing is settled.
                    client.wait_until_applied()
            client.wait_until_applied()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_fifty_chunks_deleted_behind_our_back_are_reported_and_mended_beside_live_changes(place: Place) -> None:
    with place.client() as client:
        put_manuals(client, range(14))
        documents = {hit.chunk_id: hit.document_id for hit in client.search("valve", k=50, legs=["vector"]).hits}
        before = chunk_ids(place)
        code, report = audit(place)
        assert (code, report["found"], report["buckets_listed"]) == (0, [], 0)
        lost = random.Random(3).sample(before, 50)
        remove_rows(place, lost)
        with writing(place):
            code, report = audit(place)
            assert (code, report["found"]) == (1, [{"kind": "missing", "store": "vector", "count": 50}])
            assert sorted(each["chunk_id"] for each in report["differences"]) == sorted(lost)
            code, report = audit(place, "--repair")
            assert (code, report["left"], report["unrepairable"]) == (0, [], {})
            assert sum(each["count"] for each in report["found"]) == 50
            for _ in range(3):
                code, report = audit(place)
                assert (code, report["found"]) == (0, [])
        assert set(before) <= set(chunk_ids(place))
        for chunk in [each for each in lost if each in documents][:3]:
            of_document = {"document_id": documents[chunk]}
            assert chunk in {
                hit.chunk_id for hit in client.search("valve", k=50, filter=of_document, legs=["vector"]).hits
            }


def test_a_lost_index_is_rebuilt_while_searches_go_on_and_say_so(place: Place) -> None:
    with place.client() as client:
        put_manuals(client, range(4))
        before = chunk_ids(place)
        remove_rows(place, before)
        done = place.command("rebuild", "vector", "--json")
        assert done.returncode == 0, done.stderr.decode()
        assert chunk_ids(place) == before
        degraded: list[tuple[str, ...]] = []
        stop = threading.Event()

        def search() -> None:
            while not stop.is_set():
                degraded.append(tuple(client.search("valve").degraded))

        thread = threading.Thread(target=search)
        thread.start()
        again = place.json("rebuild", "lexical", "--drop")
        stop.set()
        thread.join()
        assert ("lexical",) in degraded
        assert set(degraded) <= {(), ("lexical",)}
        assert again[place.tenant]["written"] == len(before)
        assert audit(place)[1]["found"] == []


def test_a_document_goes_back_to_its_earlier_version_and_keeps_the_readers_of_now(place: Place) -> None:
    with place.client() as client:
        client.put_document("guide", b"# Guide\n\nThe valve opens to the left.\n", filename="g.md", readers=["public"])
        client.wait_until_applied()
        client.put_document(
            "guide", b"# Guide\n\nThe valve opens to the right.\n", filename="g.md", readers=["group:a"]
        )
        client.wait_until_applied()
        kept = place.json("documents", "versions", "guide")
        assert [(each["served"], each["restorable"]) for each in kept] == [(True, False), (False, True)]
        rolled = place.command("documents", "rollback", "guide")
        assert rolled.returncode == 0, rolled.stderr.decode()
        assert client.get_document("guide").readers == ("group:a",)
        refused = place.command("documents", "rollback", "guide", "--to", "1")
        assert (refused.returncode, b"VERSION_SWEPT" in refused.stderr) == (1, True)
    with place.client("a", subject="ann") as reader:
        assert "left" in reader.search("valve", k=1).hits[0].text
    with place.client(subject="bob") as other:
        assert other.search("valve").hits == ()
