"""Tests that share a costly fixture run in one worker."""

import pytest


@pytest.mark.xdist_group("groups")
def test_a_group_is_known_to_those_who_share_the_tests_out(request: pytest.FixtureRequest) -> None:
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("no tests are shared out by group")
    assert request.node.nodeid.endswith("@groups")
