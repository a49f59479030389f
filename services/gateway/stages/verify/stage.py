"""The stage: every sentence of a draft is checked against what it cites, and flagged or dropped where that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chassis.errors import DeadlineExceeded, DependencyUnavailable, Overloaded
from chassis.identity import Caller
from gateway.domain import ABSTENTION_TEXT, Citation, Draft, Outcome, marks_in
from gateway.ports import ContextBlock, SentenceEmbedder, TermAnalyser
from gateway.stages.conflicts.stage import ConflictFinder
from gateway.stages.verify.check import (
    UNCITED_AT_MOST,
    Finding,
    Similarity,
    check,
    is_quoted,
    says_nothing,
)
from gateway.stages.verify.claims import Claim, claims_of
from gateway.stages.verify.source import Source
from gateway.support import AbstentionReason, SentenceSupport, SupportReason, Verdict, realigned

FLAGGED: Final = "unsupported_sentences"
"""Name in ``degraded`` for an answer that holds sentences which their citations do not carry."""
DROPPED: Final = "dropped_sentences"
"""Name in ``degraded`` for an answer that lost such sentences."""
WITHOUT_VECTORS: Final = "support_embedding"
"""Name in ``degraded`` for an answer whose sentences were checked by words alone, for the embedder was down."""

MOST_EMBEDDED: Final = 96
"""Texts of one answer that are embedded at most; beyond, words decide."""
_EMBEDDER_DOWN: Final = (DependencyUnavailable, Overloaded, DeadlineExceeded)


class VerifyMode(StrEnum):
    """What happens to a sentence that its citations do not carry."""

    OFF = "off"
    FLAG = "flag"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class _Read:
    """A draft taken apart."""

    claims: tuple[Claim, ...]
    sources: dict[int, Source]
    texts: tuple[str, ...]


class Verifier:
    """Checks drafts; see ``check`` for how.

    Args:
        mode: What happens to unsupported sentences.
        embedder: For closeness in meaning; None lets words decide. Asked once per answer, and only where a sentence
            does not stand in its source to the letter.
        conflicts: Compares the sources of what is left afterwards; None compares nothing.
    """

    def __init__(
        self,
        mode: VerifyMode,
        analyse: TermAnalyser,
        embedder: SentenceEmbedder | None = None,
        conflicts: ConflictFinder | None = None,
    ) -> None:
        self._conflicts = conflicts
        self._mode = mode
        self._analyse = analyse
        self._embedder = embedder

    @property
    def active(self) -> bool:
        """Whether the stage runs at all."""
        return self._mode is not VerifyMode.OFF or self._conflicts is not None

    async def verify(self, draft: Draft, blocks: Sequence[ContextBlock], caller: Caller) -> Draft:
        """The draft with the support of its sentences, and the conflicts of its sources; drafts that are no answers
        are returned as they are.

        Nothing that ``blocks`` do not hold counts as a source: a quote that does not stand in its block is none.
        Raises nothing of the embedder's.
        """
        if draft.outcome is Outcome.ANSWERED and self._mode is not VerifyMode.OFF:
            draft = await self._verified(draft, blocks, caller)
        return draft if self._conflicts is None else await self._conflicts.find(draft, blocks)

    async def _verified(self, draft: Draft, blocks: Sequence[ContextBlock], caller: Caller) -> Draft:
        # Analysis of a hundred sentences takes milliseconds of CPU, which others on the loop should not wait for.
        read = await asyncio.to_thread(self._read, draft, blocks)
        vectors = await self._vectors(read.texts, caller)
        degraded = draft.degraded
        if read.texts and vectors is None and self._embedder is not None:
            degraded = (*degraded, WITHOUT_VECTORS)
        similarity = _similarity(read.texts, vectors) if vectors is not None else None
        support = await asyncio.to_thread(self._support, read, similarity)
        return self._judged(replace(draft, support=support, degraded=degraded))

    def _read(self, draft: Draft, blocks: Sequence[ContextBlock]) -> _Read:
        claims = claims_of(draft.text)
        sources = {
            citation.number: source
            for citation in draft.citations
            if (source := self._source(citation, blocks)) is not None
        }
        doubtful = [claim for claim in claims if not is_quoted(claim.plain, self._cited(claim, sources))]
        texts: dict[str, None] = {}
        if self._embedder is not None:
            for claim in doubtful:
                texts[claim.plain] = None
            for claim in doubtful:
                for source in self._cited(claim, sources):
                    texts.update((window.text, None) for window in source.windows if len(window.parts) == 1)
        return _Read(claims, sources, tuple(texts)[:MOST_EMBEDDED])

    def _source(self, citation: Citation, blocks: Sequence[ContextBlock]) -> Source | None:
        """What the citation points at; None where its quote does not stand there."""
        for block in blocks:
            outer, inner = block.place.span, citation.place.span
            if block.passage.key != citation.key or not outer.start <= inner.start <= inner.end <= outer.end:
                continue
            if block.text[inner.start - outer.start : inner.end - outer.start] != citation.quote:
                continue
            context = " ".join((block.passage.title, *block.place.heading_path))
            return Source(block.readable, context, self._analyse)
        return None

    def _cited(self, claim: Claim, sources: dict[int, Source]) -> list[Source]:
        """Sources of a claim; of one that names none, all of the answer's."""
        if not claim.marked:
            return list(sources.values())
        return [sources[number] for number in claim.citations if number in sources]

    async def _vectors(self, texts: Sequence[str], caller: Caller) -> NDArray[np.float32] | None:
        if self._embedder is None or not texts:
            return None
        try:
            return await self._embedder.embed_words(texts, caller)
        except _EMBEDDER_DOWN:
            return None

    def _support(self, read: _Read, similarity: Similarity | None) -> tuple[SentenceSupport, ...]:
        found = [self._one(claim, read.sources, similarity) for claim in read.claims]
        for position, claim in reversed(list(enumerate(read.claims))):
            if says_nothing(claim.plain, self._analyse) and len(found) > 1:
                # "Yes." is as true as what follows it, and nothing without it.
                leans_on = found[position + 1] if position + 1 < len(found) else found[position - 1]
                found[position] = replace(leans_on, start=claim.start, end=claim.end)
        return tuple(found)

    def _one(self, claim: Claim, sources: dict[int, Source], similarity: Similarity | None) -> SentenceSupport:
        cited = self._cited(claim, sources)
        if claim.marked and not cited:
            finding = Finding(0.0, SupportReason.UNKNOWN_CITATION)
        else:
            finding = check(claim.plain, cited, self._analyse, similarity)
        if not claim.marked and finding.score > 0:
            reason = finding.reason or SupportReason.UNCITED
            finding = Finding(min(finding.score, UNCITED_AT_MOST), reason)
        elif not claim.marked:
            finding = Finding(0.0, SupportReason.UNCITED)
        numbers = (
            tuple(each for each in claim.citations if each in sources) or claim.citations or tuple(sorted(sources))
        )
        return SentenceSupport(
            claim.start, claim.end, numbers, finding.verdict, round(finding.score, 4), finding.reason
        )

    def _judged(self, draft: Draft) -> Draft:
        failed = [each for each in draft.support if each.verdict is Verdict.UNSUPPORTED]
        if not failed:
            return draft
        if self._mode is VerifyMode.FLAG:
            return replace(draft, degraded=(*draft.degraded, FLAGGED))
        text = _without(draft.text, failed)
        kept = [each for each in draft.support if each.verdict is not Verdict.UNSUPPORTED]
        degraded = (*draft.degraded, DROPPED)
        if not kept:
            return replace(
                draft,
                outcome=Outcome.ABSTAINED,
                text=ABSTENTION_TEXT,
                confidence=0.0,
                citations=(),
                degraded=degraded,
                support=(),
                abstention=AbstentionReason.UNSUPPORTED,
            )
        used = frozenset(marks_in(text))
        # An answer without marks keeps all that it was written from.
        citations = tuple(each for each in draft.citations if each.number in used) if used else draft.citations
        return replace(
            draft, text=text, citations=citations, degraded=degraded, support=realigned(kept, draft.text, text)
        )


def _without(text: str, failed: Sequence[SentenceSupport]) -> str:
    """The text without the sentences; what stood between two of them goes with the former, but no more than one line
    break is lost."""
    pieces, position = [], 0
    for each in failed:
        pieces.append(text[position : each.start])
        position = each.end
        while position < len(text) and text[position] in " \t":
            position += 1
    pieces.append(text[position:])
    return "".join(pieces).strip()


def _similarity(texts: Sequence[str], vectors: NDArray[np.float32]) -> Similarity:
    """Cosine similarity of two of the texts; None for one without a vector, such as a clause."""
    rows = {text: vectors[row] for row, text in enumerate(texts)}

    def similarity(one: str, other: str) -> float | None:
        if one not in rows or other not in rows:
            return None
        return float(rows[one] @ rows[other])

    return similarity
