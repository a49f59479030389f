"""The five real processes on embedded engines, once for all tests of this folder; every test has a tenant of its
own."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.collector import Collector, collecting
from tests.e2e.installation import settings

from headwater import Client, Identity
from headwater.cli import stack

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """A tenant of a running stack."""

    data: Path
    target: str
    http: str
    tenant: str
    settings: Mapping[str, str] = field(default_factory=dict)
    """What the stack was told besides."""

    def client(self, *groups: str, subject: str = "tester", **identity: Any) -> Client:
        return Client(self.target, identity=Identity(self.tenant, subject, groups, **identity))

    def command(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Runs the command line as a user would; ``tenants``, ``trace``, ``up``, ``down`` and ``dlq`` know no tenant of
        the caller."""
        without = {"tenants", "trace", "up", "down", "eval", "sources", "dlq", "generation"}
        tenant = () if arguments[0] in without else ("--tenant", self.tenant)
        return subprocess.run(
            [sys.executable, "-m", "headwater.cli", *arguments, "--data", str(self.data), *tenant],
            input=stdin,
            env={**os.environ, **self.settings},
            capture_output=True,
            timeout=100,
        )

    def json(self, *arguments: str) -> Any:
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="session")
def chosen() -> Mapping[str, str]:
    return {**settings(), "HEADWATER_INGEST_SOURCES_FILE": str(Path(__file__).with_name("sources.toml"))}


@pytest.fixture(scope="session")
def running(
    tmp_path_factory: pytest.TempPathFactory, collector: Collector, chosen: Mapping[str, str]
) -> Iterator[tuple[Path, stack.Endpoints]]:
    data = tmp_path_factory.mktemp("stack")
    try:
        yield (
            data,
            stack.start(data, port_base=0, environment={**chosen, "HEADWATER_OTLP_ENDPOINT": collector.address}),
        )
    finally:
        stack.stop(data)


@pytest.fixture
def place(running: tuple[Path, stack.Endpoints], chosen: Mapping[str, str]) -> Place:
    data, endpoints = running
    tenant = f"t{next(_numbers)}"
    made = Place(data, endpoints.grpc["gateway"], endpoints.gateway_http, tenant, chosen)
    with made.client() as client:
        client.create_tenant(tenant, {"product": "string", "release": "version", "year": "number"})
    return made


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker has the stack that most tests of this folder share; a file with stacks of its own may run beside."""
    for item in items:
        if "tests/e2e" in item.path.as_posix():
            shared = "running" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("stack" if shared else item.path.stem))
