"""What both edges call."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.costs.servicer import CostServicer
from gateway.dead_letters.servicer import ForwardedDeadLetters
from gateway.drift.servicer import DriftServicer
from gateway.feedback.service import AnswerFeedback
from gateway.forwarding import ForwardedDocuments, ForwardedSearch
from gateway.generations.servicer import ForwardedGenerations
from gateway.privacy.answers import RevealedAnswers
from gateway.privacy.servicer import ForwardedPrivacy
from gateway.record.replay import MakeAgain
from gateway.replay import ReplayAnswers
from gateway.reviews.servicer import ForwardedReviews
from gateway.stores.servicer import ForwardedStores, ForwardedVersions


@dataclass(frozen=True, slots=True)
class UseCases:
    """The gateway without its edges."""

    questions: RevealedAnswers
    answers: ReplayAnswers
    replays: MakeAgain
    drift: DriftServicer
    feedback: AnswerFeedback
    search: ForwardedSearch
    documents: ForwardedDocuments
    dead_letters: ForwardedDeadLetters
    stores: ForwardedStores
    versions: ForwardedVersions
    reviews: ForwardedReviews
    generations: ForwardedGenerations
    privacy: ForwardedPrivacy
    costs: CostServicer
    """gRPC only."""
