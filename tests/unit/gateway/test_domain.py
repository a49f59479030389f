"""What is left of a text when sources are gone."""

from __future__ import annotations

import pytest

from gateway.domain import marks_in, without_sentences_citing


@pytest.mark.parametrize(
    ("text", "gone", "left"),
    [
        ("One. [1] Two. [2] Three. [1][3]", [1], "Two. [2]"),
        ("One [1]. Two [2].", [2], "One [1]."),
        ("One. [1]\nTwo. [2]", [1], "Two. [2]"),
        ("Nobody says where this is from. Two. [2] One. [1]", [1], "Two. [2]"),
        ("All of it. [1]", [1], ""),
        ("Both. [1][2]", [2], ""),
    ],
)
def test_sentences_that_rest_on_what_is_gone_are_cut(text: str, gone: list[int], left: str) -> None:
    assert without_sentences_citing(text, gone) == left


def test_marks_are_found_in_order() -> None:
    assert marks_in("a [2] b [1][12], not [x] or [1234]") == (2, 1, 12)
