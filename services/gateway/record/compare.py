"""Two records of one question, stage by stage: what differs, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import Final

from gateway.record import shaping
from gateway.record.domain import AnswerRecord, Candidate, Output

STAGES: Final = (
    "guard",
    "understanding",
    "retrieval",
    "fusion",
    "rerank",
    "context",
    "prompt",
    "generation",
    "verification",
    "output",
)
"""In the order in which they run; ``output`` is the answer as its reader got it."""

TOLERANCE: Final = 0.002
"""By which scores may differ and be the same: ages grow, and engines add up in any order."""
MOST_NAMED: Final = 10
"""Reasons of one kind that are told at most; the rest is counted."""
_Score = Callable[[Candidate], float]
_CACHED: Final = "was served from the cache of answers"


class StageVerdict(StrEnum):
    """How a stage fared."""

    SAME = "same"
    DIFFERS = "differs"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What became of one stage.

    Attributes:
        reasons: Why it differs or was skipped, or what changed without an effect; names no document that its reader
            may not read, and holds no text of any.
    """

    stage: str
    verdict: StageVerdict
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A record and what was made now.

    Attributes:
        readable: Chunks of ``before`` that the caller may read now.
        deterministic: Whether the generator says the same to the same.
    """

    before: AnswerRecord
    after: AnswerRecord
    readable: Collection[str]
    deterministic: bool
    settings: Mapping[str, list[str]] = field(default_factory=dict)


def compared(
    before: AnswerRecord, after: AnswerRecord, readable: Collection[str], *, deterministic: bool
) -> list[StageResult]:
    """Every stage, in order. Pure."""
    settings = shaping.changed(dict(before.settings), dict(after.settings))
    both = Comparison(before, after, readable, deterministic, settings)
    steps = (
        _guard,
        _understanding,
        _retrieval,
        _fusion,
        _rerank,
        _context,
        _prompt,
        _generation,
        _verification,
        _output,
    )
    return [step(both) for step in steps]


def document_changes(before: Sequence[Candidate], after: Sequence[Candidate]) -> list[str]:
    """What became of candidates' documents; those that are none any more are not named, for they may be hidden."""
    then, now = _versions(before), _versions(after)
    left, came = len(then.keys() - now.keys()), len(now.keys() - then.keys())
    exchanged = [f"{_count(left, 'document', 'documents')} fewer, {came} that were none then"] if left or came else []
    return [*_moved(then, now), *exchanged]


def candidate_changes(before: Sequence[Candidate], after: Sequence[Candidate], readable: Collection[str]) -> list[str]:
    """What became of candidates, by document. Those that may not be read any more are counted, not named."""
    then, now = _versions(before), _versions(after)
    kept = {each.chunk_id for each in after}
    gone = [each for each in before if each.chunk_id not in kept]
    # A document that is found in another version is named with it, and not as gone.
    missing = [each for each in gone if then[each.document_id] == now.get(each.document_id, then[each.document_id])]
    hidden = [each for each in missing if each.chunk_id not in readable]
    unlisted = dict.fromkeys(each.document_id for each in missing if each.chunk_id in readable)
    left = [f"document {name}: passages no longer among the candidates" for name in unlisted]
    unreadable = _count(len(hidden), "candidate is", "candidates are")
    lost = [f"{unreadable} no longer readable: deleted, replaced, expired or not yours to read"] if hidden else []
    known = {each.chunk_id for each in before}
    new = dict.fromkeys(each.document_id for each in after if each.chunk_id not in known)
    came = [f"document {name}: passages that were no candidates then" for name in new if name not in then]
    grown = [f"document {name}: other passages" for name in new if name in then and then[name] == now[name]]
    return [*_few(_moved(then, now)), *lost, *_few(left), *_few(grown), *_few(came)]


def _guard(both: Comparison) -> StageResult:
    before, after = both.before.refusal, both.after.refusal
    reasons = [] if before == after else [f"{_refusal(before)} → {_refusal(after)}"]
    return _result(both, "guard", reasons)


def _understanding(both: Comparison) -> StageResult:
    if not both.before.plan and not both.after.plan:
        return StageResult("understanding", StageVerdict.SKIPPED, ("no stage of understanding ran",))
    if both.before.turns:
        why = "the conversation before the question is not kept"
        return StageResult("understanding", StageVerdict.SKIPPED, (why,))
    then, now = dict(both.before.plan), dict(both.after.plan)
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return _result(both, "understanding", [f"plan: {', '.join(names)} differ"] if names else [])


