"""What ``ask`` sends along with a question, and how ``--explain`` shows a plan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from headwater import Identity, Turn, messages, plan_messages
from headwater.cli import ask
from headwater.cli.ask import print_plan
from headwater.gateway.v1 import gateway_pb2


def test_a_question_carries_its_conversation_and_options() -> None:
    message = messages.question(
        "And the F4?",
        history=[Turn("What does the Q2 cost?", "280 euros.")],
        without=["route"],
        apply_suggested_filters=True,
        collections=["commercial"],
    )

    assert [(turn.question, turn.answer) for turn in message.history] == [("What does the Q2 cost?", "280 euros.")]
    assert list(message.plan.without) == ["route"]
    assert message.plan.apply_suggested_filters
    assert list(message.plan.collections) == ["commercial"]
    assert not message.HasField("retrieval")


def test_a_plan_is_shown_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    message = gateway_pb2.Plan(
        question_class=gateway_pb2.QUESTION_CLASS_COMPARISON,
        class_confidence=0.8,
        rewritten_question="Q2 or F4, which is cheaper?",
        route=gateway_pb2.Route(collections=["commercial"], confidence=0.9, applied=True),
        k=20,
        searches=["price Q2", "price F4"],
        meanings=[gateway_pb2.Meaning(label="Price list", citation=1)],
    )
    suggested = message.suggested_filters.add(words="only runbooks", certain=True, applied=True)
    suggested.filter.update({"doc_type": {"$eq": "runbook"}})

    print_plan(plan_messages.plan(message))

    shown = capsys.readouterr().out
    for part in ("comparison (0.80)", "Q2 or F4, which is cheaper?", "commercial", "price F4", "runbook", "Price list"):
        assert part in shown


def test_an_answer_is_revealed_only_where_that_is_wished(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[tuple[str, ...], bool]] = []

    class Noting:
        def ask(self, question: str, **options: Any) -> None:
            asked[-1] = (asked[-1][0], options["reveal"])

    @contextmanager
    def connected(target: str | None, data: Path, identity: Identity) -> Iterator[Noting]:
        asked.append((tuple(identity.scopes), False))
        yield Noting()

    monkeypatch.setattr(ask, "connect", connected)
    monkeypatch.setattr(ask, "print_json", str)
    app = typer.Typer()
    ask.register(app)
    for options in ([], ["--reveal"]):
        assert CliRunner().invoke(app, ["Who?", "--json", *options], catch_exceptions=False).exit_code == 0
    (plain, no), (may, yes) = asked
    assert (no, yes) == (False, True)
    assert "reveal" not in plain
    assert may == (*plain, "reveal")
