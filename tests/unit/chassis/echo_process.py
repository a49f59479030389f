"""The echo service as a process of its own, as a service's ``__main__.py`` runs it. Usage: echo_process.py MODE."""

from __future__ import annotations

import asyncio
import sys
import threading

from tests.unit.chassis.echo import SERVICE, Echo, EchoSettings

from chassis.lifecycle import Lifecycle, run
from chassis.rpc.server import GrpcServer
from chassis.settings import load_settings
from chassis.tokens import InternalTokenVerifier, jwks_file


async def slow(request: bytes) -> bytes:
    if request == b"slow":
        await asyncio.sleep(0.7)
    if request == b"forever":
        await asyncio.Event().wait()
    return request


async def dying() -> None:
    raise RuntimeError("private text")


async def serve(lifecycle: Lifecycle, settings: EchoSettings, mode: str) -> None:
    if mode == "broken-start":
        raise RuntimeError("private text")
    if mode == "slow-start":
        sys.stdout.write("starting\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
    verifier = InternalTokenVerifier(jwks_file(settings.keys_dir), {"frontend"})
    server = await lifecycle.stack.enter_async_context(GrpcServer(settings, lifecycle, verifier))
    Echo(slow).add_to(server.grpc)
    await server.start(SERVICE)
    if mode == "dying-task":
        lifecycle.create_task(dying(), "dying")
    if mode == "stuck-thread":
        asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    await lifecycle.serve_until_signal()


if __name__ == "__main__":
    settings = load_settings(EchoSettings, sys.argv[2:])
    sys.exit(run(lambda lifecycle: serve(lifecycle, settings, sys.argv[1]), settings))
