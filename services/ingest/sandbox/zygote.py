"""The process that forks parsers: imports once, then forks on request, reaps and reports.

Started by the pool as `python -m ingest.sandbox.zygote LANE CONTROL_FD PARSER`; never by hand. It ends when the pool
closes the control socket, and every child dies with it.
"""

import gc
import os
import selectors
import signal
import socket
import sys
from collections.abc import Iterable
from importlib import import_module

from ingest.parsing.formats import Format
from ingest.sandbox.child import Parse, serve
from ingest.sandbox.isolation import Isolation, follow_parent, isolate_files, isolate_zygote, mapped_bytes
from ingest.sandbox.protocol import CONTROL, ControlKind

_WARM_FORMATS: dict[str, Iterable[Format]] = {
    "light": [format_ for format_ in Format if format_ is not Format.OFFICE],
    "office": [Format.OFFICE],
}


class Zygote:
    """One loop over the control socket and the wake-up pipe of SIGCHLD; no threads, no asyncio, nothing to inherit."""

    def __init__(self, control: socket.socket, parse: Parse, mapped: int) -> None:
        self._control = control
        self._parse = parse
        self._pids: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._mapped_bytes = mapped
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def run(self, isolation: Isolation) -> None:
        """Serve until the pool is gone."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._send(ControlKind.READY, 0, int(isolation))
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            connected = True
            while connected:
                for key, _ in selector.select():
                    if key.fileobj is self._control:
                        connected = self._handle_message()
                    else:
                        self._reap()
        for pid in self._pids.values():
            os.kill(pid, signal.SIGKILL)

    def _handle_message(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, CONTROL.size, 1)
        if len(message) < CONTROL.size:
            return False
        kind, number, _ = CONTROL.unpack(message)
        if kind == ControlKind.SPAWN:
            self._fork(number, descriptors[0])
        elif kind == ControlKind.KILL and number in self._pids:
            # Reaped children are not in the table, so the process id cannot have been taken by another process.
            os.kill(self._pids[number], signal.SIGKILL)
        return True

    def _fork(self, number: int, descriptor: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._become_child(descriptor)
        os.close(descriptor)
        self._pids[number] = pid
        self._numbers[pid] = number

    def _become_child(self, descriptor: int) -> None:
        status = os.EX_SOFTWARE
        try:
            follow_parent()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            # Native libraries print what they stumble over, and that is document text.
            os.dup2(1, 2)
            with socket.socket(fileno=descriptor) as channel:
                channel.setblocking(True)
                status = serve(channel, self._parse, self._mapped_bytes)
        finally:
            # Not sys.exit: nothing of the zygote's may run in the child.
            os._exit(status)

    def _reap(self) -> None:
        while True:
            try:
                os.read(self._wake_read, 512)
            except BlockingIOError:
                break
        while self._numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            number = self._numbers.pop(pid)
            del self._pids[number]
            self._send(ControlKind.EXITED, number, status)

    def _send(self, kind: ControlKind, number: int, value: int) -> None:
        self._control.sendall(CONTROL.pack(kind, number, value))


def main(arguments: list[str]) -> int:
    """Isolate, import, serve."""
    lane, descriptor, entry_point = arguments
    with socket.socket(fileno=int(descriptor)) as control:
        control.setblocking(True)
        follow_parent()
        isolation = isolate_zygote()
        module, _, function = entry_point.partition(":")
        parse: Parse = getattr(import_module(module), function)
        _warm(_WARM_FORMATS[lane])
        # Asked now: the file that says it cannot be read afterwards.
        mapped = mapped_bytes()
        isolation |= isolate_files()
        # Frozen objects are not visited by the collector, so children do not copy their pages.
        gc.collect()
        gc.freeze()
        try:
            Zygote(control, parse, mapped).run(isolation)
        except (BrokenPipeError, ConnectionResetError):
            return os.EX_OK
    return os.EX_OK


def _warm(formats: Iterable[Format]) -> None:
    from ingest.parsing.language import warm
    from ingest.parsing.registry import load_parser

    for format_ in formats:
        load_parser(format_)
    warm()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
