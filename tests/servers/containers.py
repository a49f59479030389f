"""The servers in containers of their official images, by testcontainers.

Which of the three ways a server comes by: an address in the environment wins; else a container, if testcontainers is
installed, its engine answers (``DOCKER_HOST`` or the usual socket; ``HEADWATER_TEST_CONTAINERS=0`` says no) and the
image is there or can be pulled; else a native process. Tags are pinned to the versions of the native servers where both
exist.
"""

from __future__ import annotations

import importlib
import os
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.servers.addresses import S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY
from tests.servers.native import Running, ServerUnavailableError, free_port
from tests.servers.s3 import create_bucket

_READY_SECONDS = 180.0


@dataclass(frozen=True)
class Image:
    """How one server runs in a container. In texts, ``{host}`` and ``{0}``, ``{1}`` stand for the address and the
    published ports.

    Attributes:
        name: Image with its tag.
        ports: Inside the container.
        address: What the environment variable holds.
        ready_url: Answers 2xx once the server does; empty for a line of the log instead.
        ready_line: That line.
        command: Arguments in place of the image's own.
        environment: Variables.
    """

    name: str
    ports: tuple[int, ...]
    address: str
    ready_url: str = ""
    ready_line: str = ""
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


_KAFKA = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
    "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://{host}:{0}",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_HEAP_OPTS": "-Xmx384m",
}
_ELASTICSEARCH = {
    "discovery.type": "single-node",
    "xpack.security.enabled": "false",
    "action.auto_create_index": "false",
    "cluster.routing.allocation.disk.threshold_enabled": "false",
    "ES_JAVA_OPTS": "-Xms768m -Xmx768m",
}
_WEAVIATE = {
    "PERSISTENCE_DATA_PATH": "/var/lib/weaviate",
    "DEFAULT_VECTORIZER_MODULE": "none",
    "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
    "AUTOSCHEMA_ENABLED": "false",
    "DISABLE_TELEMETRY": "true",
    "CLUSTER_HOSTNAME": "node1",
}

IMAGES: Mapping[str, Image] = {
    "kafka": Image("apache/kafka:4.1.1", (9092,), "{host}:{0}", ready_line="Kafka Server started", environment=_KAFKA),
    "elasticsearch": Image(
        "docker.elastic.co/elasticsearch/elasticsearch:9.2.0",
        (9200,),
        "http://{host}:{0}",
        ready_url="http://{host}:{0}/_cluster/health?wait_for_status=yellow",
        environment=_ELASTICSEARCH,
    ),
    "weaviate": Image(
        "cr.weaviate.io/semitechnologies/weaviate:1.35.2",
        (8080, 50051),
        "{host}:{0},{host}:{1}",
        ready_url="http://{host}:{0}/v1/.well-known/ready",
        environment=_WEAVIATE,
    ),
    "redis": Image(
        "redis:7.2-alpine",
        (6379,),
        "redis://{host}:{0}/0",
        ready_line="Ready to accept connections",
        command="redis-server --save '' --maxmemory 256mb --maxmemory-policy allkeys-lru",
    ),
    "s3": Image(
        "versity/versitygw:v1.8.0",
        (7070,),
        "http://{host}:{0}",
        ready_url="http://{host}:{0}/health",
        command="--port :7070 --health /health posix /tmp",
        environment={"ROOT_ACCESS_KEY": S3_ACCESS_KEY_ID, "ROOT_SECRET_KEY": S3_SECRET_ACCESS_KEY},
    ),
}


def engine_answers() -> bool:
    """Whether containers can run here."""
    if os.environ.get("HEADWATER_TEST_CONTAINERS", "") == "0":
        return False
    try:
        docker, _ = _libraries()
    except ImportError:
        return False
    try:
        return bool(docker.from_env(timeout=5).ping())
    except (docker.errors.DockerException, OSError):
        return False


def pull(server: str) -> None:
    """Downloads the server's image. Raises ServerUnavailableError."""
    docker, _ = _libraries()
    try:
        docker.from_env().images.pull(IMAGES[server].name)
    except docker.errors.DockerException as error:
        raise ServerUnavailableError(f"{IMAGES[server].name} can't be pulled: {error}") from error


def start(server: str) -> Running:
    """Runs the server's image until it is stopped. Raises ServerUnavailableError."""
    docker, testcontainers = _libraries()
    image = IMAGES[server]
    container = testcontainers.DockerContainer(image.name)
    # Ports are chosen beforehand, because Kafka tells its clients where it is.
    ports = [free_port() for _ in image.ports]
    host = container.get_docker_client().host()
    for inside, outside in zip(image.ports, ports, strict=True):
        container.with_bind_ports(inside, outside)
    for name, value in image.environment.items():
        container.with_env(name, value.format(*ports, host=host))
    if image.command:
        container.with_command(image.command)
    try:
        container.start()
        _wait(container, image, lambda text: text.format(*ports, host=host))
        address = image.address.format(*ports, host=host)
        if server == "s3":
            create_bucket(address)
    except (docker.errors.DockerException, ServerUnavailableError, OSError) as error:
        container.stop()
        raise ServerUnavailableError(f"{image.name} does not start: {error}") from error
    return Running(address, after_stop=(container.stop,))


def _libraries() -> tuple[Any, Any]:
    """docker and testcontainers, whose types are no part of them. Raises ImportError."""
    return importlib.import_module("docker"), importlib.import_module("testcontainers.core.container")


def _wait(container: Any, image: Image, filled: Callable[[str], str]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if image.ready_url and _answers(filled(image.ready_url)):
            return
        if image.ready_line and image.ready_line in b"".join(container.get_logs()).decode(errors="replace"):
            return
        time.sleep(0.2)
    raise ServerUnavailableError(f"it is not ready after {_READY_SECONDS:.0f} s")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status < 300)
    except OSError:
        return False
