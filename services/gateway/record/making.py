"""Makes the record of an answer, and leaves out of its entry in the log what the text policy forbids."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from chassis.identity import Caller
from corpus.ids import length_prefixed
from corpus.privacy.redact import redact
from gateway.course import Course
from gateway.domain import Answer, Citation, Draft, LoggedAnswer, Passage, Question
from gateway.plan import Plan
from gateway.ports import ContextBlock
from gateway.record.domain import AnswerRecord, Block, Candidate, Judged, Output, TextPolicy
from gateway.support import SentenceSupport

_DIGITS: Final = 32


def no_wishes(retrieval: object) -> bytes:
    """Of questions that never say how to search."""
    return b""


@dataclass(frozen=True, slots=True)
class Recorder:
    """What of answers is recorded.

    Attributes:
        keeps: Whether there are records at all.
        text: What the log keeps besides.
        masks: Whether wishes that hold personal data are left out.
        recipe, settings: Of the gateway as it runs; see ``AnswerRecord``.
        described: Bytes of a question's ``retrieval``, its text left out.
    """

    keeps: bool = True
    text: TextPolicy = TextPolicy.FULL
    masks: bool = True
    recipe: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    described: Callable[[object], bytes] = no_wishes

    def entry(self, course: Course, answer: Answer, logged: Answer, question: str, now: datetime) -> LoggedAnswer:
        """What the log keeps.

        Args:
            answer: As its reader gets it, of which the record is made.
            logged: The same as it may be kept.
            question: As it may be kept.
        """
        caller = course.caller
        record = self.record(course, answer) if self.keeps else None
        if self.text is TextPolicy.HASHES:
            question, logged = "", without_text(logged)
        return LoggedAnswer(caller.tenant_id, caller.subject, question, logged, now, record)

    def record(self, course: Course, answer: Answer) -> AnswerRecord:
        """The record of an answer that was just made. Pure; some 100 µs."""
        salt, plan = answer.answer_id, course.made or course.plan
        wishes = self._wishes(course.question)
        drafted = course.written or course.draft
        keeps_wishes = self.text is TextPolicy.FULL and not (self.masks and _is_personal(wishes))
        return AnswerRecord(
            asked_at=course.asked_at,
            text=self.text,
            recipe=self.recipe,
            settings=tuple(sorted(self.settings.items())),
            question=digest(salt, course.question.text),
            turns=len(course.question.history),
            context_tokens=course.question.context_tokens,
            options=course.question.options,
            wishes=base64.b64encode(wishes).decode() if keeps_wishes else "",
            wished=digest(salt, wishes.hex()) if wishes else "",
            access=access_digest(salt, course.caller),
            refusal=answer.refusal.reason if answer.refusal is not None else "",
            plan=plan_digests(salt, plan) if course.understood else (),
            cached=course.cached,
            generation=answer.generation,
            degraded=course.retrieved.degraded,
            candidates=tuple(_candidate(salt, each) for each in course.retrieved.passages),
            blocks=tuple(_block(salt, each) for each in course.blocks),
            prompt=_prompt(salt, course),
            generator=answer.generator,
            draft=_output(salt, drafted) if course.blocks and drafted is not None else None,
            output=_output(salt, answer),
        )

    def _wishes(self, question: Question) -> bytes:
        return b"" if question.retrieval is None else self.described(question.retrieval)


def digest(salt: str, *parts: str) -> str:
    """32 hexadecimal digits of SHA-256. Questions may hold half a character, as JSON may."""
    words = (hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest() for part in parts)
    return hashlib.sha256(length_prefixed((salt, *words))).hexdigest()[:_DIGITS]


def access_digest(salt: str, caller: Caller) -> str:
    """Of whose access an answer was given with."""
    return digest(salt, caller.tenant_id, caller.subject, str(caller.clearance), *sorted(caller.principals))


def plan_digests(salt: str, plan: Plan) -> tuple[tuple[str, str], ...]:
    """Each part of a plan that decides how it is searched and answered, by name."""
    route = plan.route
    parts: dict[str, str] = {
        "text": plan.text,
        "class": plan.question_class.value,
        "reply": plan.reply,
        "k": str(plan.k),
        "searches": repr(plan.searches),
        "filters": repr([(each.conditions, each.applied) for each in plan.filters]),
        "route": repr(route and (route.collections, route.applied)),
        "expand": str(plan.expand),
        "freshness": f"{plan.freshness_weight:.6f}",
    }
    return tuple((name, digest(salt, name, value)) for name, value in parts.items())


def without_text(answer: Answer) -> Answer:
    """The answer as ids and numbers: no words of the question, of a document, or of its own."""
    plan = answer.plan
    if plan is not None:
        plan = replace(plan, asked="", text="", reply="", searches=(), filters=(), meanings=())
    return replace(answer, text="", citations=tuple(map(_bare, answer.citations)), plan=plan)


def _bare(citation: Citation) -> Citation:
    return replace(citation.withheld(), ingest_trace_id=citation.ingest_trace_id, readable=citation.readable)


def _is_personal(wishes: bytes) -> bool:
    """Whether there is personal data in the words among the bytes."""
    return bool(wishes) and bool(redact(wishes.decode(errors="ignore")).entities)


def _candidate(salt: str, passage: Passage) -> Candidate:
    return Candidate(
        passage.document_id,
        passage.chunks_version,
        passage.chunk_id,
        passage.document_version,
        passage.score,
        passage.similarity,
        digest(salt, passage.text),
        passage.ingest_trace_id,
        passage.scores,
    )


def _block(salt: str, block: ContextBlock) -> Block:
    span, passage = block.place.span, block.passage
    text = digest(salt, block.readable)
    return Block(block.number, passage.document_id, passage.chunk_id, span.start, span.end, block.tokens, text)


def _prompt(salt: str, course: Course) -> str:
    """Of question, day and blocks with what is told of them; the words around them are part of the recipe."""
    if not course.blocks:
        return ""
    told = [
        part
        for block in course.blocks
        for part in (
            str(block.number),
            block.passage.title,
            " > ".join(block.place.heading_path),
            f"{block.passage.updated_at:%Y-%m-%d}" if block.passage.updated_at is not None else "",
            str(block.passage.document_version),
            block.readable,
        )
    ]
    return digest(salt, course.plan.text, f"{course.asked_at:%Y-%m-%d}", *told)


def _output(salt: str, made: Answer | Draft) -> Output:
    cited = tuple(f"{each.key.document_id}/{each.key.chunk_id}" for each in made.citations)
    support = tuple(map(_judged, made.support))
    return Output(made.outcome.value, digest(salt, made.text), cited, made.confidence, support)


def _judged(support: SentenceSupport) -> Judged:
    return Judged(support.verdict.value, support.score)
