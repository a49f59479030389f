"""The life of a service process: start, ready, drain, exit — one time budget from SIGTERM to the end."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import uvloop

from chassis.addresses import Address
from chassis.rpc.server import GrpcServer, stop_all
from chassis.settings import EXIT_CONFIGURATION, ConfigurationError, ServiceSettings
from chassis.telemetry import logger, metrics, setup
from chassis.telemetry.http import MetricsServer
from chassis.tokens import KeyFileError

if TYPE_CHECKING:
    from chassis.telemetry import Telemetry

EXIT_FAILED: Final = 1
_NOTICE_SHARE: Final = 0.05
_NOTICE_SECONDS: Final = 1.0
"""Between NOT_SERVING and refusing: the time in which balancers and watchers turn away. At most this, at most 5 % of
the budget."""
_UNWIND_SHARE: Final = 0.25
"""Share of what is left that RPCs in flight may not use: closing stores and flushing traces needs time too."""
_WATCHDOG_SECONDS: Final = 1.0
"""On top of the budget, after which the process ends whatever still runs in it: an orderly end was tried."""
_LAG_PROBE_SECONDS: Final = 1.0
_GC_THRESHOLDS: Final = (10_000, 10, 10)

_log = logger("lifecycle")


class Lifecycle:
    """What a service's main function holds on to.

    Attributes:
        stack: Resources enter here; they are closed in reverse order within the drain budget.
        stopping: Set when the service begins to stop: loops end at their next safe point instead of being cancelled
            there.
    """

    def __init__(self, settings: ServiceSettings, on_stopping: Callable[[], None] = lambda: None) -> None:
        self._on_stopping = on_stopping
        self.stack = AsyncExitStack()
        self.stopping = asyncio.Event()
        self.ready = False
        self._impairments: dict[str, str] = {}
        self._settings = settings
        self._servers: list[GrpcServer] = []
        self._endpoints: dict[str, str] = {}
        self._failure: BaseException | None = None
        self._serving = False
        self._stop_by: float | None = None
        self._main: asyncio.Task[None] | None = None

    @property
    def failure(self) -> BaseException | None:
        """What made the service stop, when it was not asked to."""
        return self._failure

    @property
    def unready_because(self) -> str:
        """Why ``/readyz`` answers 503; empty when it does not."""
        return "; ".join(self._impairments.values()) if self.ready else "not ready"

    async def impair(self, part: str, why: str) -> None:
        """Says that a part of the service does not do its work, and why; with an empty ``why``, that it does again.

        ``/readyz`` and the gRPC health of ``READINESS`` say so. The service itself stays healthy: restarting it would
        mend nothing, and what it serves it serves on.
        """
        self._impairments.pop(part, None)
        if why:
            self._impairments[part] = why
        for server in self._servers:
            await server.set_readiness(not self._impairments)

    def seconds_left(self) -> float | None:
        """What is left of the drain budget; None while nobody has asked the service to stop."""
        return None if self._stop_by is None else max(0.0, self._stop_by - time.monotonic())

    async def serve_until_signal(self) -> None:
        """Marks the service ready, waits until it should stop, and drains its servers.

        Drain: health says NOT_SERVING and ``/readyz`` 503 → a short while for callers to turn away → servers refuse new
        RPCs and let those in flight finish → return, so that the stack unwinds. All of it from the one budget
        ``drain_seconds``.
        """
        self._serving = True
        self.ready = not self.stopping.is_set()
        _settle_memory()
        if self.ready:
            _log.info("ready", **self._endpoints)
        await self.stopping.wait()
        self.ready = False
        for server in self._servers:
            await server.refuse_health()
        if self._failure is None:
            await asyncio.sleep(min(_NOTICE_SECONDS, self._settings.drain_seconds * _NOTICE_SHARE))
        await stop_all(self._servers, (1 - _UNWIND_SHARE) * (self.seconds_left() or 0.0))

    def stop(self) -> None:
        """Begins to stop, as SIGTERM does. Idempotent."""
        if self.stopping.is_set():
            return
        self._stop_by = time.monotonic() + self._settings.drain_seconds
        self.stopping.set()
        self._on_stopping()
        if not self._serving and self._main is not None:
            # Still starting: nothing is in flight that would have to finish.
            self._main.cancel()

    def fail(self, error: BaseException) -> None:
        """Stops the service because ``error`` makes it useless; the process then exits with a code ≠ 0. The first error
        counts."""
        if self._failure is None:
            self._failure = error
            _log.error("the service fails and stops", exc_info=error)
        self.stop()

    def create_task(self, coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Runs a background task for as long as the service lives; an exception in it calls ``fail``.

        It is cancelled, and waited for, when the stack unwinds to this point: before the resources it was given are
        closed.
        """
        task = asyncio.create_task(coro, name=name)
        task.add_done_callback(self._on_task_done)
        self.stack.push_async_callback(_cancel, task)
        return task

    def register_server(self, server: GrpcServer) -> None:
        """Has ``server`` drained by ``serve_until_signal``."""
        self._servers.append(server)

    def publish_endpoint(self, name: str, address: Address) -> None:
        """Adds an endpoint to ``data_dir/run/<service>.json`` ({"pid", "grpc", "metrics", …}), which is written once
        gRPC is up."""
        self._endpoints[name] = str(address)
        if "grpc" in self._endpoints:
            _write_run_file(self._settings, self._endpoints)

    def _on_task_done(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def attach(self, main: asyncio.Task[None]) -> None:
        """Has ``main`` cancelled when the service is stopped while it is still starting."""
        self._main = main
        if self.stopping.is_set():
            main.cancel()


def run(service_main: Callable[[Lifecycle], Awaitable[None]], settings: ServiceSettings) -> int:
    """Runs a service until it is told to stop, and returns the exit code of its process.

    Sets up telemetry and the metrics endpoint, handles SIGTERM and SIGINT (the second one exits at once), and closes
    everything within ``drain_seconds``. 0: it was asked to stop and did; 1: something failed; 78: keys or settings
    can't be used.
    """
    # Whatever a service writes, documents and keys among it, is for its own user only.
    os.umask(0o077)
    faulthandler.enable()  # a crash in native code leaves in the log where each thread was; no values
    telemetry = setup(settings)
    # A thread that never comes back would hold the loop's executor, and so the process, for ever.
    watchdog = threading.Timer(settings.drain_seconds + _WATCHDOG_SECONDS, os._exit, (EXIT_FAILED,))
    watchdog.daemon = True
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_supervise(service_main, settings, telemetry, watchdog))
    finally:
        telemetry.shutdown()
        watchdog.cancel()
        sys.stdout.flush()


