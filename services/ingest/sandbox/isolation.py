"""What the kernel forbids a parser process: each measure where it is available, and a report of which are on.

Network: an empty network namespace. Files: Landlock, reading below the interpreter's own directories only. Limits:
`setrlimit`. Privileges: no new ones, and none left. Where a kernel or a container forbids a measure, the others
still hold; rlimits and the wall clock work everywhere.
"""

import ctypes
import math
import os
import resource
import signal
import sys
from collections.abc import Iterable
from enum import IntFlag
from functools import cache
from pathlib import Path

from ingest.parsing.limits import ParseLimits

_CLONE_NEWNET = 0x40000000
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
# System call numbers of Landlock are the same on every architecture (Linux 5.13 and later).
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_ADD_RULE = 445
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_RULE_PATH_BENEATH = 1
_LANDLOCK_ALL_ABI_1 = (1 << 13) - 1
_LANDLOCK_READ = (1 << 2) | (1 << 3)  # read a file, list a directory
_CAPABILITY_VERSION_3 = 0x20080522
_MAX_OPEN_FILES = 32
_PAGE_BYTES = resource.getpagesize()


class Isolation(IntFlag):
    """Measures that are in force in a zygote and all its children."""

    NONE = 0
    NETWORK = 1
    FILES = 2
    PRIVILEGES = 4


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def isolate_zygote() -> Isolation:
    """Take network and privileges from this process and its future children; call first, while there is one thread."""
    if not sys.platform.startswith("linux"):
        return Isolation.NONE
    libc = _libc()
    measures = Isolation.NONE
    # With the privilege for it a network namespace alone is enough; without, a user namespace grants it.
    if libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        measures |= Isolation.NETWORK
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and _drop_capabilities(libc):
        measures |= Isolation.PRIVILEGES
    return measures


def isolate_files() -> Isolation:
    """Forbid this process and its future children every file outside the interpreter's own directories.

    Call after the imports (shared libraries lie elsewhere) and after `isolate_zygote` (Landlock wants no new
    privileges).
    """
    if not sys.platform.startswith("linux"):
        return Isolation.NONE
    restricted = _restrict_files(_libc(), _readable_directories())
    return Isolation.FILES if restricted else Isolation.NONE


def follow_parent() -> None:
    """Die when the parent dies (Linux); elsewhere the closed channel ends the process."""
    if sys.platform.startswith("linux"):
        _libc().prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def limit_process(limits: ParseLimits, mapped_bytes: int) -> None:
    """Set the limits that hold for the whole life of a child."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)
    # Not effective for root, who has capabilities taken away instead.
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_AS, mapped_bytes + limits.memory_bytes)


def limit_cpu(limits: ParseLimits) -> None:
    """Give the next document its CPU time: the limit counts from the start of the process, so it moves."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(usage.ru_utime + usage.ru_stime) + limits.cpu_seconds
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def mapped_bytes() -> int:
    """Return the size of this process's address space: 4 GiB where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE_BYTES
    except OSError:
        return 4 * 1024**3


@cache
def _libc() -> ctypes.CDLL:
    """Loaded once in the zygote; its children inherit it."""
    return ctypes.CDLL(None, use_errno=True)


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _drop_capabilities(libc: ctypes.CDLL) -> bool:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    return bool(libc.capset(header, nothing) == 0)


def _readable_directories() -> set[str]:
    """Return where code may still be imported from, and what C libraries look up at run time."""
    directories = {sys.prefix, sys.base_prefix, *sys.path, "/usr/share/zoneinfo", os.devnull}
    return {os.path.realpath(path) for path in directories if path and os.path.exists(path)}


def _restrict_files(libc: ctypes.CDLL, readable: Iterable[str]) -> bool:
    handled = ctypes.c_uint64(_LANDLOCK_ALL_ABI_1)
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            access = _LANDLOCK_READ if os.path.isdir(path) else 1 << 2
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = _PathBeneath(access, descriptor)
                libc.syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, ctypes.byref(rule), 0)
            finally:
                os.close(descriptor)
        return bool(libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)
