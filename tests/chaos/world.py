"""What the scenarios are played on: the five services, workers that may be struck, a broker that may be killed, and
the servers of the run behind a wire that may be bad. Everything is started once; each scenario has tenants of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from tests.chaos.patience import SECONDS, Patient
from tests.chaos.scale import Scale
from tests.chaos.wire import Wire
from tests.chaos.workers import Strike, Worker
from tests.e2e.installation import with_log, with_stores
from tests.faults.checker import Findings, compare
from tests.faults.generator import Event
from tests.faults.nemesis import until
from tests.servers import kafka, profile
from tests.servers.addresses import VARIABLES
from tests.servers.native import Running, ServerUnavailableError, free_port

from chassis.errors import DeadlineExceeded, DependencyUnavailable, Overloaded
from chassis.eventlog.port import EventLog
from corpus.engines import CorpusStores
from headwater import Client, Identity
from headwater.cli import stack

T = TypeVar("T")

SESSION_SECONDS = 10
"""Of workers in their consumer group. The default, 45 s, would make a hundred kills take as many minutes."""
PARSERS = 1
MOST_CHUNKS = 40
"""Per document: P5 has one with more."""


@dataclass
class Broker:
    """A Kafka of this run's own, because one that other tests use must not be killed, and tells its clients where it
    is itself: no proxy could stand between."""

    folder: Path
    port: int
    advertised_port: int
    running: Running | None = None

    def start(self) -> None:
        """Takes up what was there before."""
        self.running = kafka.start(self.folder, port=self.port, advertised_port=self.advertised_port)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.running is not None
        assert self.running.process is not None
        os.killpg(self.running.process.pid, signal.SIGKILL)
        self.running.process.wait(10)

    def stop(self) -> None:
        if self.running is not None:
            self.running.stop()


@dataclass
class World:
    """Attributes:
    broker: None where there is none of this run's own: then it is neither killed nor cut off.
    direct: Settings that lead to the servers around the wire: the checker's.
    chosen: Settings of the services, through the wire.
    """

    scale: Scale
    seed: int
    folder: Path
    wire: Wire
    broker: Broker | None
    direct: Mapping[str, str]
    chosen: Mapping[str, str]
    endpoints: stack.Endpoints
    workers: Sequence[Worker]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # -- callers ------------------------------------------------------------------------------------------------------

    def tenant(self, name: str) -> str:
        """A new tenant."""
        tenant = f"{name}-{next(self._numbers)}"
        with self.client(tenant) as client:
            client.create_tenant(tenant)
        return tenant

    def source(self, tenant: str) -> Client:
        """Somebody who may do everything, and sees every failure."""
        return Client(self.endpoints.grpc["gateway"], identity=Identity(tenant, "source"))

    def client(self, tenant: str, subject: str = "tester", groups: Sequence[str] = ()) -> Client:
        """Somebody who may do everything, and is patient."""
        return self._patient(Identity(tenant, subject, groups))

    def say(self, line: str) -> None:
        """Progress."""
        sys.stderr.write(f"chaos:   {line}\n")
        sys.stderr.flush()

    def reader(self, tenant: str, subject: str = "tester", groups: Sequence[str] = ()) -> Client:
        """Somebody who may do nothing but read."""
        return self._patient(Identity(tenant, subject, groups, scopes=("read",)))

    def _patient(self, identity: Identity) -> Client:
        return cast(Client, Patient(Client(self.endpoints.grpc["gateway"], identity=identity)))

    def settle(self, tenant: str, seconds: float = SECONDS) -> float:
        """Seconds until every accepted change of the tenant has an end. Raises TimeoutError."""
        began = time.monotonic()
        with self.client(tenant) as client:
            until(lambda: client.ingest_status().pending == 0, seconds, f"every change of {tenant} has an end")
        return time.monotonic() - began

    # -- what is really there ---------------------------------------------------------------------------------------

    def check(self, tenant: str, accepted: Iterable[tuple[Event, str]]) -> Findings:
        """Compares the stores with what was accepted."""
        return self.look(lambda stores: compare(stores, tenant, accepted))

    def look(self, use: Callable[[CorpusStores], Awaitable[T]]) -> T:
        """What is seen of the stores, beside the services and around the wire."""
        return _patiently(lambda: asyncio.run(with_stores(self.folder / "look", self.direct, use)))

    def log(self, use: Callable[[EventLog], Awaitable[T]]) -> T:
        """Uses the event log, beside the services; perhaps more than once."""
        return _patiently(lambda: asyncio.run(with_log(self.folder / "look", self.direct, use)))

    # -- faults -----------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Ends every fault, and waits until all workers are there."""
        self.wire.heal()
        self.disarm()
        for worker in self.workers:
            worker.send(signal.SIGCONT)
        self.revive()

    def revive(self, extra: Mapping[str, str] | None = None) -> None:
        """Starts the workers that do not run, and waits for them."""
        dead = [worker for worker in self.workers if not worker.is_running]
        for worker in dead:
            worker.start(extra)
        for worker in dead:
            worker.wait_ready()

    def replace_workers(self, extra: Mapping[str, str] | None = None) -> None:
        """Ends all workers as a roll-out does, and starts them with other settings."""
        for worker in self.workers:
            worker.send(signal.SIGTERM)
        for worker in self.workers:
            worker.end(signal.SIGTERM)
        self.revive(extra)

    def injected_since(self, before: Counter[str]) -> dict[str, int]:
        """Faults of the wire."""
        return dict(self.wire.injected - before)

    def arm(self, strikes: Sequence[Strike]) -> None:
        """From now on these workers are struck when they come to their points."""

        def arm() -> None:
            for strike in strikes:
                strike.arm()

        self.wire.do(arm)

    def disarm(self) -> None:
        """Whoever was not struck goes on."""
        self.wire.do(self._untap)

    def _untap(self) -> None:
        for worker in self.workers:
            for proxy in worker.wire.values():
                proxy.tap = None


