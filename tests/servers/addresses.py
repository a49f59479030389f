"""Where the servers of this test run are."""

from __future__ import annotations

import os

from tests.servers.native import ServerUnavailableError

VARIABLES = {
    "kafka": "HEADWATER_TEST_KAFKA",
    "elasticsearch": "HEADWATER_TEST_ELASTICSEARCH",
    "weaviate": "HEADWATER_TEST_WEAVIATE",
    "redis": "HEADWATER_TEST_REDIS",
    "s3": "HEADWATER_TEST_S3",
}
"""Environment variable by server."""

S3_ACCESS_KEY_ID = "headwater"
S3_SECRET_ACCESS_KEY = "headwater-secret"


def address_of(server: str) -> str:
    """The address from the environment. Raises ServerUnavailableError, which says how to get a server."""
    address = os.environ.get(VARIABLES[server], "")
    if not address:
        raise ServerUnavailableError(
            f"{VARIABLES[server]} is not set: run this test with "
            f"'python -m tests.servers run --only {server} -- pytest -m cluster …'"
        )
    return address
