"""Elasticsearch from its published integration-test distribution: the real server without the optional modules (no
painless, no language analyzers, no reindex or delete-by-query). Needs Maven for the download and a JDK of 21 or later.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from tests.servers.native import Running, ServerUnavailableError, cache_dir, free_port, spawn, tool

VERSION = "9.2.0"
_ARTIFACT = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_OLDEST_JAVA = 21
_HEAP = "768m"
_UNPRIVILEGED = "nobody"
_SECONDS = 300.0
"""Nine seconds on idle cores, sixteen times that where two cores start every server at once."""

# Nothing here is for safety's sake: tests throw the data away, and a full disk must not make indexes read-only.
_SETTINGS = """\
cluster.name: headwater-tests
node.name: one
discovery.type: single-node
network.host: 127.0.0.1
http.port: {http}
transport.port: {transport}
xpack.security.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
action.auto_create_index: false
action.destructive_requires_name: true
"""


def start(directory: Path) -> Running:
    """Starts one node with its data below ``directory`` (started by root: in a directory of its own, since the server
    refuses to run as root). The address is ``http://host:port``. Raises ServerUnavailableError."""
    java = java_home(_OLDEST_JAVA)
    archive = prepare()
    user = _UNPRIVILEGED if os.geteuid() == 0 else None
    place = Path(tempfile.mkdtemp(prefix="headwater-elasticsearch-")) if user else directory
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(place)
    home = place / f"elasticsearch-{VERSION}"
    http, transport = free_port(), free_port()
    (home / "config" / "elasticsearch.yml").write_text(_SETTINGS.format(http=http, transport=transport))
    (home / "bin" / "elasticsearch").chmod(0o755)
    if user:
        _give_to(place, user)
    environment = {
        "ES_JAVA_HOME": str(java),
        # A server that lives for minutes spends more on the optimising compiler than on all requests: ingesting 120
        # documents took it 15 s of CPU with that compiler and 6.5 s without.
        "ES_JAVA_OPTS": f"-Xms{_HEAP} -Xmx{_HEAP} -XX:TieredStopAtLevel=1",
        "CLI_JAVA_OPTS": "-Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        "HOME": str(place),
    }
    address = f"http://127.0.0.1:{http}"
    command = ["/bin/bash", str(home / "bin" / "elasticsearch")]
    log = directory / "elasticsearch.log"

    def ready() -> bool:
        return _is_ready(address)

    try:
        running = spawn(command, address, log=log, ready=ready, seconds=_SECONDS, environment=environment, user=user)
    except ServerUnavailableError:
        shutil.rmtree(home, ignore_errors=True)
        raise
    running.after_stop = (lambda: shutil.rmtree(place if user else home, ignore_errors=True),)
    return running


def java_home(oldest: int) -> Path:
    """The first JDK of at least this version: ``JAVA_HOME``, then ``/usr/lib/jvm``. Raises ServerUnavailableError."""
    named = os.environ.get("JAVA_HOME")
    places = [Path(named)] if named else []
    places += sorted(Path("/usr/lib/jvm").glob("*"), reverse=True)
    for place in places:
        if (place / "bin" / "java").exists() and _java_version(place) >= oldest:
            return place
    raise ServerUnavailableError(f"no JDK of version {oldest} or later in JAVA_HOME or /usr/lib/jvm: install one")


def _java_version(home: Path) -> int:
    try:
        lines = (home / "release").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        name, _, value = line.partition("=")
        if name == "JAVA_VERSION":
            return int(value.strip('"').split(".")[0].split("-")[0])
    return 0


def prepare() -> Path:
    """The distribution, downloaded once. Two processes may do so at the same time: the last rename wins, and both
    files are the same."""
    archive = cache_dir() / f"elasticsearch-{VERSION}.zip"
    if archive.exists():
        return archive
    maven = tool("mvn", "Maven downloads Elasticsearch from its published package")
    with tempfile.TemporaryDirectory(dir=cache_dir()) as aside:
        command = [maven, "-q", "-B", _COPY, f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={aside}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode != 0:
            raise ServerUnavailableError(f"Maven can't download {_ARTIFACT}:\n{done.stdout[-2000:]}")
        (Path(aside) / archive.name).rename(archive)
    return archive


def _give_to(place: Path, user: str) -> None:
    account = pwd.getpwnam(user)
    for path in [place, *place.rglob("*")]:
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _is_ready(address: str) -> bool:
    # GET / is not part of this distribution.
    try:
        with urllib.request.urlopen(f"{address}/_cluster/health", timeout=2) as response:
            return json.load(response)["status"] in ("green", "yellow")
    except (urllib.error.URLError, OSError, ValueError):
        return False
