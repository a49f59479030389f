"""Fusion of the legs' lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.domain import Candidate
from retriever.domain import FusionMethod, Leg
from retriever.stages.fuse import explain_legs, fuse, leg_weights

EVEN = {Leg.VECTOR: 0.5, Leg.LEXICAL: 0.5}


def found(**scores: float) -> list[Candidate]:
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [Candidate(chunk_id, chunk_id, 1, score) for chunk_id, score in ranked]


def test_the_convex_combination_of_two_lists_has_the_scores_worked_out_by_hand():
    legs = {Leg.VECTOR: found(a=0.9, b=0.7, c=0.5), Leg.LEXICAL: found(b=12.0, d=4.0, c=2.0)}
    fused = fuse(legs, FusionMethod.CONVEX, EVEN)
    # vector: a 1, b .5, c 0; lexical: b 1, d .2, c 0
    assert fused.scores == pytest.approx({"a": 0.5, "b": 0.75, "c": 0.0, "d": 0.1})
    assert fused.order == ["b", "a", "d", "c"]


def test_weights_shift_the_order_towards_a_leg():
    legs = {Leg.VECTOR: found(a=1.0, b=0.0), Leg.LEXICAL: found(b=1.0, a=0.0)}
    assert fuse(legs, FusionMethod.CONVEX, leg_weights(legs, 0.6)).order == ["a", "b"]
    assert fuse(legs, FusionMethod.CONVEX, leg_weights(legs, 0.4)).order == ["b", "a"]


def test_reciprocal_ranks_are_those_of_the_paper_up_to_one_factor():
    legs = {Leg.VECTOR: found(a=0.9, b=0.7), Leg.LEXICAL: found(b=12.0, c=4.0)}
    fused = fuse(legs, FusionMethod.RRF, EVEN)
    factor = 61 / 2
    assert fused.scores == pytest.approx({"a": factor / 61, "b": factor * (1 / 62 + 1 / 61), "c": factor / 62})
    assert fused.order == ["b", "a", "c"]


def test_a_list_of_one_counts_its_passage_as_found_in_full():
    legs = {Leg.VECTOR: found(a=0.2), Leg.LEXICAL: found(b=9.0, a=5.0)}
    assert fuse(legs, FusionMethod.CONVEX, EVEN).scores == pytest.approx({"a": 0.5, "b": 0.5})


def test_equal_scores_and_rounding_noise_are_not_stretched_into_a_ranking():
    noisy = found(a=0.5, b=0.5 + 1e-8, c=0.5)
    assert set(fuse({Leg.VECTOR: noisy}, FusionMethod.CONVEX, {Leg.VECTOR: 1.0}).scores.values()) == {1.0}


def test_no_candidates_give_no_candidates():
    assert fuse({Leg.VECTOR: [], Leg.LEXICAL: []}, FusionMethod.CONVEX, EVEN).order == []
    assert fuse({}, FusionMethod.CONVEX, {}).order == []


def test_ties_are_broken_by_chunk_id():
    legs = {Leg.VECTOR: found(b=1.0, a=0.0), Leg.LEXICAL: found(a=1.0, b=0.0)}
    assert fuse(legs, FusionMethod.CONVEX, EVEN).order == ["a", "b"]


def test_the_only_leg_that_answered_has_all_the_weight():
    assert leg_weights({Leg.LEXICAL: []}, 0.7) == {Leg.LEXICAL: 1.0}
    assert leg_weights({Leg.LEXICAL: []}, 1.0) == {Leg.LEXICAL: 1.0}


def test_the_explanation_of_a_passage_adds_up_to_its_fused_score():
    legs = {Leg.VECTOR: found(a=0.9, b=0.7, c=0.5), Leg.LEXICAL: found(b=12.0, d=4.0, c=2.0)}
    for method in FusionMethod:
        fused = fuse(legs, method, EVEN)
        for chunk_id in fused.order:
            parts = explain_legs(chunk_id, legs, fused, EVEN)
            assert sum(part.weight * part.normalised for part in parts) == pytest.approx(fused.scores[chunk_id])
    missing = explain_legs("a", legs, fuse(legs, FusionMethod.CONVEX, EVEN), EVEN)[1]
    assert (missing.leg, missing.rank, missing.raw, missing.normalised) == (Leg.LEXICAL, 0, 0.0, 0.0)


scores = st.dictionaries(st.sampled_from("abcdefghij"), st.integers(0, 1000), max_size=10)


@given(vector=scores, lexical=scores, scale=st.floats(0.01, 100), shift=st.floats(0, 100), weight=st.floats(0, 1))
def test_scaling_and_shifting_the_scores_of_one_leg_changes_nothing(
    vector: dict[str, int], lexical: dict[str, int], scale: float, shift: float, weight: float
):
    def fused(rescaled: dict[str, float]) -> dict[str, float]:
        legs = {Leg.VECTOR: found(**vector), Leg.LEXICAL: found(**rescaled)}
        return fuse(legs, FusionMethod.CONVEX, leg_weights(legs, weight)).scores

    plain = fused({key: float(value) for key, value in lexical.items()})
    moved = fused({key: scale * value + shift for key, value in lexical.items()})
    assert moved == pytest.approx(plain, abs=1e-6)


@given(vector=scores, lexical=scores, weight=st.floats(0, 1), method=st.sampled_from(FusionMethod))
def test_every_passage_is_ranked_once_with_a_score_between_0_and_1(
    vector: dict[str, int], lexical: dict[str, int], weight: float, method: FusionMethod
):
    legs = {Leg.VECTOR: found(**vector), Leg.LEXICAL: found(**lexical)}
    fused = fuse(legs, method, leg_weights(legs, weight))
    assert sorted(fused.order) == sorted({*vector, *lexical})
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in fused.scores.values())
    ordered = [fused.scores[chunk_id] for chunk_id in fused.order]
    assert ordered == sorted(ordered, reverse=True)
