"""Watches answers for drift: streaming histograms of the last answers against a reference."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from chassis.clock import Clock
from chassis.errors import FailedPrecondition
from chassis.identity import Caller
from chassis.telemetry import logger, metrics
from gateway.domain import Answer, Outcome, Retrieved
from gateway.drift.domain import (
    FORMAT,
    RATES,
    DriftReport,
    Reference,
    SignalDrift,
    SignalReference,
    stability_index,
)
from gateway.ports import SentenceEmbedder

EMBEDDING: Final = "embedding"
"""Signal of the questions' vectors."""
LEAST_ANSWERS: Final = 50
_EMITTED_EVERY: Final = 10
_REFERENCE: Final = TypeAdapter(Reference)
_log = logger("gateway")


class _Window:
    """The last values of one signal, counted in the bins of its reference."""

    def __init__(self, size: int) -> None:
        self.values: deque[float] = deque(maxlen=size)
        self._reference: SignalReference | None = None
        self._counts: list[int] = []

    def measure(self, reference: SignalReference | None) -> None:
        """Empties it; from now on values are counted against this reference."""
        self.values.clear()
        self._reference = reference
        self._counts = [0] * (len(reference.counts) if reference is not None else 0)

    def add(self, value: float) -> None:
        """One more; the oldest goes when it is full."""
        if self._reference is not None:
            if len(self.values) == self.values.maxlen:
                self._counts[self._reference.place(self.values[0])] -= 1
            self._counts[self._reference.place(value)] += 1
        self.values.append(value)

    def drift(self, name: str, least: int) -> SignalDrift | None:
        """Against the reference; None without one."""
        if self._reference is None:
            return None
        expected, found = self._reference.counts, len(self.values)
        index = stability_index(expected, self._counts) if found >= least else None
        chance = (len(expected) - 1) * (1 / sum(expected) + 1 / found) if found else 0.0
        now = sum(self.values) / found if found else 0.0
        return SignalDrift(name, index, chance, self._reference.mean, now, found)


