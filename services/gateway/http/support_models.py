"""Bodies about the support of sentences, and about sources that disagree."""

from __future__ import annotations

from gateway.http.bodies import Name, Response


class SentenceSpanBody(Response):
    """Code points of the answer's text, [start, end)."""

    start: int
    end: int


class SupportBody(Response):
    """How far one sentence of an answer is carried by what it cites."""

    span: SentenceSpanBody
    citations: list[int]
    verdict: Name
    score: float
    reason: str


class ConflictBody(Response):
    """Two citations whose quotes give different values of the same thing."""

    citation: int
    other_citation: int
    kind: Name
