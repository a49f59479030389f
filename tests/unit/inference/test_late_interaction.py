"""MaxSim over int8 token vectors, and the cache they are kept in."""

from __future__ import annotations

import numpy as np
import pytest

from inference.late_interaction import TokenVectorCache, TokenVectors, max_sim


def unit_rows(rng: np.random.Generator, rows: int) -> np.ndarray:
    vectors = rng.normal(size=(rows, 24)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_scores_are_the_mean_over_query_tokens_of_the_best_cosine() -> None:
    rng = np.random.default_rng(1)
    query = unit_rows(rng, 5)
    passages = [unit_rows(rng, rows) for rows in (1, 9, 4)]

    scores = max_sim(query, [TokenVectors.of(passage) for passage in passages])

    expected = [(query @ passage.T).max(axis=1).mean() for passage in passages]
    np.testing.assert_allclose(scores, expected, atol=0.005)


def test_a_passage_scores_the_same_whatever_stands_beside_it() -> None:
    rng = np.random.default_rng(2)
    query, passages = unit_rows(rng, 3), [TokenVectors.of(unit_rows(rng, rows)) for rows in (4, 2, 7)]
    together = max_sim(query, passages)
    for passage, score in zip(passages, together, strict=True):
        assert max_sim(query, [passage])[0] == pytest.approx(score, abs=1e-6)


def test_passages_and_queries_without_tokens_score_lowest() -> None:
    rng = np.random.default_rng(3)
    query, passage = unit_rows(rng, 3), TokenVectors.of(unit_rows(rng, 2))
    nothing = np.zeros((0, 24), np.float32)
    scores = max_sim(query, [TokenVectors.of(nothing), passage, TokenVectors.of(nothing)])
    assert scores[0] == scores[2] == -1
    assert scores[1] > -1
    assert max_sim(nothing, [passage]).tolist() == [-1]
    assert max_sim(query, []).shape == (0,)


def test_the_least_recently_used_vectors_leave_first_and_the_bound_holds() -> None:
    vectors = TokenVectors.of(unit_rows(np.random.default_rng(4), 10))
    cache = TokenVectorCache(3 * vectors.size_bytes)
    for name in ("a", "b", "c"):
        cache.put(name, vectors)
    assert cache.get("a") is not None
    cache.put("d", vectors)
    assert [name for name in "abcd" if cache.get(name) is not None] == ["a", "c", "d"]
    cache.put("d", vectors)
    assert cache.size_bytes == 3 * vectors.size_bytes


def test_a_cache_without_room_keeps_nothing() -> None:
    cache = TokenVectorCache(0)
    cache.put("a", TokenVectors.of(np.ones((1, 4), np.float32)))
    assert cache.get("a") is None
    assert cache.size_bytes == 0