class DriftWatch:
    """Notes numbers of answers, of all tenants together, and compares the last ones with a reference.

    Not thread-safe: everything but the file is done on the event loop.

    Args:
        window: Answers that are compared, and of which a reference is made; 0 watches nothing.
        file: Where the reference is kept; None forgets it with the process.
    """

    def __init__(self, window: int, file: Path | None, clock: Clock) -> None:
        self._size = window
        self._file = file
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._answers = 0
        self._vectors: deque[NDArray[np.float32]] = deque(maxlen=window)
        self._centroid: NDArray[np.float32] | None = None
        self._reference = _kept(file) if file is not None and window else None
        if self._reference is not None:
            self._follow(self._reference)

    def answered(self, answer: Answer, retrieved: Retrieved, characters: int) -> None:
        """Notes an answer: how long its question was, how well it was found and answered, and how it ended."""
        if not self._size:
            return
        scores = [each.score for each in retrieved.passages]
        searched = answer.outcome not in (Outcome.REFUSED, Outcome.NOT_SEARCHED)
        noted = {
            "question_length": float(characters),
            "abstained": float(answer.outcome is Outcome.ABSTAINED),
            "cited": float(bool(answer.citations)),
            "refused": float(answer.outcome is Outcome.REFUSED),
        }
        if scores:
            noted |= {
                "score": max(scores),
                "similarity": max(each.similarity for each in retrieved.passages),
                "confidence": answer.confidence,
            }
        if searched:
            noted["empty"] = float(not scores and not answer.citations)
            noted["cached"] = float(not scores and bool(answer.citations))
        for name, value in noted.items():
            self._window(name).add(value)
        self._answers += 1
        if self._reference is None and self._answers >= self._size:
            self._use(self._taken())
        elif self._reference is not None and (self._answers % _EMITTED_EVERY == 0 or self._size <= _EMITTED_EVERY):
            self._emit()

    def embedded(self, vector: NDArray[np.float32]) -> None:
        """Notes a question's vector, (d,) float32, L2-normalised: its cosine with the reference's centroid. Vectors are
        kept in memory, as many as a window holds, for the next reference."""
        if not self._size:
            return
        self._vectors.append(vector.copy())
        if self._centroid is not None and self._centroid.size == vector.size:
            self._window(EMBEDDING).add(float(self._centroid @ vector))

    def report(self) -> DriftReport:
        """Every signal against the reference."""
        reference = self._reference
        return DriftReport(
            reference.taken_at if reference is not None else None,
            reference.answers if reference is not None else 0,
            min(self._answers, self._size),
            self._size,
            tuple(self._drifts()),
        )

    async def take_reference(self) -> DriftReport:
        """Makes the last answers the reference, in place of the one before. Raises FailedPrecondition
        DRIFT_NOT_WATCHED, TOO_FEW_ANSWERS."""
        if not self._size:
            raise FailedPrecondition("Drift is not watched: set drift_window.", reason="DRIFT_NOT_WATCHED")
        least = min(LEAST_ANSWERS, self._size)
        if self._answers < least:
            raise FailedPrecondition(
                f"Only {self._answers} questions were answered since the last reference: {least} are needed.",
                reason="TOO_FEW_ANSWERS",
                metadata={"least": str(least)},
            )
        reference = self._taken()
        self._follow(reference)
        if self._file is not None:
            await asyncio.to_thread(_keep, self._file, reference)
        return self.report()

    def _use(self, reference: Reference) -> None:
        """Follows a reference that nobody asked for: its file is a kilobyte, written once."""
        self._follow(reference)
        if self._file is not None:
            _keep(self._file, reference)

    def _taken(self) -> Reference:
        answers = min(self._answers, self._size)
        # A signal that came with hardly any answer would be compared with chance.
        least = max(1, answers // 4)
        signals = {
            name: SignalReference.of(window.values, rate=name in RATES)
            for name, window in sorted(self._windows.items())
            if len(window.values) >= least and name != EMBEDDING
        }
        sizes = {vector.size for vector in self._vectors}
        if len(self._vectors) < least or len(sizes) > 1:
            return Reference(self._clock.now(), answers, signals)
        vectors = np.stack(self._vectors)
        middle = vectors.mean(axis=0)
        middle /= max(float(np.linalg.norm(middle)), 1e-9)
        signals[EMBEDDING] = SignalReference.of([float(value) for value in vectors @ middle])
        return Reference(self._clock.now(), answers, signals, tuple(float(value) for value in middle))

    def _follow(self, reference: Reference) -> None:
        self._reference = reference
        self._centroid = np.array(reference.centroid, np.float32) if reference.centroid else None
        self._vectors.clear()
        self._answers = 0
        for name in {*self._windows, *reference.signals}:
            self._window(name).measure(reference.signals.get(name))

    def _window(self, name: str) -> _Window:
        return self._windows.setdefault(name, _Window(self._size))

    def _drifts(self) -> Sequence[SignalDrift]:
        least = max(1, self._size // 2)
        found = (window.drift(name, least) for name, window in sorted(self._windows.items()))
        return [each for each in found if each is not None]

    def _emit(self) -> None:
        for each in self._drifts():
            if each.index is not None:
                metrics.GATEWAY_DRIFT.set(each.index, signal=each.signal)
            if each.signal in RATES and each.values:
                metrics.GATEWAY_DRIFT_RATE.set(each.now, rate=each.signal)


class WatchedEmbedder:
    """An embedder whose questions are watched."""

    def __init__(self, embedder: SentenceEmbedder, watch: DriftWatch) -> None:
        self._embedder = embedder
        self._watch = watch

    async def embed(
        self, question: str, sentences: Sequence[str], caller: Caller
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See the port."""
        asked, read = await self._embedder.embed(question, sentences, caller)
        self._watch.embedded(asked)
        return asked, read

    async def embed_words(self, words: Sequence[str], caller: Caller) -> NDArray[np.float32]:
        """See the port."""
        return await self._embedder.embed_words(words, caller)


def _kept(file: Path) -> Reference | None:
    """The reference in a file; None where there is none that can be read, so that a new one is taken."""
    try:
        reference = _REFERENCE.validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        _log.warning("the drift reference can't be read: a new one is taken")
        return None
    return reference if reference.format <= FORMAT else None


def _keep(file: Path, reference: Reference) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(".new")
        beside.write_bytes(_REFERENCE.dump_json(reference))
        beside.replace(file)
    except OSError:
        _log.warning("the drift reference can't be written: it is lost with the process")
