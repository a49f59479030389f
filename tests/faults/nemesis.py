"""Injects named faults into processes, chosen from a seed: dead, or standing still for longer than a lease."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from headwater.cli import stack


@dataclass
class ProcessNemesis:
    """Kills and stops the services of a stack on this machine.

    Attributes:
        data: The stack's directory.
        environment: What its services are told when they start again.
        injected: Faults by name ("SIGKILL ingest").
    """

    data: Path
    environment: Mapping[str, str]
    dice: random.Random
    injected: Counter[str] = field(default_factory=Counter)
    journal: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    def kill(self, victims: Sequence[str]) -> None:
        """SIGKILL for all of them at once; returns when they are ready again."""
        pids = {service: stack.pid_of(self.data, service) for service in victims}
        for service, pid in pids.items():
            assert pid is not None, f"{service} does not run"
            os.kill(pid, signal.SIGKILL)
            self._note("SIGKILL", service)
        for pid in pids.values():
            with suppress(ChildProcessError):
                os.waitpid(pid or 0, 0)
        stack.start(self.data, environment=self.environment)

    def stop_for(self, seconds: float, victim: str) -> None:
        """SIGSTOP, and SIGCONT after so long: what it was about to do, it does then."""
        pid = stack.pid_of(self.data, victim)
        assert pid is not None, f"{victim} does not run"
        os.kill(pid, signal.SIGSTOP)
        self._note("SIGSTOP", victim)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    def pairs(self, count: int, always: str, others: Sequence[str]) -> list[tuple[str, str]]:
        """Victims of ``count`` blows: one service each time, and every other one about as often."""
        among = [others[number % len(others)] for number in range(count)]
        self.dice.shuffle(among)
        return [(always, other) for other in among]

    def _note(self, fault: str, victim: str) -> None:
        self.injected[f"{fault} {victim}"] += 1
        self.journal.append(f"{time.monotonic() - self._began:.2f} {fault} {victim}")


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Waits. Raises TimeoutError that says for what."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not within {seconds:.0f} s: {what}")
        time.sleep(0.02)