def _retrieval(both: Comparison) -> StageResult:
    before, after = both.before, both.after
    if (skipped := _unsearched(both, "retrieval")) is not None:
        return skipped
    reasons = []
    if before.degraded != after.degraded:
        then, now = (", ".join(each.degraded) or "nothing" for each in (before, after))
        reasons.append(f"answered without {then} → {now}")
    if before.generation != after.generation:
        reasons.append(f"generation {before.generation or 'none'} → {after.generation or 'none'}")
        # Chunks of two generations have no ids in common.
        reasons += document_changes(before.candidates, after.candidates)
    else:
        reasons += candidate_changes(before.candidates, after.candidates, both.readable)
    if not reasons:
        reasons += _few(_leg_changes(both))
    if not reasons and not _explained(both):
        reasons += _few(_score_changes(both, "score", lambda each: each.score))
    return _result(both, "retrieval", reasons)


def _fusion(both: Comparison) -> StageResult:
    skipped = _unsearched(both, "fusion") or _unexplained(both, "fusion")
    if skipped is not None:
        return skipped
    reasons = _few(_weight_changes(both))
    for name in ("fused", "freshness", "structure"):
        reasons += _few(_score_changes(both, name, attrgetter(f"scores.{name}")))
    return _result(both, "fusion", reasons)


def _rerank(both: Comparison) -> StageResult:
    skipped = _unsearched(both, "rerank") or _unexplained(both, "rerank")
    if skipped is not None:
        return skipped
    reasons = _few(_score_changes(both, "reranker's score", _rerank_score))
    orders = [[each.chunk_id for each in record.candidates] for record in (both.before, both.after)]
    if orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]):
        reasons.append("the same passages in another order")
    if not reasons and all(_rerank_score(each) < 0 for each in both.before.candidates):
        return StageResult("rerank", StageVerdict.SKIPPED, ("nothing was reranked",))
    return _result(both, "rerank", reasons)


def _context(both: Comparison) -> StageResult:
    if (skipped := _unsearched(both, "context")) is not None:
        return skipped
    then, now = both.before.blocks, both.after.blocks
    reasons = []
    if len(then) != len(now):
        reasons.append(f"{_count(len(then), 'block', 'blocks')} → {len(now)}")
    elif then != now:
        changed = sum(one != other for one, other in zip(then, now, strict=True))
        reasons.append(f"{changed} of {_count(len(then), 'block', 'blocks')} hold other text")
    return _result(both, "context", reasons)


def _prompt(both: Comparison) -> StageResult:
    if both.before.cached:
        return StageResult("prompt", StageVerdict.SKIPPED, (f"the answer {_CACHED}",))
    if not both.before.prompt and not both.after.prompt:
        return StageResult("prompt", StageVerdict.SKIPPED, ("no generator was asked",))
    same = both.before.prompt == both.after.prompt
    return _result(both, "prompt", [] if same else ["the generator is given something else"])


def _generation(both: Comparison) -> StageResult:
    before, after = both.before, both.after
    if before.cached:
        return StageResult("generation", StageVerdict.SKIPPED, (f"the answer {_CACHED}",))
    if before.draft is None and after.draft is None:
        return StageResult("generation", StageVerdict.SKIPPED, ("no generator was asked",))
    reasons = _output_changes(before.draft, after.draft)
    if before.generator != after.generator:
        reasons.insert(0, f"generator {before.generator} → {after.generator}")
    notes = [] if both.deterministic else ["a language model may say the same otherwise each time"]
    return _result(both, "generation", reasons, notes)


def _verification(both: Comparison) -> StageResult:
    before, after = both.before.output.support, both.after.output.support
    if not before and not after:
        return StageResult("verification", StageVerdict.SKIPPED, ("no sentence was verified",))
    reasons = []
    verdicts = [[each.verdict for each in support] for support in (before, after)]
    if verdicts[0] != verdicts[1]:
        reasons.append(f"sentences: {_verdicts(verdicts[0])} → {_verdicts(verdicts[1])}")
    elif any(_differ(one.score, other.score) for one, other in zip(before, after, strict=True)):
        reasons.append("scores of sentences differ")
    return _result(both, "verification", reasons)


def _output(both: Comparison) -> StageResult:
    notes = [] if both.before.recipe == both.after.recipe else ["code, prompts or settings have changed since"]
    return _result(both, "output", _output_changes(both.before.output, both.after.output), notes)


