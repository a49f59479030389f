"""A process for the event log suites: appends or consumes, telling on stdout what it did, until it is killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection
from pathlib import Path

from chassis.eventlog.port import Partition
from chassis.eventlog.sqlite import SqliteEventLog


async def append_for_ever(path: Path) -> None:
    producer = SqliteEventLog(path).producer()

    async def append_as(caller: int) -> None:
        number = 0
        while True:
            key, value = f"{caller}".encode(), f"{caller}/{number}".encode()
            await producer.append("changes", key, value)
            print("appended", value.decode(), flush=True)
            number += 1

    await asyncio.gather(*(append_as(caller) for caller in range(4)))


async def consume(path: Path) -> None:
    consumer = SqliteEventLog(path).consumer("changes", "workers")

    async def on_revoked(partitions: Collection[Partition]) -> None:
        print("revoked", *sorted(p.index for p in partitions), flush=True)

    await consumer.start(on_revoked)
    known: frozenset[Partition] = frozenset()
    while True:
        records = await consumer.poll(10, 0.2)
        if consumer.assignment() != known:
            known = consumer.assignment()
            print("assigned", *sorted(p.index for p in known), flush=True)
        for record in records:
            print("got", record.partition.index, record.offset, flush=True)
            await consumer.commit({record.partition: record.offset + 1})


if __name__ == "__main__":
    action = {"append": append_for_ever, "consume": consume}[sys.argv[1]]
    asyncio.run(action(Path(sys.argv[2])))
