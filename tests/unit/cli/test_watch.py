"""A watched folder and its documents become equal again, whatever happens to either."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headwater import messages
from headwater.cli.sources import is_wanted
from headwater.cli.watch import Watcher
from headwater.errors import InvalidRequestError, UnavailableError
from headwater.types import Receipt


@dataclass
class Service:
    """What a gateway does with documents, over a dict. It may be away for a while."""

    documents: dict[str, bytes] = field(default_factory=dict)
    away: bool = False
    puts: int = 0
    refusals: int = 0
    bad: dict[str, str] = field(default_factory=dict)
    loses_the_next_reply: bool = False

    def _require_to_be_there(self) -> None:
        if self.away:
            self.refusals += 1
            raise UnavailableError("Away.", reason="GATEWAY_UNREACHABLE")

    def _receipt(self, document_id: str, unchanged: bool) -> Receipt:
        messages.draft(document_id)  # raises what the client does for a name that is no text
        self._require_to_be_there()
        self.puts += 1
        return Receipt(f"e{self.puts}", document_id, self.puts, unchanged, "")

    async def put_document(self, document_id: str, content: Path, **said: Any) -> Receipt:
        data = await asyncio.to_thread(content.read_bytes)
        if not self.away and data.startswith(b"REFUSED"):
            raise InvalidRequestError("Bad.", reason="INVALID_METADATA")
        receipt = self._receipt(document_id, self.documents.get(document_id) == data)
        self.documents[document_id] = data
        if data.startswith(b"BAD"):
            self.bad[receipt.event_id] = document_id
        if self.loses_the_next_reply:
            self.loses_the_next_reply, self.away = False, True
            raise UnavailableError("Gone.", reason="GATEWAY_UNREACHABLE")
        return receipt

    async def delete_document(self, document_id: str) -> Receipt:
        receipt = self._receipt(document_id, document_id not in self.documents)
        self.documents.pop(document_id, None)
        return receipt

    async def wait_for_changes(self, event_ids: Sequence[str]) -> dict[str, Any]:
        return dict.fromkeys(event_ids)

    async def get_changes(self, event_ids: Sequence[str]) -> list[Any]:
        states = {event_id: "dead_lettered" if event_id in self.bad else "applied" for event_id in event_ids}
        return [
            SimpleNamespace(event_id=event_id, state=state, document_id=self.bad.get(event_id, ""), reason="UNREADABLE")
            for event_id, state in states.items()
        ]

    async def list_documents(self, *, prefix: str) -> AsyncIterator[Any]:
        self._require_to_be_there()
        for document_id in [each for each in self.documents if each.startswith(prefix)]:
            yield SimpleNamespace(document_id=document_id)


@asynccontextmanager
async def watching(service: Service, folder: Path, prefix: str = "", **parts: Any) -> AsyncIterator[Watcher]:
    watcher = Watcher(service, folder, prefix, {"readers": ["public"]}, True, **parts)
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher
    finally:
        watcher.stop()
        await asyncio.wait_for(task, 20)


def files(folder: Path) -> dict[str, bytes]:
    """What the documents should be."""
    return {
        f"{folder.name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and is_wanted(path.relative_to(folder))
    }


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def equal(service: Service, folder: Path) -> None:
    await until(lambda: service.documents == files(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "handbook"
    made.mkdir()
    (made / "a.md").write_text("Alpha")
    return made


async def test_the_start_catches_up_with_what_happened_before(folder: Path) -> None:
    service = Service({"handbook/gone.md": b"old", "handbook/a.md": b"older", "other/b.md": b"not ours"})
    (folder / "sub").mkdir()
    (folder / "sub" / "b.md").write_text("Beta")
    async with watching(service, folder):
        await until(lambda: service.documents == {**files(folder), "other/b.md": b"not ours"})


async def test_new_changed_renamed_and_deleted_files_are_followed(folder: Path) -> None:
    service = Service()
    async with watching(service, folder):
        await equal(service, folder)
        (folder / "b.md").write_text("Beta")
        await equal(service, folder)
        (folder / "b.md").write_text("Gamma")
        await equal(service, folder)
        (folder / "b.md").rename(folder / "c.md")
        await equal(service, folder)
        (folder / "c.md").unlink()
        await equal(service, folder)


async def test_a_folder_inside_may_come_move_and_go_as_a_whole(folder: Path, tmp_path: Path) -> None:
    service = Service()
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "d.md").write_text("Delta")
    async with watching(service, folder):
        await equal(service, folder)
        outside.rename(folder / "inside")
        await equal(service, folder)
        assert "handbook/inside/deep/d.md" in service.documents
        (folder / "inside").rename(folder / "moved")
        await equal(service, folder)
        (folder / "moved").rename(outside)
        await equal(service, folder)


async def test_a_save_by_way_of_another_file_is_one_change_and_its_traces_none(folder: Path) -> None:
    service = Service()
    async with watching(service, folder):
        await equal(service, folder)
        before = service.puts
        for name in (".a.md.swp", "a.md~", "4913", "~$a.md", "#a.md#", "a.md.tmp"):
            (folder / name).write_text("traces")
        (folder / "a.md.tmp").write_text("Alpha, saved")
        os.replace(folder / "a.md.tmp", folder / "a.md")
        await equal(service, folder)
        assert service.puts == before + 1
        assert set(service.documents) == {"handbook/a.md"}


async def test_while_the_service_is_away_changes_wait_and_none_is_lost(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Service(away=True)
    async with watching(service, folder) as watcher:
        (folder / "b.md").write_text("Beta")
        await until(lambda: service.refusals > 0)
        assert watcher.is_behind
        service.away = False
        await equal(service, folder)
        service.away, service.refusals = True, 0
        (folder / "a.md").unlink()
        (folder / "b.md").write_text("Beta two")
        await until(lambda: service.refusals > 0)
        service.away = False
        await equal(service, folder)
    said = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert {"away", "back"} <= set(said)


async def test_a_change_that_keeps_size_and_time_is_seen(folder: Path) -> None:
    service = Service()
    async with watching(service, folder):
        await equal(service, folder)
        status = (folder / "a.md").stat()
        (folder / "a.md").write_text("Omega")
        os.utime(folder / "a.md", ns=(status.st_atime_ns, status.st_mtime_ns))
        await equal(service, folder)


async def test_refused_and_unreadable_documents_are_named_and_not_sent_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Service()
    (folder / "bad.md").write_text("BAD")
    (folder / "refused.md").write_text("REFUSED")
    async with watching(service, folder) as watcher:
        await until(lambda: watcher.refusals == 2)
        puts = service.puts
        (folder / "b.md").write_text("Beta")
        await until(lambda: "handbook/b.md" in service.documents)
        assert service.puts == puts + 1
    refused = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if line["event"] == "refused"]
    assert {(line["document_id"], line["reason"]) for line in refused} == {
        ("handbook/bad.md", "UNREADABLE"),
        ("handbook/refused.md", "INVALID_METADATA"),
    }


def hears(capsys: pytest.CaptureFixture[str], event: str) -> Callable[[], bool]:
    """Whether the event was told of by now."""
    said = ""

    def heard() -> bool:
        nonlocal said
        said += capsys.readouterr().out
        return f'"{event}"' in said

    return heard


async def test_a_folder_that_is_gone_deletes_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Service()
    async with watching(service, folder):
        await equal(service, folder)
        folder.rename(tmp_path / "elsewhere")
        await until(hears(capsys, "missing"))
        assert set(service.documents) == {"handbook/a.md"}


async def test_a_folder_that_is_empty_at_the_start_deletes_nothing_until_files_were_seen_in_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Service({"handbook/a.md": b"Alpha", "handbook/b.md": b"Beta"})
    (folder / "a.md").unlink()
    async with watching(service, folder):
        await until(hears(capsys, "missing"))
        assert len(service.documents) == 2
        (folder / "a.md").write_text("Alpha")
        await equal(service, folder)
        (folder / "a.md").unlink()
        await until(lambda: not service.documents)


async def test_a_folder_that_is_empty_at_the_start_empties_its_documents_when_that_is_allowed(folder: Path) -> None:
    service = Service({"handbook/a.md": b"Alpha"})
    (folder / "a.md").unlink()
    async with watching(service, folder, allow_empty=True):
        await until(lambda: not service.documents)


async def test_an_empty_folder_in_place_of_the_one_that_had_files_deletes_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Service()
    async with watching(service, folder) as watcher:
        await equal(service, folder)
        folder.rename(tmp_path / "elsewhere")
        folder.mkdir()
        watcher._something.set()
        await until(hears(capsys, "missing"))
        assert set(service.documents) == {"handbook/a.md"}


def deny(monkeypatch: pytest.MonkeyPatch, folder: Path, error: type[OSError] = PermissionError) -> None:
    """Has the system refuse to list the folder; modes of files mean nothing where tests run as root."""
    listed = os.scandir

    def scan(path: Any) -> Any:
        if Path(path) == folder:
            raise error(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scan)


async def test_documents_of_a_folder_inside_that_cant_be_read_stay_and_it_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "x.md").write_text("Chi")
    service = Service({"handbook/sub/x.md": b"Chi", "handbook/gone.md": b"old"})
    deny(monkeypatch, folder / "sub")
    async with watching(service, folder):
        await until(lambda: set(service.documents) == {"handbook/sub/x.md", "handbook/a.md"})
        (folder / "b.md").write_text("Beta")
        await until(lambda: "handbook/b.md" in service.documents)
        assert "handbook/sub/x.md" in service.documents
        monkeypatch.undo()
        (folder / "sub" / "x.md").unlink()
        await equal(service, folder)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["document_id"] for line in said if line["event"] == "unreadable"] == ["handbook/sub/"]


async def test_a_folder_that_goes_while_it_is_looked_at_ends_nothing_and_is_looked_at_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "x.md").write_text("Chi")
    service = Service()
    async with watching(service, folder) as watcher:
        await equal(service, folder)
        deny(monkeypatch, folder / "sub", FileNotFoundError)
        watcher._something.set()
        await until(lambda: watcher._is_unsure)
        assert "handbook/sub/x.md" in service.documents
        (folder / "sub" / "x.md").unlink()
        monkeypatch.undo()
        await equal(service, folder)


async def test_a_file_whose_name_is_no_text_is_refused_and_ends_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = folder / os.fsdecode(b"caf\xe9.md")
    odd.write_text("Coffee")
    service = Service()
    async with watching(service, folder) as watcher:
        await until(lambda: watcher.refusals == 1 and "handbook/a.md" in service.documents)
        odd.unlink()
        (folder / "b.md").write_text("Beta")
        await equal(service, folder)
        assert watcher.refusals == 1
    refused = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if line["event"] == "refused"]
    assert refused == [
        {"event": "refused", "document_id": "handbook/caf\\udce9.md", "reason": "INVALID_DOCUMENT_ID"},
    ]


async def test_a_file_that_goes_while_nobody_knows_whether_it_was_accepted_takes_its_document_along(
    folder: Path,
) -> None:
    service = Service()
    async with watching(service, folder):
        await equal(service, folder)
        service.loses_the_next_reply = True
        (folder / "b.md").write_text("Beta")
        await until(lambda: service.away)
        (folder / "b.md").unlink()
        service.away = False
        await equal(service, folder)


async def test_documents_that_come_to_light_later_go_when_they_have_no_file(folder: Path) -> None:
    service = Service()
    async with watching(service, folder, _learn_seconds=0.1, _compare_seconds=0.1):
        await equal(service, folder)
        service.documents["handbook/other.md"] = b"put by another program, or accepted before the start"
        await equal(service, folder)


@pytest.mark.parametrize("seed", range(3))
async def test_random_programs_end_in_equal_sets(folder: Path, seed: int) -> None:
    dice = random.Random(seed)
    service = Service()
    names = ["a.md", "b.md", "sub/c.md", "sub/deep/d.md", "e.txt", "sub/f~"]
    async with watching(service, folder):
        for step in range(30):
            path = folder / dice.choice(names)
            path.parent.mkdir(parents=True, exist_ok=True)
            action = dice.random()
            if action < 0.5 or not path.exists():
                path.write_text(hashlib.sha256(f"{seed}{step}".encode()).hexdigest()[: dice.randint(1, 9)])
            elif action < 0.75:
                path.unlink()
            else:
                other = folder / dice.choice(names)
                other.parent.mkdir(parents=True, exist_ok=True)
                path.rename(other)
            service.away = dice.random() < 0.2
            await asyncio.sleep(dice.choice((0.0, 0.0, 0.1, 0.3)))
        service.away = False
        await equal(service, folder)
