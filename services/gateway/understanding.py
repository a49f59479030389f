"""Composition of the stages that understand a question: a part of the composition root."""

from __future__ import annotations

from gateway.ports import TermAnalyser, Understanding
from gateway.settings import GatewaySettings
from gateway.stages.understand.classify import Classify
from gateway.stages.understand.decompose import Decompose
from gateway.stages.understand.depth import AdaptiveDepth
from gateway.stages.understand.expand import Expand
from gateway.stages.understand.filters import SuggestFilters
from gateway.stages.understand.planner import Planner
from gateway.stages.understand.rewrite import RewriteFollowUps
from gateway.stages.understand.route import RouteToCollections
from gateway.stages.understand.vocabulary import Vocabulary


def build_planner(
    settings: GatewaySettings, analyse: TermAnalyser, language_model: Understanding | None = None, **weights: float
) -> Planner:
    """The stages that are switched on, in their order; a language model refines what rules say of class and form.
    ``weights`` are those of ``Planner``.

    Raises ValueError when the vocabulary can't be read.
    """
    vocabulary = Vocabulary.load(settings.understand_vocabulary)
    rules: tuple[tuple[bool, Understanding], ...] = (
        (settings.understand_rewrite, RewriteFollowUps()),
        (settings.understand_classify, Classify(settings.understand_freshness_weight)),
        (settings.understand_filters, SuggestFilters(vocabulary)),
        (
            settings.understand_route,
            RouteToCollections(vocabulary, analyse, least_confidence=settings.understand_route_confidence),
        ),
        (settings.understand_decompose, Decompose()),
        (settings.understand_depth, AdaptiveDepth()),
        (settings.understand_expand, Expand()),
    )
    stages = [stage for switched_on, stage in rules if switched_on]
    if language_model is not None:
        # It refines what rules made of the question, before anything is built on that.
        stages.insert(sum(stage.name in ("rewrite", "classify") for stage in stages), language_model)
    return Planner(stages, clarifies=settings.understand_clarify, **weights)
