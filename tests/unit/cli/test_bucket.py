"""Documents become equal to the objects of a bucket, also beside its notifications."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from obstore.store import S3Store
from tests.unit.small_s3 import PAGE, SmallS3, etag, small_s3

from headwater.cli.bucket import ETAG, Syncing
from headwater.cli.ingest import Report
from headwater.cli.problems import CommandError
from headwater.errors import ConflictError
from headwater.types import Receipt


@dataclass
class Service:
    """What a gateway does with documents, over a dict: content and description by id."""

    documents: dict[str, tuple[bytes, dict[str, Any]]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    """The greatest version that was accepted, where it is not that of the documents."""
    dead: dict[str, int] = field(default_factory=dict)
    """The greatest version, where it is one that was refused."""
    puts: list[str] = field(default_factory=list)
    after_the_list: Callable[[], None] = lambda: None

    def _takes(self, document_id: str, version: int) -> bool:
        """Whether the change is the newest one."""
        newest = self.versions.get(document_id, 0)
        if version and version == newest:
            raise ConflictError("Taken.", reason="VERSION_CONFLICT")
        self.versions[document_id] = max(version or newest + 1, newest)
        return not version or version > newest

    def _served(self, document_id: str) -> int:
        newest = self.versions.setdefault(document_id, 1)
        return newest - (self.dead.get(document_id) == newest)

    async def put_document(self, document_id: str, content: Path, *, version: int = 0, **said: Any) -> Receipt:
        self.puts.append(document_id)
        if self._takes(document_id, version):
            self.documents[document_id] = (content.read_bytes(), said)
        return Receipt(f"e{len(self.puts)}", document_id, version, False, "")

    async def delete_document(self, document_id: str, *, version: int = 0) -> Receipt:
        if self._takes(document_id, version):
            del self.documents[document_id]
        return Receipt("deleted", document_id, version, False, "")

    async def get_document(self, document_id: str) -> Any:
        newest = self.versions[document_id]
        state = "dead_lettered" if self.dead.get(document_id) == newest else "applied"
        return SimpleNamespace(changes=[SimpleNamespace(version=newest, state=state)])

    async def wait_for_changes(self, event_ids: Sequence[str], timeout_seconds: float) -> dict[str, Any]:
        return {event_id: SimpleNamespace(state="applied") for event_id in event_ids}

    async def list_documents(self, *, prefix: str) -> AsyncIterator[Any]:
        listed = [
            SimpleNamespace(document_id=document_id, version=self._served(document_id), **said)
            for document_id, (_, said) in self.documents.items()
            if document_id.startswith(prefix)
        ]
        for document in listed:
            yield document
        self.after_the_list()


@pytest.fixture
def s3() -> Iterator[SmallS3]:
    with small_s3() as held:
        yield held


def described(*readers: str) -> dict[str, Any]:
    return {"readers": list(readers or ("public",)), "doc_type": "", "metadata": {}}


def syncing(service: Service, s3: SmallS3, *suffixes: str, readers: Sequence[str] = ()) -> Syncing:
    credentials = {"access_key_id": "key", "secret_access_key": "secret", "region": "eu-central-1"}
    store = S3Store("books", config={"endpoint": s3.url, **credentials}, client_options={"allow_http": True})
    return Syncing(service, store, "books", "", "", described(*readers), suffixes)


async def sync(service: Service, s3: SmallS3, *suffixes: str, readers: Sequence[str] = ()) -> Report:
    return await syncing(service, s3, *suffixes, readers=readers).run(allow_empty=False)


def held(service: Service) -> dict[str, bytes]:
    return {document_id: content for document_id, (content, _) in service.documents.items()}


async def test_two_runs_with_suffixes_of_their_own_leave_each_other_alone(s3: SmallS3) -> None:
    s3.objects = {"a.md": b"Alpha", "b.pdf": b"Beta"}
    service = Service()
    for _ in range(2):
        await sync(service, s3, ".md", readers=["group:writers"])
        await sync(service, s3, ".pdf", readers=["group:readers"])
    assert held(service) == {"books/a.md": b"Alpha", "books/b.pdf": b"Beta"}
    assert len(service.puts) == 2
    del s3.objects["b.pdf"]
    s3.objects["c.pdf"] = b"Gamma"
    assert (await sync(service, s3, ".pdf", readers=["group:readers"])).deleted == ["books/b.pdf"]
    assert set(held(service)) == {"books/a.md", "books/c.pdf"}


@pytest.mark.parametrize("ahead", [1, 1000], ids=["the very next version", "a later version"])
async def test_an_object_that_comes_back_while_the_bucket_is_listed_keeps_its_document(s3: SmallS3, ahead: int) -> None:
    service = Service({"books/a.md": (b"Alpha", described()), "books/b.md": (b"Beta", described())})
    s3.objects = {"b.md": b"Beta, fetched"}

    def notify() -> None:
        """Notifications of newer objects, accepted after the documents were listed."""
        for document_id in list(service.documents):
            service.documents[document_id] = (b"newer", described())
            service.versions[document_id] += ahead

    service.after_the_list = notify
    report = await sync(service, s3)
    assert held(service) == {"books/a.md": b"newer", "books/b.md": b"newer"}
    assert not report.failed


async def test_without_anybody_else_documents_are_replaced_and_deleted(s3: SmallS3) -> None:
    service = Service({"books/a.md": (b"Alpha", described()), "books/b.md": (b"Beta", described())})
    s3.objects = {"b.md": b"Beta two"}
    report = await sync(service, s3)
    assert held(service) == {"books/b.md": b"Beta two"}
    assert report.deleted == ["books/a.md"]


async def test_what_was_refused_before_holds_nothing_up(s3: SmallS3) -> None:
    service = Service({"books/a.md": (b"Alpha", described()), "books/b.md": (b"Beta", described())})
    service.versions = dict.fromkeys(service.documents, 5)
    service.dead = dict.fromkeys(service.documents, 5)
    s3.objects = {"b.md": b"Beta, mended"}
    await sync(service, s3)
    assert held(service) == {"books/b.md": b"Beta, mended"}


async def test_a_bucket_of_many_pages_is_compared_as_a_whole(s3: SmallS3) -> None:
    count = 2 * PAGE + 500
    s3.objects = {f"{number:05}.md": b"Alpha" for number in range(count)}
    known = {**described(), "metadata": {ETAG: etag(b"Alpha")}}
    service = Service({f"books/{key}": (b"Alpha", known) for key in s3.objects})
    service.documents["books/gone.md"] = (b"old", known)
    s3.objects["99999.md"] = b"Omega"
    report = await sync(service, s3)
    assert (report.unchanged, report.deleted, service.puts) == (count, ["books/gone.md"], ["books/99999.md"])


async def test_a_listing_that_fails_half_way_deletes_nothing(s3: SmallS3) -> None:
    s3.objects = {f"{number:05}.md": b"Alpha" for number in range(PAGE + 1)}
    s3.refused_pages = {1: (403, "AccessDenied")}
    service = Service({f"books/{key}": (b"Alpha", described()) for key in s3.objects})
    with pytest.raises(CommandError, match="can't be read"):
        await sync(service, s3)
    assert len(service.documents) == PAGE + 1
    assert service.puts == []


async def test_what_is_skipped_costs_no_more_where_there_is_much_of_it(s3: SmallS3) -> None:
    s3.objects = {f"{number:05}.png": b"\x89PNG" for number in range(2 * PAGE)}

    class Noting(Report):
        """Notes how often the list is replaced."""

        times = 0

        def __setattr__(self, name: str, value: Any) -> None:
            Noting.times += name == "skipped"
            super().__setattr__(name, value)

    report = Noting()
    before = Noting.times
    await syncing(Service(), s3)._items(report)
    assert len(report.skipped) == 2 * PAGE
    assert Noting.times - before == 1
