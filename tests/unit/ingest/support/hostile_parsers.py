"""Parsers that misbehave in every way that a document might make a real one misbehave; they run in the sandbox."""

import ctypes
import os
import socket
import subprocess
import sys
import time

from ingest.parsing.limits import ParseLimits
from ingest.parsing.model import ParsedDocument, Section


def document(text: str) -> ParsedDocument:
    return ParsedDocument(text, None, "und", {}, (Section((), 0, len(text)),), "text")


def parse(data: bytes, *, filename: str, media_type: str, language: str | None, limits: ParseLimits) -> ParsedDocument:
    """Does what the document says."""
    return BEHAVIOURS[data.decode().split()[0]](limits)


def spin(limits: ParseLimits) -> ParsedDocument:
    while True:
        pass


def sleep(limits: ParseLimits) -> ParsedDocument:
    time.sleep(3600)
    return document("late")


def segfault(limits: ParseLimits) -> ParsedDocument:
    ctypes.string_at(0)
    return document("unreachable")


def hog(limits: ParseLimits) -> ParsedDocument:
    return document(" ".join(["x" * (limits.memory_bytes * 2)]))


def flood(limits: ParseLimits) -> ParsedDocument:
    return document("x" * (limits.max_output_chars + 1))


def leave(limits: ParseLimits) -> ParsedDocument:
    os._exit(0)


def fail(limits: ParseLimits) -> ParsedDocument:
    raise RuntimeError("secret text of the document")


def lie(limits: ParseLimits) -> ParsedDocument:
    shown = document("fine")
    object.__setattr__(shown, "sections", (Section((), 0, 2), Section((), 3, 9)))
    return shown


def write(limits: ParseLimits) -> ParsedDocument:
    return document(_outcome(lambda: open("/tmp/left-behind-by-a-parser", "wb").write(b"x" * 4096)))


def read(limits: ParseLimits) -> ParsedDocument:
    return document(_outcome(lambda: open("/etc/passwd", "rb").read()))


def connect(limits: ParseLimits) -> ParsedDocument:
    return document(_outcome(lambda: socket.create_connection(("192.0.2.1", 80), timeout=2)))


def run(limits: ParseLimits) -> ParsedDocument:
    return document(_outcome(lambda: subprocess.run([sys.executable, "-c", "1"], check=True)))


def environment(limits: ParseLimits) -> ParsedDocument:
    return document(" ".join(sorted(os.environ)))


def pid(limits: ParseLimits) -> ParsedDocument:
    return document(str(os.getpid()))


def _outcome(action: object) -> str:
    try:
        action()  # type: ignore[operator]
    except OSError as error:
        return type(error).__name__
    return "allowed"


BEHAVIOURS = {
    behaviour.__name__: behaviour
    for behaviour in (
        spin,
        sleep,
        segfault,
        hog,
        flood,
        leave,
        fail,
        lie,
        write,
        read,
        connect,
        run,
        environment,
        pid,
    )
}
