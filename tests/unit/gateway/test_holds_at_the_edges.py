"""Holds over HTTP: who gets through, and what is passed on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.gateway.edges import Edges, edges
from tests.unit.gateway.test_feedback_edges import READER, REVIEWER


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Edges]:
    async with edges(tmp_path) as running:
        yield running


async def test_a_reviewer_holds_looks_and_releases(gateway: Edges) -> None:
    held = await gateway.http.post("/v1/holds", json={"document_id": "a/b.md", "reason": "wrong"}, headers=REVIEWER)
    assert held.status_code == 200
    assert (held.json()["document_id"], held.json()["reason"], held.json()["held_by"]) == ("a/b.md", "wrong", "rita")
    listed = await gateway.http.get("/v1/holds", headers=REVIEWER)
    assert [each["document_id"] for each in listed.json()["holds"]] == ["a/b.md"]
    released = await gateway.http.delete("/v1/holds/a/b.md", params={"document_version": 3}, headers=REVIEWER)
    assert released.status_code == 204
    assert gateway.peers.released == [("a/b.md", 3)]
    assert {caller.subject for caller in gateway.peers.callers} == {"rita"}


async def test_a_reader_is_refused_before_anything_is_passed_on(gateway: Edges) -> None:
    for response in (
        await gateway.http.post("/v1/holds", json={"document_id": "a"}, headers=READER),
        await gateway.http.get("/v1/holds", headers=READER),
        await gateway.http.delete("/v1/holds/a", headers=READER),
    ):
        assert (response.status_code, response.json()["reason"]) == (403, "MISSING_SCOPE")
    assert gateway.peers.callers == []
