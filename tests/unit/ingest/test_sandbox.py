"""The sandbox: whatever a document does to its parser, the pool answers with one typed error and goes on."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from ingest_documents import docx_bytes, pdf_bytes

from ingest.parsing.errors import (
    DocumentTooLarge,
    EmptyDocument,
    OutputTooLarge,
    ParserCrashed,
    ParserMemoryExceeded,
    ParserTimeout,
    ParsingError,
    SandboxUnavailable,
    UnsupportedFormat,
)
from ingest.parsing.limits import ParseLimits
from ingest.sandbox import ParserPool
from ingest.sandbox.isolation import Isolation

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
LIMITS = ParseLimits(cpu_seconds=1, wall_seconds=10, memory_bytes=128 * MIB, max_output_chars=MIB)


# One pool for all tests: starting one imports every parser, and surviving its documents is what it is for.
@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[ParserPool]:
    pool = ParserPool(2, LIMITS)
    await pool.start()
    yield pool
    await pool.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hostile() -> AsyncIterator[ParserPool]:
    pool = ParserPool(2, LIMITS, parser="hostile_parsers:parse")
    await pool.start()
    yield pool
    await pool.aclose()


async def behaves(pool: ParserPool) -> bool:
    return (await pool.parse(b"pid", "next.txt")).text.isdigit()


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (b"spin", ParserTimeout),
        (b"segfault", ParserCrashed),
        (b"hog", ParserMemoryExceeded),
        (b"flood", OutputTooLarge),
        (b"leave", ParserCrashed),
        (b"fail", ParserCrashed),
        (b"lie", ParserCrashed),
    ],
)
async def test_a_parser_that_misbehaves_costs_its_own_document_only(
    hostile: ParserPool, behaviour: bytes, error: type[ParsingError]
) -> None:
    with pytest.raises(error) as raised:
        await hostile.parse(behaviour, "bad.txt")
    assert raised.value.reason == error.default_reason
    assert "secret" not in str(raised.value)
    assert await behaves(hostile)


async def test_a_parser_that_waits_for_ever_is_stopped_by_the_wall_clock(hostile: ParserPool) -> None:
    started = time.monotonic()
    with pytest.raises(ParserTimeout):
        await hostile.parse(b"sleep", "bad.txt", limits=ParseLimits(wall_seconds=0.3))
    assert time.monotonic() - started < 5
    assert await behaves(hostile)


async def test_a_parser_that_spins_is_stopped_by_the_kernel_long_before_the_wall_clock(hostile: ParserPool) -> None:
    async with asyncio.timeout(30):
        with pytest.raises(ParserTimeout):
            await hostile.parse(b"spin", "bad.txt", limits=ParseLimits(cpu_seconds=1, wall_seconds=100.0))


async def test_cancelling_a_parse_kills_the_parser_and_frees_its_place(hostile: ParserPool) -> None:
    tasks = [asyncio.create_task(hostile.parse(b"sleep", "bad.txt")) for _ in range(2)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert await behaves(hostile)


async def test_a_parser_sees_no_secrets_of_the_service(hostile: ParserPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_SECRET", "hunter2")
    seen = (await hostile.parse(b"environment", "env.txt")).text
    assert "HEADWATER_SECRET" not in seen


async def test_a_parser_cannot_write_files(hostile: ParserPool) -> None:
    assert (await hostile.parse(b"write", "bad.txt")).text != "allowed"
    assert not Path("/tmp/left-behind-by-a-parser").exists() or os.path.getsize("/tmp/left-behind-by-a-parser") == 0


async def test_a_parser_cannot_read_files_of_the_machine_where_the_kernel_can_forbid_it(hostile: ParserPool) -> None:
    if not hostile.isolation & Isolation.FILES:
        pytest.skip("this kernel has no Landlock")
    assert (await hostile.parse(b"read", "bad.txt")).text == "PermissionError"


async def test_a_parser_has_no_network_where_the_kernel_can_forbid_it(hostile: ParserPool) -> None:
    if not hostile.isolation & Isolation.NETWORK:
        pytest.skip("network namespaces are not permitted here")
    assert (await hostile.parse(b"connect", "bad.txt")).text == "OSError"


async def test_text_documents_share_a_process_and_others_never_do(hostile: ParserPool) -> None:
    texts = {(await hostile.parse(b"pid", "a.txt")).text for _ in range(3)}
    pages = {(await hostile.parse(b"pid", "a.html")).text for _ in range(3)}
    assert len(texts) == 1
    assert len(pages) == 3


async def test_a_killed_zygote_is_replaced_and_no_document_is_lost(hostile: ParserPool) -> None:
    (pid,) = hostile.zygote_pids
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(30):
        # A child that has not heard of it yet may still serve.
        while hostile.zygote_pids == (pid,) or not hostile.zygote_pids:
            assert await behaves(hostile)
    assert await behaves(hostile)


async def test_a_zygote_that_dies_under_a_document_does_not_condemn_it(hostile: ParserPool) -> None:
    task = asyncio.create_task(hostile.parse(b"sleep", "slow.txt", limits=ParseLimits(wall_seconds=2.0)))
    await behaves(hostile)
    os.kill(hostile.zygote_pids[0], signal.SIGKILL)
    # Parsed again by a new zygote, where it sleeps until its own time is up.
    with pytest.raises(ParserTimeout):
        await task


async def test_closing_the_pool_ends_its_processes() -> None:
    pool = ParserPool(1, LIMITS)
    await pool.start()
    (pid,) = pool.zygote_pids
    await pool.parse(b"text", "a.txt")
    await pool.aclose()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(SandboxUnavailable):
        await pool.parse(b"text", "a.txt")


async def test_a_parser_that_cannot_be_imported_says_that_the_sandbox_is_unavailable(
    capfd: pytest.CaptureFixture[str],
) -> None:
    pool = ParserPool(1, LIMITS, parser="no_such_module:parse")
    with pytest.raises(SandboxUnavailable):
        await pool.start()
    await pool.aclose()
    assert "no_such_module" in capfd.readouterr().err


async def test_real_documents_of_every_lane_parse_while_the_service_has_threads(pool: ParserPool) -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        documents = await asyncio.gather(
            pool.parse(b"# Title\n\nText.", "a.md"),
            pool.parse(pdf_bytes([[(12, 72, 700, "Words on a page")]]), "a.pdf"),
            pool.parse(b"<html><body><h1>Head</h1><p>Some words here.</p></body></html>", "a.html"),
            pool.parse(docx_bytes(), "a.docx", limits=ParseLimits()),
        )
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [document.format for document in documents] == ["markdown", "pdf", "html", "docx"]


async def test_documents_are_refused_before_a_parser_sees_them(pool: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(EmptyDocument):
        await pool.parse(b"", "a.txt")
    with pytest.raises(UnsupportedFormat):
        await pool.parse(bytes(range(256)) * 8, "a.txt")
    large = tmp_path / "large.txt"
    with large.open("wb") as file:
        file.truncate(200 * MIB)
    with pytest.raises(DocumentTooLarge):
        await pool.parse(large, "large.txt")


async def test_errors_inside_the_sandbox_keep_their_reason(pool: ParserPool) -> None:
    with pytest.raises(ParsingError) as raised:
        await pool.parse(b"%PDF-1.7 broken", "a.txt")
    assert raised.value.reason == "UNREADABLE"
