"""What ``ingest`` makes of folders."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest
from tests.unit.cli.test_watch import Service, deny

from headwater.cli import ingest
from headwater.cli.ingest import Report, send, show_report
from headwater.cli.sources import find, in_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "handbook" / "sub").mkdir(parents=True)
    for name in ("a.md", "sub/x.md"):
        (tmp_path / "handbook" / name).write_text(name)
    return tmp_path / "handbook"


async def test_synchronising_deletes_nothing_below_a_folder_that_cant_be_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service({"handbook/sub/x.md": b"sub/x.md", "handbook/gone.md": b"old"})
    deny(monkeypatch, folder / "sub")
    found = find([str(folder)])
    assert list(found.unread) == ["handbook/sub/"]
    report = Report()
    await ingest._delete_vanished(service, found, report, allow_empty=False)
    assert report.deleted == ["handbook/gone.md"]
    assert set(service.documents) == {"handbook/sub/x.md"}


def test_files_are_found_in_the_order_of_their_names_and_links_to_folders_are_not_followed(folder: Path) -> None:
    (folder / "sub.md").write_text("between")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "h.md").write_text("hidden")
    os.symlink(folder / "sub", folder / "linked")
    os.symlink(folder / "a.md", folder / "again.md")
    ids = [source.document_id for source in find([str(folder)]).sources]
    assert ids == ["handbook/a.md", "handbook/again.md", "handbook/sub/x.md", "handbook/sub.md"]


async def test_a_file_whose_name_is_no_text_is_refused_by_itself(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / os.fsdecode(b"caf\xe9.md")).write_text("Coffee")
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(b"\x89PNG")
    found = find([str(folder)])
    report = await send(Service(), found.sources, {}, wait=False)
    report.skipped = found.skipped
    assert list(report.refused) == ["handbook/caf\\udce9.md"]
    assert len(report.receipts) == 2
    for json in (True, False):
        show_report(report, json)
    assert capsys.readouterr().out.count("caf\\") >= 2


def test_folders_that_come_and_go_beside_a_look_never_end_it(folder: Path) -> None:
    ending = threading.Event()

    def churn() -> None:
        while not ending.is_set():
            for number in range(20):
                (folder / f"d{number}" / "deep").mkdir(parents=True)
                (folder / f"d{number}" / "deep" / "x.md").write_text("Chi")
            for number in range(20):
                shutil.rmtree(folder / f"d{number}")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(200):
            assert "handbook/a.md" in [each.document_id for each in in_folder(folder, "handbook/", [], {})]
    finally:
        ending.set()
        thread.join()