def _patiently(look: Callable[[], T]) -> T:
    """Servers that share two cores with everything else may be late."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return look()
        except (DependencyUnavailable, DeadlineExceeded, Overloaded):
            if time.monotonic() > deadline:
                raise


@contextmanager
def running(folder: Path, scale: Scale, seed: int) -> Iterator[World]:
    """Everything, started and stopped. Raises ServerUnavailableError, CommandError."""
    wire = Wire()
    wire.start()
    workers: list[Worker] = []
    data, broker = folder / "stack", None
    try:
        broker = _own_broker(folder, wire)
        direct = profile.settings(f"chaos{seed}x{os.getpid()}")
        init = [sys.executable, "-m", "headwater.cli", "admin", "init"]
        subprocess.run(init, env={**os.environ, **direct}, check=True, capture_output=True)
        chosen = _through(wire, direct)
        endpoints = stack.start(data, port_base=0, environment={**chosen, "HEADWATER_INGEST_ROLE": "api"})
        workers += [_worker(number, folder, data, wire, chosen, endpoints) for number in range(scale.workers)]
        world = World(scale, seed, folder, wire, broker, direct, chosen, endpoints, workers)
        world.revive()
        yield world
    finally:
        wire.heal()
        for worker in workers:
            worker.send(signal.SIGCONT)
            worker.end()
        if data.exists():
            stack.stop(data)
        if broker is not None:
            broker.stop()
        wire.close()


def _own_broker(folder: Path, wire: Wire) -> Broker | None:
    """A broker that is started, with its address in the environment. Raises ServerUnavailableError where none can be
    started and the environment names none either."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    advertised = wire.open(address)
    broker = Broker(folder / "kafka", port, advertised.port)
    try:
        broker.start()
    except ServerUnavailableError:
        if VARIABLES["kafka"] not in os.environ:
            raise
        return None
    wire.stand_before("kafka", advertised)
    os.environ[VARIABLES["kafka"]] = f"127.0.0.1:{advertised.port}"
    return broker


def _through(wire: Wire, direct: Mapping[str, str]) -> Mapping[str, str]:
    """The settings of the services."""
    kept = {f"HEADWATER_{name}": direct[f"HEADWATER_{name}"] for name in ("WEAVIATE__HTTP", "WEAVIATE__GRPC")}
    return {
        **direct,
        "HEADWATER_ELASTICSEARCH__URL": wire.before("elasticsearch", direct["HEADWATER_ELASTICSEARCH__URL"]),
        "HEADWATER_REDIS__URL": wire.before("redis", direct["HEADWATER_REDIS__URL"]),
        "HEADWATER_S3__URL": wire.before("s3", direct["HEADWATER_S3__URL"]),
        **{name: wire.before("weaviate", address) for name, address in kept.items()},
        "HEADWATER_KAFKA__SESSION_SECONDS": str(SESSION_SECONDS),
        "HEADWATER_INGEST_MAX_CHUNKS_PER_DOCUMENT": str(MOST_CHUNKS),
        "HEADWATER_INGEST_PARSER_PROCESSES": str(PARSERS),
        "HEADWATER_INGEST_GENERATION_PAUSE_SECONDS": "0.5",
        # What is broken on purpose is repaired when a scenario says so.
        "HEADWATER_INGEST_AUDIT_EVERY_SECONDS": "0",
        **{f"HEADWATER_GATEWAY_RATE_{what}": "1000000/second" for what in ("ASK", "SEARCH", "WRITE", "READ")},
    }


def _worker(
    number: int, folder: Path, data: Path, wire: Wire, chosen: Mapping[str, str], endpoints: stack.Endpoints
) -> Worker:
    url, grpc = chosen["HEADWATER_ELASTICSEARCH__URL"], chosen["HEADWATER_WEAVIATE__GRPC"]
    proxies = {
        "elasticsearch": wire.open(url.partition("//")[2]),
        "weaviate": wire.open(grpc),
        "embedder": wire.open(endpoints.grpc["embedder"]),
    }
    environment = {
        **chosen,
        "HEADWATER_DEVELOPMENT": "true",
        "HEADWATER_INGEST_ROLE": "worker",
        "HEADWATER_INTERNAL_KEYS_DIR": str(data / "keys"),
        "HEADWATER_ELASTICSEARCH__URL": f"http://127.0.0.1:{proxies['elasticsearch'].port}",
        "HEADWATER_WEAVIATE__GRPC": f"127.0.0.1:{proxies['weaviate'].port}",
        "HEADWATER_EMBEDDER_TARGET": f"127.0.0.1:{proxies['embedder'].port}",
    }
    return Worker(f"worker-{number}", folder / f"worker-{number}", environment, proxies)
