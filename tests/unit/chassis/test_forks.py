"""gRPC stays out of forks: its handlers would start threads in the child that work on the parent's sockets."""

import subprocess
import sys

import pytest

SERVICES = ("gateway", "retriever", "reranker", "embedder", "ingest", "ingest.sources")

FORK = """
import asyncio, os
import {service}.__main__
import grpc, uvloop

async def main():
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{{port}}") as channel:
        await channel.channel_ready()
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.write(writing, bytes([len(os.listdir("/proc/self/task"))]))
            os._exit(0)
        os.waitpid(child, 0)
        print(os.read(reading, 1)[0])
    await server.stop(0)

uvloop.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
@pytest.mark.parametrize("service", SERVICES)
def test_a_child_of_a_service_has_one_thread(service: str) -> None:
    """As its command imports it: gRPC reads whether it is wanted when it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", FORK.format(service=service)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "1\n", done.stderr
