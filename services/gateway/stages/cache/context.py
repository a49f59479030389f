"""Everything but the question's words that an answer depends on, as a digest; and which questions have none."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable
from datetime import datetime
from typing import Final

from chassis.identity import Caller
from corpus.ids import length_prefixed
from gateway.domain import Question
from gateway.plan import Plan, QuestionClass

_VERSION: Final = "headwater.answer-cache.v1"


def may_be_kept(question: Question, plan: Plan) -> bool:
    """Whether an answer to it may be served again. Not in a conversation, where words mean what was said before; not
    where the question is about now; not where it was not understood as configured."""
    return not (question.history or plan.reply or plan.degraded or plan.question_class is QuestionClass.TIME_SENSITIVE)


def context_of(
    question: Question, plan: Plan, caller: Caller, day: datetime, recipe: str, described: Callable[[object], bytes]
) -> str:
    """Digest of who asks, with what filters and plan, on which day, and of who answers.

    Args:
        day: Generators are told the date, so answers of two days differ.
        recipe: Digest of what shapes answers besides: generator, prompt, settings.
        described: Bytes of ``question.retrieval`` that are equal for equal wishes, its text left out.
    """
    hints = plan.hints()
    options = question.options
    how = json.dumps(
        {
            "context_tokens": question.context_tokens,
            "without": sorted(options.without),
            "apply_filters": options.apply_filters,
            "collections": sorted(options.collections),
            "class": plan.question_class.value,
            "searches": len(plan.searches),
            "expand": plan.expand,
            "hints": [hints.k, hints.filter, hints.freshness_weight],
            "own_hints": [question.hints.k, question.hints.filter, question.hints.freshness_weight],
        },
        sort_keys=True,
        default=str,
    )
    retrieval = b"" if question.retrieval is None else described(question.retrieval)
    who = (caller.tenant_id, caller.subject, str(caller.clearance))
    groups, scopes = sorted(caller.principals), sorted(caller.scopes)
    return digest(
        _VERSION,
        recipe,
        *who,
        str(len(groups)),
        *groups,
        str(len(scopes)),
        *scopes,
        f"{day:%Y-%m-%d}",
        how,
        hashlib.sha256(retrieval).hexdigest(),
    )


def exact_key(context: str, question: Question, plan: Plan) -> str:
    """Where the answer to exactly these words is kept."""
    texts = (unicodedata.normalize("NFC", text).strip() for text in (question.text, plan.text))
    words = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts)
    return f"answer/{digest(context, *words)}"


def similar_key(context: str, model: str, signature: str) -> str:
    """Where questions are kept that may be paraphrases of each other."""
    return f"similar/{digest(context, model, signature)}"


def digest(*parts: str) -> str:
    """SHA-256 over the parts, none of which can be taken for a piece of another, in hexadecimal."""
    return hashlib.sha256(length_prefixed(parts)).hexdigest()
