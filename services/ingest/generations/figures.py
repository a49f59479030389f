"""What is noted about a generation beside the active one: how far it is built, and how it compares."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

BUILD = "build"
COMPARISON = "comparison"


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a generation is built.

    Attributes:
        worker: Who builds; another one takes over when ``updated_at`` stands still.
        started_at: Of the build.
        updated_at: When this was noted.
        documents: Live documents when the pass began.
        done: Of those seen in this pass, the complete ones.
        failed: Documents that could not be made, in this pass.
        reason: Why the last one could not.
        complete_at: When a whole pass last found nothing missing, if none since found something.
    """

    worker: str
    started_at: datetime
    updated_at: datetime
    documents: int = 0
    done: int = 0
    failed: int = 0
    reason: str = ""
    complete_at: datetime | None = None


def progress_to_text(progress: BuildProgress) -> str:
    """As it is noted."""
    return json.dumps(asdict(progress), default=datetime.isoformat)


def progress_from_text(text: str) -> BuildProgress | None:
    """Inverse of ``progress_to_text``; None for nothing."""
    if not text:
        return None
    row = json.loads(text)
    for name in ("started_at", "updated_at", "complete_at"):
        row[name] = datetime.fromisoformat(row[name]) if row[name] else None
    return BuildProgress(**row)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same queries on the active generation and on the one beside it. Holds no query, document or title.

    Attributes:
        against: Name of the generation that was active.
        at: When.
        k: How many documents count.
        golden: Queries with known answers.
        live: Queries of users, of which only the answers of both sides were compared.
        overlap: Mean share of the first k documents that both sides have, over all queries.
        hit, hit_beside: Share of the golden queries with an expected document among the first k.
        mrr, mrr_beside: Mean reciprocal rank of the first expected document within k.
        p95_ms, p95_beside_ms: Time of a search, 95th percentile.
    """

    against: str
    at: datetime
    k: int
    golden: int
    live: int
    overlap: float
    hit: float
    hit_beside: float
    mrr: float
    mrr_beside: float
    p95_ms: float
    p95_beside_ms: float


def comparison_to_text(comparison: Comparison) -> str:
    """As it is noted."""
    return json.dumps(asdict(comparison), default=datetime.isoformat)


def comparison_from_text(text: str) -> Comparison | None:
    """Inverse of ``comparison_to_text``; None for nothing."""
    if not text:
        return None
    row = json.loads(text)
    return Comparison(**{**row, "at": datetime.fromisoformat(row["at"])})


@dataclass(frozen=True, slots=True)
class VerdictRules:
    """What a generation must reach to be promoted.

    Attributes:
        least_queries: Golden queries; fewer say nothing.
        least_overlap: A lower one says that something else than quality changed: a wrong model, half an index.
        most_hit_loss, most_mrr_loss: How much less than the active one's they may be.
        most_latency_ratio: How many times as long a search may take, at the 95th percentile.
        latency_slack_ms: Differences below it are noise.
    """

    least_queries: int = 20
    least_overlap: float = 0.4
    most_hit_loss: float = 0.01
    most_mrr_loss: float = 0.02
    most_latency_ratio: float = 1.5
    latency_slack_ms: float = 20.0


def is_sound(comparison: Comparison) -> bool:
    """Whether the figures are figures. What is no number is neither above nor below a limit, so rules would let it
    pass."""
    each = comparison
    shares = (each.overlap, each.hit, each.hit_beside, each.mrr, each.mrr_beside)
    times = (each.p95_ms, each.p95_beside_ms)
    return (
        each.k > 0
        and min(each.golden, each.live) >= 0
        and all(0.0 <= share <= 1.0 for share in shares)
        and all(0.0 <= time < math.inf for time in times)
    )


def objections(comparison: Comparison | None, active: str, rules: VerdictRules) -> Sequence[str]:
    """Why a comparison does not pass, one sentence each; empty when it does."""
    if comparison is None:
        return ["It was not compared yet."]
    if comparison.against != active:
        return ["It was compared with a generation that is not the active one any more."]
    if not is_sound(comparison):
        return ["Its figures are none: a share is between 0 and 1, and a time a number."]
    found = []
    if comparison.golden < rules.least_queries:
        found.append(f"Only {comparison.golden} golden queries were compared; {rules.least_queries} are needed.")
    if comparison.golden and comparison.hit == 0:
        # Two sides that find nothing agree in everything. The callers may not be allowed to read what is expected.
        found.append(f"Hit@{comparison.k} of the active generation is 0: the golden queries say nothing about it.")
    if comparison.overlap < rules.least_overlap:
        found.append(f"Overlap@{comparison.k} is {comparison.overlap:.3f}, below {rules.least_overlap:.3f}.")
    if comparison.hit_beside < comparison.hit - rules.most_hit_loss:
        found.append(f"Hit@{comparison.k} falls from {comparison.hit:.3f} to {comparison.hit_beside:.3f}.")
    if comparison.mrr_beside < comparison.mrr - rules.most_mrr_loss:
        found.append(f"MRR@{comparison.k} falls from {comparison.mrr:.3f} to {comparison.mrr_beside:.3f}.")
    limit = comparison.p95_ms * rules.most_latency_ratio + rules.latency_slack_ms
    if comparison.p95_beside_ms > limit:
        found.append(
            f"The 95th percentile of latency rises from {comparison.p95_ms:.0f} to {comparison.p95_beside_ms:.0f} ms."
        )
    return found
