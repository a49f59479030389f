"""Protections against what comes from outside."""

from __future__ import annotations

from tests.mutants.catalogue.areas import PROGRAMS
from tests.mutants.mutant import Mutant

DOORS = (
    Mutant(
        "sandbox-memory",
        "a parser has no more than its memory",
        "services/ingest/sandbox/isolation.py",
        "_limit(resource.RLIMIT_AS, mapped_bytes + limits.memory_bytes)",
        "pass",
        ("tests/unit/ingest/test_sandbox.py",),
        ("tests/unit/ingest/test_hostile_files.py",),
    ),
    Mutant(
        "sandbox-cpu",
        "a parser has no more than its time",
        "services/ingest/sandbox/isolation.py",
        "resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))",
        "pass",
        ("tests/unit/ingest/test_sandbox.py",),
        ("tests/unit/ingest/test_hostile_files.py",),
    ),
    Mutant(
        "sandbox-files",
        "a parser reads no file but the interpreter's",
        "services/ingest/sandbox/isolation.py",
        "restricted = _restrict_files(_libc(), _readable_directories())",
        "restricted = True",
        ("tests/unit/ingest/test_sandbox.py",),
        ("tests/unit/ingest/test_hostile_files.py",),
    ),
    Mutant(
        "sandbox-network",
        "a parser has no network",
        "services/ingest/sandbox/isolation.py",
        "if libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:",
        "if True:",
        ("tests/unit/ingest/test_sandbox.py",),
        ("tests/unit/ingest/test_hostile_files.py",),
    ),
    Mutant(
        "scope-of-writers",
        "who may only read changes nothing",
        "services/ingest/accept.py",
        "        caller.require(Scope.WRITE)\n        _check_version(draft.version)\n",
        "        _check_version(draft.version)\n",
        ("tests/unit/ingest/test_accept.py",),
        ("tests/unit/ingest",),
    ),
    Mutant(
        "documents-of-others",
        "who may not read a document does not hear of it",
        "services/ingest/service.py",
        "if head is None or not may_read(caller, head, self.clock.now()):",
        "if head is None:",
        ("tests/unit/ingest/test_service.py",),
        (PROGRAMS,),
    ),
)
