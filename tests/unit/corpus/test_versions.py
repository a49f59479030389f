"""The order of versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from corpus.filters.versions import version_key

_NUMBERS = st.sampled_from(["0", "1", "2", "9", "10", "11", "100", "007"])
_PEP440 = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "", "1!", "v"]),
        st.lists(_NUMBERS, min_size=1, max_size=4).map(".".join),
        st.one_of(st.just(""), st.builds("{}{}".format, st.sampled_from(["a", "b", "rc", "-alpha.", "c"]), _NUMBERS)),
        st.one_of(st.just(""), st.builds(".post{}".format, _NUMBERS)),
        st.one_of(st.just(""), st.builds(".dev{}".format, _NUMBERS)),
        st.one_of(st.just(""), st.builds("+{}.{}".format, st.sampled_from(["a", "ab", "1", "10"]), _NUMBERS)),
    ),
).filter(lambda text: not text.startswith("v1!"))


@given(_PEP440, _PEP440)
def test_versions_that_pep_440_reads_have_its_order(first: str, second: str) -> None:
    assert (version_key(first) < version_key(second)) == (Version(first) < Version(second))
    assert (version_key(first) == version_key(second)) == (Version(first) == Version(second))


@pytest.mark.parametrize(
    "ordered",
    [
        ["2.9", "2.10"],
        ["2.0.dev1", "2.0a1", "2.0rc1", "2.0", "2.0.post1", "2.0.1"],
        ["1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-rc.1", "1.0.0"],
        ["1.1.1", "1.1.1w", "1.1.2"],
        ["3.1 SP2", "3.1 SP10"],
        ["99.9", "RFC-791", "RFC-7519"],
        ["rev-2", "rev-10", "rev-b"],
    ],
)
def test_versions_in_the_wild_have_the_expected_order(ordered: list[str]) -> None:
    shuffled = ordered[::-1]
    assert sorted(shuffled, key=version_key) == ordered


def test_different_strings_outside_of_pep_440_are_never_equal() -> None:
    assert version_key("rev-b") != version_key("rev b") != version_key("REV-B")


@given(st.text(max_size=128))
def test_every_string_has_a_key(text: str) -> None:
    assert version_key(text) == version_key(text)
