"""Which processes that share a log are still there.

Each process holds a file lock for as long as it lives; the kernel lets go of it when the process ends, however it ends.
So a worker that was killed and started again gets its partitions at once instead of waiting for the lease of its former
self. A process that was merely stopped keeps the lock, and its lease ends.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from chassis.errors import DependencyUnavailable


class ProcessLock:
    """This process's lock in ``directory``, taken at the first use of ``name``. Not thread-safe."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: int | None = None
        self._name = uuid4().hex

    def name(self) -> str:
        """Name under which other processes can ask for this one. Raises DependencyUnavailable."""
        if self._file is None:
            try:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self._directory / self._name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise DependencyUnavailable(
                    "The data directory can't be written.", reason="STORAGE_UNAVAILABLE", retry_after_seconds=1.0
                ) from error
        return self._name

    def is_alive(self, name: str) -> bool:
        """Whether the process of that name still runs; removes what a dead one left."""
        path = self._directory / Path(name).name
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # Not known: its lease decides.
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            with suppress(FileNotFoundError):
                path.unlink()
            return False
        finally:
            os.close(file)

    def close(self) -> None:
        """Lets go. Idempotent."""
        if self._file is not None:
            with suppress(FileNotFoundError):
                (self._directory / self._name).unlink()
            os.close(self._file)
            self._file = None
