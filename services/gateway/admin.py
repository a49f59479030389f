"""``python -m gateway.admin init|check``: the indexes of answers and costs; see ``chassis.admin``."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from typing import Final

from chassis.admin import administer
from chassis.elasticsearch.client import open_store
from chassis.elasticsearch.indexes import all_differences, create_missing
from gateway.adapters import elasticsearch_answer_log, elasticsearch_cost_log
from gateway.settings import GatewaySettings

_SPECS: Final = (*elasticsearch_answer_log.SPECS, *elasticsearch_cost_log.SPECS)


async def create(settings: GatewaySettings) -> list[str]:
    """Creates what is missing and names it."""
    async with AsyncExitStack() as stack:
        store = open_store(settings.elasticsearch)
        stack.push_async_callback(store.close)
        return await create_missing(store, _SPECS)


async def differences(settings: GatewaySettings) -> list[str]:
    """Names what is not as expected."""
    async with AsyncExitStack() as stack:
        store = open_store(settings.elasticsearch)
        stack.push_async_callback(store.close)
        return await all_differences(store, _SPECS)


if __name__ == "__main__":
    sys.exit(administer(GatewaySettings, create, differences))
