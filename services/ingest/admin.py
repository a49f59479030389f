"""``python -m ingest.admin init|check``: topics and indexes of the corpus; see ``chassis.admin``."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from typing import ClassVar

from chassis.admin import administer
from corpus.engines.servers import ClusterServers
from ingest.settings import IngestSettings
from ingest.topics import topics


class AdminSettings(IngestSettings):
    """The same, of somebody who holds no keys of pseudonyms: indexes are made without them."""

    reads_documents: ClassVar[bool] = False


async def create(settings: IngestSettings) -> list[str]:
    """Creates what is missing and names it."""
    async with AsyncExitStack() as stack:
        return await ClusterServers(stack, settings).create(topics(settings.partitions))


async def differences(settings: IngestSettings) -> list[str]:
    """Names what is not as expected."""
    async with AsyncExitStack() as stack:
        return await ClusterServers(stack, settings).differences(topics(settings.partitions))


if __name__ == "__main__":
    sys.exit(administer(AdminSettings, create, differences))
