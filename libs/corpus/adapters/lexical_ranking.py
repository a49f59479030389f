"""What the lexical engines share, so that a query ranks the same on all of them.

A row has two analysed fields. All its terms together decide what matches; the terms of its title and headings are
indexed once more, so that a match there counts extra. A query's score is the sum over its distinct terms of BM25 in the
first field plus ``HEADLINE_WEIGHT`` times BM25 in the second.
"""

from __future__ import annotations

from typing import Final

from corpus.domain import LexicalRow

K1: Final = 1.2
B: Final = 0.75

HEADLINE_WEIGHT: Final = 0.3
"""Measured with ``bench/lexical_quality.py``: over five collections .3 was best among 0, .1, .2, .3, .5 and 1, and
one combined field beside it better than separate title and body fields."""

MAX_QUERY_TERMS: Final = 64
"""A query of 8,000 characters has over a thousand terms, most of them common ones that cost the most and decide the
least. The rarest 64 are more than the longest question in the test collections has, so only pasted text is cut."""


def headline_terms(row: LexicalRow) -> tuple[str, ...]:
    """Terms of the second field."""
    return (*row.title_terms, *row.heading_terms)


def all_terms(row: LexicalRow) -> tuple[str, ...]:
    """Terms of the first field."""
    return (*headline_terms(row), *row.body_terms)
