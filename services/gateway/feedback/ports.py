"""Ports of feedback; the rules of ``gateway.ports`` hold here as well."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from gateway.feedback.domain import AskedQuestion, Feedback, RatedAnswer


class FeedbackStore(Protocol):
    """What readers think of their answers, a part of the answer's own record in the answer log: whatever removes the
    answer removes its feedback, and nothing else has to. An answer has one reader, so it has one feedback.

    It holds text of questions and documents, so nothing of it may reach logs or spans.
    """

    async def give(self, answer_id: str, feedback: Feedback) -> bool:
        """Stores what its reader thinks of an answer, in place of what he thought before. The caller has made sure
        whose answer it is. Durable when it returns. Idempotent. False when the answer is gone: nothing is stored
        then. Raises DependencyUnavailable."""
        ...

    async def rated(self, tenant_id: str, since: datetime | None, limit: int) -> Sequence[RatedAnswer]:
        """Answers of the tenant with feedback, given at ``since`` or later, the newest answer first, at most ``limit``
        (1 to 5,001). What was stored before the call is seen. Raises DependencyUnavailable."""
        ...

    async def unanswered(self, tenant_id: str, since: datetime | None, limit: int) -> Sequence[AskedQuestion]:
        """As ``rated``: questions of the tenant that ended in an abstention, rated or not."""
        ...