async def _supervise(
    service_main: Callable[[Lifecycle], Awaitable[None]],
    settings: ServiceSettings,
    telemetry: Telemetry,
    watchdog: threading.Timer,
) -> int:
    lifecycle = Lifecycle(settings, on_stopping=watchdog.start)
    _handle_signals(lifecycle)
    endpoint = MetricsServer(settings.metrics_listen, telemetry.registry, lambda: lifecycle.unready_because)
    main: asyncio.Task[None] = asyncio.create_task(_main(service_main, lifecycle, endpoint), name="main")
    lifecycle.attach(main)
    try:
        await main
    except asyncio.CancelledError:
        if not lifecycle.stopping.is_set():
            raise
    except Exception as error:
        lifecycle.fail(error)
    finally:
        await _unwind(lifecycle, endpoint, settings)
    _log.info("stopped", failed=lifecycle.failure is not None)
    if isinstance(lifecycle.failure, ConfigurationError | KeyFileError):
        return EXIT_CONFIGURATION
    return 0 if lifecycle.failure is None else EXIT_FAILED


async def _main(
    service_main: Callable[[Lifecycle], Awaitable[None]], lifecycle: Lifecycle, endpoint: MetricsServer
) -> None:
    lifecycle.publish_endpoint("metrics", await endpoint.start())
    lifecycle.create_task(_watch_event_loop(), "event-loop-lag")
    await service_main(lifecycle)


async def _unwind(lifecycle: Lifecycle, endpoint: MetricsServer, settings: ServiceSettings) -> None:
    lifecycle.stop()
    try:
        async with asyncio.timeout(lifecycle.seconds_left()):
            await lifecycle.stack.aclose()
    except TimeoutError as error:
        lifecycle.fail(error)
    except Exception as error:
        lifecycle.fail(error)
    await endpoint.close()
    _remove_run_file(settings)


def _handle_signals(lifecycle: Lifecycle) -> None:
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if lifecycle.stopping.is_set():
            # Asked twice: whoever asks does not want to wait for the drain.
            os._exit(128 + number)
        _log.info("asked to stop", signal=signal.Signals(number).name)
        lifecycle.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)


async def _watch_event_loop() -> None:
    while True:
        started = time.monotonic()
        await asyncio.sleep(_LAG_PROBE_SECONDS)
        metrics.EVENT_LOOP_LAG.record(max(0.0, time.monotonic() - started - _LAG_PROBE_SECONDS))


def _settle_memory() -> None:
    """Takes what start-up made out of the garbage collector's sight, and lets it look less often: by default once per
    700 new objects, which is several times in a search, and each full pass would visit every loaded module again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    # What it raised was handled when it ended; what ends this wait from outside is raised by wait() itself.
    await asyncio.wait([task])


def _write_run_file(settings: ServiceSettings, endpoints: dict[str, str]) -> None:
    file = settings.data_dir / "run" / f"{settings.service_name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    partial.write_text(json.dumps({"pid": os.getpid(), **endpoints}), encoding="utf-8")
    os.replace(partial, file)


def _remove_run_file(settings: ServiceSettings) -> None:
    file = settings.data_dir / "run" / f"{settings.service_name}.json"
    with contextlib.suppress(OSError, ValueError):
        if json.loads(file.read_text(encoding="utf-8")).get("pid") == os.getpid():
            file.unlink()
