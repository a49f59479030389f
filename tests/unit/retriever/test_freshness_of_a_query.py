"""A query may ask that age counts for more than configured, never for less."""

from __future__ import annotations

import pytest

from chassis.errors import InvalidRequest
from retriever.domain import Query
from retriever.stages.adjust import AdjustPolicy
from retriever.stages.ranking import RankingPolicy
from retriever.stages.understand import check

CONFIGURED = RankingPolicy(adjust=AdjustPolicy(freshness_weight=0.2, default_half_life_days=90.0))


def test_the_larger_share_counts() -> None:
    assert CONFIGURED.for_query(Query("q", freshness_weight=0.5)).adjust == AdjustPolicy(0.5, {}, 90.0)
    assert CONFIGURED.for_query(Query("q", freshness_weight=0.1)) is CONFIGURED
    assert CONFIGURED.for_query(Query("q")) is CONFIGURED


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check(Query("q", freshness_weight=share))

    assert refused.value.reason == "INVALID_FRESHNESS_WEIGHT"
