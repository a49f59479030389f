"""What a query may look like, and what it means for this caller."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chassis.errors import InvalidRequest
from chassis.identity import Caller, Scope
from corpus.access import access_tokens
from corpus.domain import Tenant
from corpus.filters import parse_filter
from corpus.ports import Prefilter
from retriever.domain import ALL_LEGS, MAX_BATCH, MAX_K, MAX_QUERY_CHARACTERS, SEARCHING_LEGS, Leg, Query
from retriever.stages.head_check import Reader


@dataclass(frozen=True, slots=True)
class Understood:
    """A valid query with everything that the stores are asked by.

    Attributes:
        query: As it came.
        legs: The legs to ask.
        prefilter: What the legs filter by.
        rebuilding: Stores that lack rows until a rebuild is done: legs, and "heads", without which documents are left
            out.
    """

    query: Query
    legs: frozenset[Leg]
    prefilter: Prefilter
    rebuilding: frozenset[str] = frozenset()

    @property
    def incomplete(self) -> frozenset[str]:
        """Those of the stores being rebuilt that this query needs."""
        # Links are in the lexical index.
        stores = {Leg.LEXICAL.value if leg is Leg.GRAPH else leg.value for leg in self.legs}
        return self.rebuilding & {*stores, "heads"}


def check_batch(size: int) -> None:
    """Raises InvalidRequest EMPTY_BATCH or BATCH_TOO_LARGE."""
    if size == 0:
        raise InvalidRequest("The batch holds no query.", reason="EMPTY_BATCH")
    if size > MAX_BATCH:
        raise InvalidRequest(
            f"A batch holds at most {MAX_BATCH} queries; send several batches.", reason="BATCH_TOO_LARGE"
        )


def check(query: Query) -> None:
    """Refuses what can be refused without knowing the tenant.

    Raises:
        InvalidRequest: EMPTY_QUERY, QUERY_TOO_LONG, INVALID_K, UNKNOWN_LEG, INVALID_MIN_SCORE, INVALID_VECTOR_WEIGHT,
            INVALID_FRESHNESS_WEIGHT.
    """
    if len(query.text) > MAX_QUERY_CHARACTERS:
        raise InvalidRequest(
            f"A query has at most {MAX_QUERY_CHARACTERS} characters; shorten it.",
            reason="QUERY_TOO_LONG",
            metadata={"characters": str(len(query.text)), "limit": str(MAX_QUERY_CHARACTERS)},
        )
    if not query.text.strip():
        raise InvalidRequest("The query has no text.", reason="EMPTY_QUERY")
    if not 1 <= query.k <= MAX_K:
        raise InvalidRequest(f"k must be 1 to {MAX_K}.", reason="INVALID_K")
    if not ALL_LEGS.issuperset(query.legs):
        raise InvalidRequest(f"There is no such leg; known are {', '.join(sorted(ALL_LEGS))}.", reason="UNKNOWN_LEG")
    if not 0.0 <= query.min_score <= 1.0 or math.isnan(query.min_score):
        raise InvalidRequest("min_score must be 0 to 1.", reason="INVALID_MIN_SCORE")
    weight = query.vector_weight
    if weight is not None and not 0.0 <= weight <= 1.0:
        raise InvalidRequest("vector_weight must be 0 to 1.", reason="INVALID_VECTOR_WEIGHT")
    if not 0.0 <= query.freshness_weight <= 1.0:
        raise InvalidRequest("freshness_weight must be 0 to 1.", reason="INVALID_FRESHNESS_WEIGHT")


def reader_of(caller: Caller, tenant: Tenant) -> Reader:
    """The caller, who is of this tenant, as heads see him."""
    return Reader(tenant.tenant_id, access_tokens(tenant.tenant_id, caller.principals), caller.clearance)


def understand(
    query: Query, tenant: Tenant, reader: Reader, default_legs: frozenset[Leg] = SEARCHING_LEGS
) -> Understood:
    """Resolves a checked query for this tenant and reader. Raises InvalidRequest UNDECLARED_FIELD or INVALID_FILTER."""
    prefilter = Prefilter(
        reader.tenant_id, reader.access_tokens, reader.clearance, parse_filter(query.filter, tenant.fields)
    )
    return Understood(query, frozenset(map(Leg, query.legs)) or default_legs, prefilter, tenant.rebuilding)


def asked_generation(caller: Caller, queries: Sequence[Query]) -> str:
    """Name of the generation to be searched, "" for the active one. One that may lack documents is for those who
    compare it."""
    names_asked = {query.generation for query in queries}
    if len(names_asked) > 1:
        raise InvalidRequest("The queries of one batch search one generation.", reason="SEVERAL_GENERATIONS")
    asked = names_asked.pop() if names_asked else ""
    if asked:
        caller.require(Scope.ADMIN)
    return asked
