"""An S3-compatible object store: versitygw (Apache-2.0) over a directory, built from its published Go module."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.addresses import S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, address_of
from tests.servers.native import Running, ServerUnavailableError, cache_dir, cache_lock, free_port, spawn, tool

from chassis.endpoints import S3Endpoint

VERSION = "v1.8.0"
BUCKET = "headwater"
REGION = "us-east-1"
_MODULE = "github.com/versity/versitygw/cmd/versitygw"
_BUILD_SECONDS = 900
"""Three minutes of CPU time; beside other builds on two cores that takes a while."""


def prepare() -> Path:
    """Path of the server's program, built once. Raises ServerUnavailableError."""
    program = cache_dir() / f"versitygw-{VERSION}"
    if program.exists():
        return program
    go = tool("go", "install Go 1.25 or later, or set HEADWATER_TEST_S3")
    with cache_lock("versitygw"):
        if not program.exists():
            _build(go, program)
    return program


def start(directory: Path) -> Running:
    """A server of the objects in ``directory``, with the bucket that the tests use."""
    program = prepare()
    port = free_port()
    root = directory / "buckets"
    root.mkdir(parents=True, exist_ok=True)
    (directory / "metadata").mkdir(exist_ok=True)
    # Metadata in a directory of its own: extended attributes are missing on many a temporary file system.
    command = [str(program), "--port", f"127.0.0.1:{port}", "--quiet", "--health", "/health"]
    command += ["posix", "--sidecar", str(directory / "metadata"), str(root)]
    address = f"http://127.0.0.1:{port}"
    credentials = {"ROOT_ACCESS_KEY": S3_ACCESS_KEY_ID, "ROOT_SECRET_KEY": S3_SECRET_ACCESS_KEY, "VGW_REGION": REGION}
    running = spawn(
        command, address, log=directory / "s3.log", ready=lambda: _healthy(address), environment=credentials
    )
    create_bucket(address)
    return running


def endpoint(prefix: str) -> S3Endpoint:
    """How the tests reach the server of this run; ``prefix`` keeps them apart."""
    return S3Endpoint(
        location=f"s3://{BUCKET}/{prefix}",
        url=address_of("s3"),
        region=REGION,
        access_key_id=S3_ACCESS_KEY_ID,
        secret_access_key=S3_SECRET_ACCESS_KEY,
    )


def create_bucket(address: str, bucket: str = BUCKET) -> None:
    """Creates the bucket unless it is there. obstore can't, and a whole SDK for one request is too much."""
    try:
        with request(address, "PUT", f"/{bucket}"):
            pass
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise ServerUnavailableError(f"the S3 server refused to create a bucket: status {error.code}") from error
    except OSError as error:
        raise ServerUnavailableError(f"the S3 server at {address} can't be reached: {error}") from error


def request(address: str, method: str, path: str, query: str = ""):
    """One request with an empty body, signed by AWS Signature Version 4 (docs.aws.amazon.com, "Signature Version 4
    signing process"). ``query`` is canonical already: sorted, ``name=`` where there is no value."""
    now = datetime.datetime.now(datetime.UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    body_hash = hashlib.sha256(b"").hexdigest()
    headers = {"host": urlsplit(address).netloc, "x-amz-content-sha256": body_hash, "x-amz-date": stamp}
    names = ";".join(sorted(headers))
    listed = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join([method, path, query, listed, names, body_hash])
    scope = f"{day}/{REGION}/s3/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{S3_SECRET_ACCESS_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={S3_ACCESS_KEY_ID}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    url = f"{address}{path}?{query}" if query else f"{address}{path}"
    return urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers), timeout=10)


def _build(go: str, program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache_dir(), prefix="versitygw-") as aside:
        command = [go, "install", "-trimpath", "-ldflags=-s -w", f"{_MODULE}@{VERSION}"]
        environment = {**os.environ, "GOBIN": aside, "CGO_ENABLED": "0"}
        done = subprocess.run(command, env=environment, capture_output=True, timeout=_BUILD_SECONDS, check=False)
        if done.returncode != 0:
            raise ServerUnavailableError(f"building versitygw failed:\n{done.stderr.decode(errors='replace')[-2000:]}")
        shutil.move(Path(aside) / "versitygw", program)


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=1) as response:
            return response.status == 200
    except OSError:
        return False
