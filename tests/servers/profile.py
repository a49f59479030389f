"""The cluster profile over the servers of a run.

``python -m tests.servers.profile -- COMMAND…`` runs a command (a stack, a benchmark, the end-to-end tests) with the
settings that lead its services there, in an installation of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from uuid import uuid4

from tests.servers import s3
from tests.servers.addresses import address_of


def settings(name: str) -> Mapping[str, str]:
    """Settings (``HEADWATER_…``) of an installation of its own on the servers of this run.

    Args:
        name: Keeps installations apart: a lower-case letter, then letters and digits.
    """
    weaviate_http, weaviate_grpc = address_of("weaviate").split(",")
    objects = s3.endpoint(name)
    return {
        "HEADWATER_PROFILE": "cluster",
        "HEADWATER_KAFKA__BOOTSTRAP_SERVERS": address_of("kafka"),
        "HEADWATER_KAFKA__PREFIX": f"{name}.",
        "HEADWATER_KAFKA__REPLICATION_FACTOR": "1",
        "HEADWATER_ELASTICSEARCH__URL": address_of("elasticsearch"),
        "HEADWATER_ELASTICSEARCH__PREFIX": name,
        "HEADWATER_ELASTICSEARCH__REPLICAS": "0",
        "HEADWATER_WEAVIATE__HTTP": weaviate_http,
        "HEADWATER_WEAVIATE__GRPC": weaviate_grpc,
        "HEADWATER_WEAVIATE__PREFIX": name.capitalize(),
        "HEADWATER_REDIS__URL": address_of("redis"),
        "HEADWATER_S3__LOCATION": objects.location,
        "HEADWATER_S3__URL": objects.url,
        "HEADWATER_S3__REGION": objects.region,
        "HEADWATER_S3__ACCESS_KEY_ID": objects.access_key_id.get_secret_value(),
        "HEADWATER_S3__SECRET_ACCESS_KEY": objects.secret_access_key.get_secret_value(),
    }


def main(arguments: list[str]) -> int:
    """Sets the installation up and runs the command; its exit code."""
    if arguments[:1] != ["--"] or len(arguments) < 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    environment = {**os.environ, **settings(f"t{uuid4().hex[:8]}")}
    subprocess.run([sys.executable, "-m", "headwater.cli", "admin", "init"], env=environment, check=True)
    return subprocess.run(arguments[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
