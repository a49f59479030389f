"""Answers with the sentences of the passages that answer best, each cited; writes nothing of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chassis.errors import DeadlineExceeded, DependencyUnavailable, Overloaded
from chassis.identity import Caller
from gateway.domain import (
    ABSTENTION_TEXT,
    Citation,
    CitationSettled,
    Draft,
    Outcome,
    Place,
    Span,
    TextPiece,
    Usage,
)
from gateway.generators.extractive.confidence import Calibration, ConfidenceModel, features_of, terms_of
from gateway.generators.extractive.cues import kind_of
from gateway.generators.extractive.scoring import CandidateUnit, ScoredUnit, candidates_of, score_units
from gateway.generators.extractive.selection import select
from gateway.generators.extractive.units import UnitKind
from gateway.generators.extractive.unmet import offered_words, unmet_weight, unmet_words
from gateway.ports import GenerationRequest, SentenceEmbedder, TermAnalyser, TokenCounter

_EMBEDDER_DOWN: Final = (DependencyUnavailable, Overloaded, DeadlineExceeded)
"""Too slow is down. When it is the question's own time that is up, its reader is gone, and this task with him."""
WITHOUT_VECTORS: Final = "sentence_embedding"
"""Name in ``degraded`` for an answer whose sentences were scored by their words alone."""


@dataclass(frozen=True, slots=True)
class _Scored:
    chosen: list[ScoredUnit]
    features: dict[str, float]
    unmet: tuple[str, ...]


class ExtractiveGenerator:
    """Generator without a language model. Its text comes whole, in the draft."""

    name = "extractive"

    def __init__(self, embedder: SentenceEmbedder, analyse: TermAnalyser, tokens: TokenCounter) -> None:
        self._embedder = embedder
        self._analyse = analyse
        self._tokens = tokens
        self._model = ConfidenceModel.shipped("with_vectors")
        self._model_without_vectors = ConfidenceModel.shipped("lexical_only")
        self._calibration = Calibration.shipped()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TextPiece | CitationSettled | Draft, None]:
        """One draft: ANSWERED, or ABSTAINED when no sentence answers with enough confidence."""
        candidates = candidates_of(request.blocks)
        if not candidates:
            yield Draft(Outcome.ABSTAINED, ABSTENTION_TEXT, 0.0)
            return
        vectors = await self._vectors(request, candidates)
        # Analysis of a hundred sentences takes milliseconds of CPU, which others on the loop should not wait for.
        found = await asyncio.to_thread(self._score, request.question, candidates, vectors)
        model = self._model if vectors is not None else self._model_without_vectors
        unmet = await self._unmet(found, request.caller, with_vectors=vectors is not None)
        features = {**found.features, "unmet": unmet}
        confidence = model.confidence(features)
        degraded = () if vectors is not None else (WITHOUT_VECTORS,)
        usage = Usage(context_tokens=sum(block.tokens for block in request.blocks))
        reported = tuple(features.items())
        if confidence < model.threshold:
            yield Draft(Outcome.ABSTAINED, ABSTENTION_TEXT, confidence, (), usage, degraded, reported)
            return
        if vectors is not None:
            confidence = self._calibration.apply(confidence)
        text, citations = _compose(found.chosen)
        usage = Usage(usage.context_tokens, 0, self._tokens.count(text))
        yield Draft(Outcome.ANSWERED, text, confidence, citations, usage, degraded, reported)

    async def _vectors(
        self, request: GenerationRequest, candidates: Sequence[CandidateUnit]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        sentences = [candidate.embedded_text for candidate in candidates]
        try:
            return await self._embedder.embed(request.question, sentences, request.caller)
        except _EMBEDDER_DOWN:
            return None

    async def _unmet(self, found: _Scored, caller: Caller, *, with_vectors: bool) -> float:
        """See ``unmet.unmet_weight``; without vectors every unmet word counts in full."""
        if not found.unmet:
            return 0.0
        if not with_vectors:
            return 1.0
        offered = offered_words(found.chosen)
        try:
            vectors = await self._embedder.embed_words([*found.unmet, *offered], caller)
        except _EMBEDDER_DOWN:
            return 1.0
        return unmet_weight(vectors[: len(found.unmet)], vectors[len(found.unmet) :])

    def _score(
        self,
        question: str,
        candidates: Sequence[CandidateUnit],
        vectors: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    ) -> _Scored:
        scored, asked = score_units(question, candidates, self._analyse, vectors)
        chosen = select(scored, asked, kind_of(question))
        known = terms_of((unit.candidate.passage for unit in scored), self._analyse)
        features = features_of(question, chosen, scored, asked, known, self._analyse)
        return _Scored(chosen, features, unmet_words(question, known, self._analyse))


def _compose(chosen: Sequence[ScoredUnit]) -> tuple[str, tuple[Citation, ...]]:
    """The text with one mark behind every unit, and a citation for each unit."""
    pieces: list[str] = []
    citations: list[Citation] = []
    for number, unit in enumerate(chosen, start=1):
        candidate = unit.candidate
        citations.append(citation_of(candidate, number))
        lead = (
            ""
            if number == 1
            else "\n"
            if _stands_alone(candidate) or _stands_alone(chosen[number - 2].candidate)
            else " "
        )
        pieces.append(f"{lead}{candidate.shown} [{number}]")
    return "".join(pieces), tuple(citations)


def _stands_alone(candidate: CandidateUnit) -> bool:
    return candidate.unit.kind is not UnitKind.SENTENCE


def citation_of(candidate: CandidateUnit, number: int) -> Citation:
    """The citation of a unit: its quote is the document's text at the place it names."""
    passage, block, unit = candidate.passage, candidate.block, candidate.unit
    start = block.place.span.start
    return Citation(
        number=number,
        key=passage.key,
        title=passage.title,
        uri=passage.uri,
        place=Place(block.place.heading_path, block.place.page, Span(start + unit.start, start + unit.end)),
        quote=candidate.text,
        ingest_trace_id=passage.ingest_trace_id,
        document_updated_at=passage.updated_at,
    )
