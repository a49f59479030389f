"""Answers with the sentences of the passages that answer best, each cited; writes nothing of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chassis.errors import DependencyUnavailable, Overloaded
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
from gateway.generators.extractive.confidence import ConfidenceModel, features_of
from gateway.generators.extractive.cues import kind_of
from gateway.generators.extractive.scoring import CandidateUnit, ScoredUnit, candidates_of, score_units
from gateway.generators.extractive.selection import select
from gateway.generators.extractive.units import UnitKind
from gateway.ports import GenerationRequest, SentenceEmbedder, TermAnalyser, TokenCounter

WITHOUT_VECTORS: Final = "sentence_embedding"
"""Name in ``degraded`` for an answer whose sentences were scored by their words alone."""


@dataclass(frozen=True, slots=True)
class _Scored:
    chosen: list[ScoredUnit]
    confidence: float
    enough: bool
    features: tuple[tuple[str, float], ...]


class ExtractiveGenerator:
    """Generator without a language model. Its text comes whole, in the draft."""

    name = "extractive"

    def __init__(self, embedder: SentenceEmbedder, analyse: TermAnalyser, tokens: TokenCounter) -> None:
        self._embedder = embedder
        self._analyse = analyse
        self._tokens = tokens
        self._model = ConfidenceModel.shipped("with_vectors")
        self._model_without_vectors = ConfidenceModel.shipped("lexical_only")

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TextPiece | CitationSettled | Draft, None]:
        """One draft: ANSWERED, or ABSTAINED when no sentence answers with enough confidence."""
        candidates = candidates_of(request.blocks)
        if not candidates:
            yield Draft(Outcome.ABSTAINED, ABSTENTION_TEXT, 0.0)
            return
        vectors = await self._vectors(request, candidates)
        # Analysis of a hundred sentences takes milliseconds of CPU, which others on the loop should not wait for.
        found = await asyncio.to_thread(self._score, request.question, candidates, vectors)
        degraded = () if vectors is not None else (WITHOUT_VECTORS,)
        usage = Usage(context_tokens=sum(block.tokens for block in request.blocks))
        if not found.enough:
            yield Draft(
                Outcome.ABSTAINED,
                ABSTENTION_TEXT,
                found.confidence,
                usage=usage,
                degraded=degraded,
                features=found.features,
            )
            return
        text, citations = _compose(found.chosen)
        usage = Usage(usage.context_tokens, 0, self._tokens.count(text))
        yield Draft(Outcome.ANSWERED, text, found.confidence, citations, usage, degraded, found.features)

    async def _vectors(
        self, request: GenerationRequest, candidates: Sequence[CandidateUnit]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        sentences = [candidate.embedded_text for candidate in candidates]
        try:
            return await self._embedder.embed(request.question, sentences, request.caller)
        except (DependencyUnavailable, Overloaded):
            return None

    def _score(
        self,
        question: str,
        candidates: Sequence[CandidateUnit],
        vectors: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    ) -> _Scored:
        scored, asked = score_units(question, candidates, self._analyse, vectors)
        chosen = select(scored, asked, kind_of(question))
        features = features_of(question, chosen, scored, asked, self._analyse)
        model = self._model if vectors is not None else self._model_without_vectors
        confidence = model.confidence(features)
        return _Scored(chosen, confidence, confidence >= model.threshold, tuple(features.items()))


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
