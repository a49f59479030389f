"""A Kafka broker of one node (KRaft: broker and controller in one process), from the jars on Maven Central."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from uuid import uuid4

from tests.servers.native import Running, ServerUnavailableError, answers, cache_dir, free_port, spawn, tool

VERSION = "4.1.1"
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>headwater.test</groupId><artifactId>kafka-server</artifactId><version>1</version>
<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
<version>{VERSION}</version></dependency></dependencies></project>
"""
_JAVA_OPTIONS = ("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
"""Start-up counts, not throughput."""
_DOWNLOAD_SECONDS = 600


def start(directory: Path, *, host: str = "127.0.0.1", port: int = 0, advertised_port: int = 0) -> Running:
    """Starts a broker that keeps its data in ``directory`` and listens on ``host``; its address is ``host:port``.

    A directory that a stopped broker left is taken up again, at the same address and with its topics. Raises
    ServerUnavailableError.

    Args:
        port: Where it listens; 0 takes a free one.
        advertised_port: Where it tells its clients that it is, on the same host; 0 for where it listens.
    """
    jars = prepare()
    java = tool("java", "install a JRE, version 17 or later (Debian: openjdk-17-jre-headless)")
    properties = directory / "server.properties"
    command = [java, *_JAVA_OPTIONS, "-cp", f"{jars}/*"]
    if not properties.exists():
        directory.mkdir(parents=True, exist_ok=True)
        aside = properties.with_suffix(".new")
        listening = port or free_port()
        aside.write_text(_properties(directory / "data", host, listening, advertised_port or listening, free_port()))
        format_data = [*command, "kafka.tools.StorageTool", "format", "-t", uuid4().hex[:22], "-c", str(aside)]
        _run(format_data, 60, "formatting Kafka's storage")
        aside.rename(properties)
    address = next(
        line.removeprefix("listeners=PLAINTEXT://").split(",")[0]
        for line in properties.read_text().splitlines()
        if line.startswith("listeners=")
    )
    host, found = address.split(":")
    return spawn(
        [*command, "kafka.Kafka", str(properties)],
        address,
        log=directory / "kafka.log",
        ready=lambda: answers(host, int(found)),
    )


def prepare() -> Path:
    """The directory with the broker's jars, fetched by Maven at the first use."""
    jars = cache_dir() / f"kafka-{VERSION}"
    if jars.exists():
        return jars
    maven = tool("mvn", "install Maven (Debian: maven), or name a broker in HEADWATER_TEST_KAFKA")
    with tempfile.TemporaryDirectory(dir=cache_dir()) as aside:
        work = Path(aside)
        (work / "pom.xml").write_text(_POM)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={work / 'jars'}"]
        _run([maven, "-q", "-B", "-f", str(work / "pom.xml"), *goal], _DOWNLOAD_SECONDS, "fetching Kafka with Maven")
        try:
            (work / "jars").rename(jars)
        except OSError:
            if not jars.exists():  # else another process was faster
                raise
    return jars


def _run(command: list[str], seconds: float, what: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, text=True)
    except subprocess.TimeoutExpired as error:
        raise ServerUnavailableError(f"{what} took longer than {seconds:.0f} s") from error
    if done.returncode:
        raise ServerUnavailableError(f"{what} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def _properties(data: Path, host: str, port: int, advertised_port: int, controller_port: int) -> str:
    return f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{advertised_port}
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=8388608
"""
