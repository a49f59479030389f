"""How costs are shown."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from headwater.cli.cost import cost_line, day_of, print_rows
from headwater.cli.output import plain
from headwater.cli.problems import CommandError
from headwater.costs import CostReport, CostRow, QueryCost, StageCost

ROWS = (
    CostRow("acme", "ann", "search", "searches", "EUR", 1200, 0, Decimal("0.024"), 1100),
    CostRow("acme", "ann", "llm_input", "tokens", "EUR", 3_000_000, 1_000_000, Decimal("0.3"), 900),
    CostRow("acme", "ann", "llm_output", "tokens", "EUR", 7, 7, Decimal(0), 1),
    CostRow("acme", "ann", "cache_savings", "tokens", "EUR", 5, 0, Decimal(9), 1),
)


def test_a_report_shows_rows_and_a_total_without_savings(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, "user")

    shown = " ".join(capsys.readouterr().out.split())
    for part in ("tenant user stage", "acme ann search 1100 1,200 searches 0.024 EUR", "> 0.3 EUR", "unknown"):
        assert part in shown
    assert "total 0.324 EUR" in shown
    assert "Some prices are not known" in shown


def test_no_costs_are_said_to_be_none(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows((), "stage")
    assert "No costs were recorded." in capsys.readouterr().out


def test_an_answers_cost_is_one_line() -> None:
    stages = (
        StageCost("search", "searches", 1, Decimal("0.00002")),
        StageCost("llm_input", "tokens", 900, None),
        StageCost("rerank", "searches", 0, Decimal(0)),
    )
    line = cost_line(QueryCost("EUR", stages, Decimal("0.00002"), complete=False))
    assert line == ("  cost at least 0.00002 EUR · search 1 searches 0.00002 · llm_input 900 tokens (price unknown)")


def test_days_are_dates_or_counted_back() -> None:
    assert day_of("2026-11-01") == date(2026, 11, 1)
    assert day_of("7d") == datetime.now(UTC).date() - timedelta(days=7)
    assert day_of("") is None
    with pytest.raises(CommandError):
        day_of("yesterday")


def test_json_keeps_amounts_exact() -> None:
    report = CostReport(date(2026, 11, 1), date(2026, 11, 2), ROWS[:1])
    assert plain(report)["since"] == "2026-11-01"
    assert plain(report)["rows"][0]["amount"] == "0.024"
