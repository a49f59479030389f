"""Near-duplicates and interpolation, apart from a search."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retriever.stages.rerank import interpolate
from retriever.stages.select import DUPLICATE_JACCARD, select

LONG = "the gateway keeps a queue of readings while the uplink is away and sends them in order once it is back " * 2


def chosen(*texts: str) -> list[int]:
    numbered = {str(place): text for place, text in enumerate(texts)}
    selection = select(
        numbered, len(texts), document_of=lambda each: each, text_of=numbered.__getitem__, max_per_document=9
    )
    return [int(each) for each in selection.chosen]


def test_the_same_text_in_other_case_and_spacing_is_a_duplicate():
    assert chosen("Reset the  pump", "reset the pump\n", "reset the valve") == [0, 2]


def test_a_copy_with_one_word_more_is_a_duplicate_of_a_long_text():
    words = [f"w{'abcdefghij'[n % 10]}{'abcdefghij'[n // 10]}" for n in range(60)]
    assert chosen(" ".join(words), " ".join([*words, "extra"]), " ".join(words[:50])) == [0, 2]


def test_texts_that_differ_in_a_number_or_a_negation_are_both_kept():
    base = " ".join(f"w{'abcdefghij'[n % 10]}{'abcdefghij'[n // 10]}" for n in range(60))
    assert chosen(f"{base} 2.3", f"{base} 3.1", f"{base} not", f"{base} isn't") == [0, 1, 2, 3]


def test_short_texts_that_differ_in_one_word_are_both_kept():
    assert chosen("turn the red valve", "turn the blue valve") == [0, 1]


words = st.lists(st.integers(0, 60).map(lambda n: f"w{chr(97 + n % 26)}{chr(97 + n // 26)}"), min_size=12, max_size=60)


@given(first=words, changes=st.lists(st.integers(0, 59), max_size=4), extra=st.lists(st.just("zz"), max_size=1))
def test_prefix_filtering_finds_exactly_the_pairs_that_comparing_all_would(
    first: list[str], changes: list[int], extra: list[str]
):
    second = [word for place, word in enumerate(first) if place not in changes] + extra
    one, other = set(first), set(second)
    similar = min(len(one), len(other)) >= 12 and len(one & other) >= DUPLICATE_JACCARD * len(one | other)
    same_text = first == second
    assert chosen(" ".join(first), " ".join(second)) == ([0] if similar or same_text else [0, 1])


def test_a_reranker_that_sees_no_difference_changes_nothing():
    assert interpolate([0.9, 0.5, 0.1], [0.3, 0.3, 0.3], 0.7)[1] == [0.9, 0.5, 0.1]
    assert interpolate([], [], 0.7) == ([], [])


@given(scores=st.lists(st.tuples(st.floats(0, 1), st.floats(-50, 50)), min_size=1, max_size=30), weight=st.floats(0, 1))
def test_reranked_scores_stay_within_the_range_of_the_window(scores: list[tuple[float, float]], weight: float):
    before = [each for each, _ in scores]
    _, mixed = interpolate(before, [each for _, each in scores], weight)
    assert all(min(before) - 1e-9 <= each <= max(before) + 1e-9 for each in mixed)