def _output_changes(before: Output | None, after: Output | None) -> list[str]:
    if before is None or after is None:
        return [] if before is after else ["an answer was written " + ("now only" if before is None else "then only")]
    reasons = []
    if before.outcome != after.outcome:
        reasons.append(f"outcome {before.outcome} → {after.outcome}")
    if before.text != after.text:
        reasons.append("other text")
    if before.citations != after.citations:
        reasons.append(
            f"{_count(len(before.citations), 'citation', 'citations')} → {len(after.citations)} of other passages"
        )
    if not reasons and _differ(before.confidence, after.confidence):
        reasons.append(f"confidence {before.confidence:.3f} → {after.confidence:.3f}")
    return reasons


def _result(both: Comparison, stage: str, reasons: Sequence[str], notes: Sequence[str] = ()) -> StageResult:
    """Settings come with the stage that they shape, whether or not it then differs."""
    verdict = StageVerdict.DIFFERS if reasons else StageVerdict.SAME
    return StageResult(stage, verdict, (*both.settings.get(stage, ()), *reasons, *notes))


def _unsearched(both: Comparison, stage: str) -> StageResult | None:
    if both.before.cached:
        return StageResult(stage, StageVerdict.SKIPPED, (f"the answer {_CACHED}",))
    if both.before.candidates or both.after.candidates:
        return None
    return StageResult(stage, StageVerdict.SKIPPED, ("nothing was found or searched for, then and now",))


def _explained(both: Comparison) -> bool:
    return all(each.scores is not None for record in (both.before, both.after) for each in record.candidates)


def _unexplained(both: Comparison, stage: str) -> StageResult | None:
    if _explained(both):
        return None
    return StageResult(stage, StageVerdict.SKIPPED, ("the parts of the scores were not recorded",))


def _leg_changes(both: Comparison) -> list[str]:
    """What single legs say otherwise of the same passages."""
    if not _explained(both):
        return []
    reasons: dict[str, None] = {}
    for before, after in _pairs(both):
        then = {leg.leg: leg for leg in before.scores.legs} if before.scores is not None else {}
        now = {leg.leg: leg for leg in after.scores.legs} if after.scores is not None else {}
        for name in {**then, **now}:
            raw = [legs[name].raw if name in legs else 0.0 for legs in (then, now)]
            if _differ(*raw):
                reasons[f"document {after.document_id}: {name} score {raw[0]:.3f} → {raw[1]:.3f}"] = None
    return list(reasons)


def _weight_changes(both: Comparison) -> list[str]:
    reasons: dict[str, None] = {}
    for before, after in _pairs(both):
        if before.scores is None or after.scores is None:
            continue
        then = {leg.leg: leg.weight for leg in before.scores.legs}
        for leg in after.scores.legs:
            if leg.leg in then and _differ(then[leg.leg], leg.weight):
                reasons[f"weight of the {leg.leg} leg {then[leg.leg]:.3f} → {leg.weight:.3f}"] = None
    return list(reasons)


def _score_changes(both: Comparison, name: str, of: _Score) -> list[str]:
    pairs = [(after.document_id, of(before), of(after)) for before, after in _pairs(both)]
    return [f"document {key}: {name} {one:.3f} → {other:.3f}" for key, one, other in pairs if _differ(one, other)]


def _rerank_score(candidate: Candidate) -> float:
    return candidate.scores.rerank if candidate.scores is not None and candidate.scores.rerank is not None else -1.0


def _pairs(both: Comparison) -> list[tuple[Candidate, Candidate]]:
    now = {each.chunk_id: each for each in both.after.candidates}
    return [(each, now[each.chunk_id]) for each in both.before.candidates if each.chunk_id in now]


def _moved(then: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    return [
        f"document {name}: version {then[name]} → {now[name]}"
        for name in then
        if now.get(name, then[name]) != then[name]
    ]


def _versions(candidates: Sequence[Candidate]) -> dict[str, int]:
    return {each.document_id: each.document_version for each in candidates}


def _differ(one: float, other: float) -> bool:
    return abs(one - other) > TOLERANCE * max(1.0, abs(one), abs(other))


def _few(reasons: Sequence[str]) -> list[str]:
    more = len(reasons) - MOST_NAMED
    return [*reasons[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])]


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _refusal(reason: str) -> str:
    return f"refused ({reason})" if reason else "not refused"


def _verdicts(verdicts: Sequence[str]) -> str:
    return ", ".join(f"{verdicts.count(name)} {name}" for name in dict.fromkeys(verdicts)) or "none"
