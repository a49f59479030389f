"""The collections that a question belongs to, by the words that describe them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from chassis.errors import InvalidRequest
from gateway.plan import Plan, Route
from gateway.ports import TermAnalyser, UnderstandingRequest
from gateway.stages.understand.vocabulary import Collection, TenantVocabulary, Vocabulary
from gateway.stages.understand.words import FUNCTION_WORDS, ruled

_BESIDE: Final = 0.7
"""A collection with this share of the best one's score is named beside it."""
_ENOUGH_TERMS: Final = 2
"""One word that two collections share by chance decides nothing: full confidence takes two."""


@dataclass(frozen=True, slots=True)
class _Described:
    """Terms of each collection, and what a term tells: terms of many collections tell little."""

    terms: tuple[frozenset[str], ...]
    weights: dict[str, float]


class RouteToCollections:
    """Sets the route; it is applied from a confidence on, and where the caller names collections.

    Args:
        least_confidence: From which on other collections are not searched. Over 1: never, the route is only shown.
    """

    name = "route"

    def __init__(self, vocabulary: Vocabulary, analyse: TermAnalyser, *, least_confidence: float) -> None:
        self._vocabulary = vocabulary
        self._analyse = analyse
        self._least_confidence = least_confidence
        self._described = lru_cache(maxsize=256)(self._describe)
        self._function_terms = frozenset(term for word in FUNCTION_WORDS for term in analyse(word))

    async def refine(self, plan: Plan, request: UnderstandingRequest) -> Plan:
        """The plan with its route, none where nothing is declared. Raises InvalidRequest UNKNOWN_COLLECTION."""
        declared = self._vocabulary.of(request.caller.tenant_id)
        asked_for = request.question.options.collections
        if asked_for:
            return replace(plan, route=chosen_route(declared.collections, asked_for))
        if not declared.collections:
            return plan
        route = self.route(ruled(plan.text), request.caller.tenant_id)
        return replace(plan, route=route)

    def route(self, text: str, tenant_id: str) -> Route | None:
        """Where the question belongs; None when no word of it describes a collection."""
        declared = self._vocabulary.of(tenant_id)
        described = self._described(tenant_id)
        asked = frozenset(self._analyse(text)) - self._function_terms
        scores = [sum(described.weights[term] for term in asked & terms) for terms in described.terms]
        best = max(scores, default=0.0)
        if best <= 0.0:
            return None
        place = scores.index(best)
        matched = min(1.0, len(asked & described.terms[place]) / _ENOUGH_TERMS)
        confidence = best / sum(scores) * matched
        applied = confidence >= self._least_confidence
        least = best if applied else best * _BESIDE
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        chosen = [declared.collections[i] for i in order if scores[i] >= least]
        return _route(chosen, round(confidence, 4), applied=applied)

    def _describe(self, tenant_id: str) -> _Described:
        declared: TenantVocabulary = self._vocabulary.of(tenant_id)
        terms = tuple(
            frozenset(self._analyse("\n".join((each.name, each.description, *each.doc_types, *each.examples))))
            - self._function_terms
            for each in declared.collections
        )
        frequency = Counter(term for each in terms for term in each)
        weights = {term: math.log(1 + len(terms) / count) for term, count in frequency.items()}
        return _Described(terms, weights)


def chosen_route(declared: Sequence[Collection], names: Sequence[str]) -> Route:
    """The collections of these names, applied. Raises InvalidRequest UNKNOWN_COLLECTION: a name that is not known must
    not search everything."""
    by_name = {each.name: each for each in declared}
    if any(name not in by_name for name in names):
        raise InvalidRequest(
            "The tenant has no such collection.",
            reason="UNKNOWN_COLLECTION",
            metadata={"collections": ",".join(sorted(by_name))},
        )
    return _route([by_name[name] for name in dict.fromkeys(names)], 1.0, applied=True)


def _route(collections: Sequence[Collection], confidence: float, *, applied: bool) -> Route:
    doc_types = tuple(dict.fromkeys(kind for each in collections for kind in each.doc_types))
    return Route(tuple(each.name for each in collections), doc_types, confidence, applied)
