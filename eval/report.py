"""An evaluation run as one HTML page: no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import html
import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Final

import numpy as np
from eval.calibration import calibration_error, reliability
from eval.gate import Verdict
from eval.measures import MEASURES, Result
from matplotlib.figure import Figure

PAGE: Final = Template("""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Evaluation</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; color: #222 }
  table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .75rem; border-bottom: 1px solid #ddd }
  td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
  .bad { color: #b00020 } .good { color: #0a7a2f } svg { max-width: 100%; height: auto }
</style>
<h1>Evaluation: <span class="$verdict_class">$verdict</span></h1>
$sections
</html>
""")


def write(path: Path, results: Sequence[Result], verdict: Verdict) -> None:
    """Writes the page."""
    sections = [
        ("Measures", _measures(verdict)),
        ("Classes of questions", _classes(results)),
        ("Confidence", _confidence(results)),
        ("Latency", _latencies(results)),
        ("What went wrong", _notes(results, verdict)),
    ]
    page = PAGE.substitute(
        verdict="passed" if verdict.passed else "not passed",
        verdict_class="good" if verdict.passed else "bad",
        sections="\n".join(f"<h2>{title}</h2>\n{body}" for title, body in sections),
    )
    path.write_text(page, encoding="utf-8")


def _measures(verdict: Verdict) -> str:
    rows = []
    for name, mean in verdict.means.items():
        floor = MEASURES[name].floor
        bad = name in verdict.below or name in verdict.lost
        rows.append(
            f"<tr><td>{name}</td><td class='number{' bad' if bad else ''}'>{mean:.3f}</td>"
            f"<td class='number'>{'' if floor is None else f'{floor:.2f}'}</td>"
            f"<td class='number'>{verdict.changes.get(name, '')}</td><td>{MEASURES[name].says}</td></tr>"
        )
    head = "".join(
        f"<th>{name}</th>" for name in ("measure", "mean", "floor", "against the baseline", "share or mean of")
    )
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _classes(results: Sequence[Result]) -> str:
    shown = ("hit@5", "answered", "complete", "citation_precision", "citation_recall")
    by_kind: dict[str, list[Result]] = defaultdict(list)
    for each in results:
        if shown[0] in each.values:
            by_kind[each.kind].append(each)
    figure = Figure(figsize=(10, 4))
    axes = figure.subplots()
    width = 0.8 / len(shown)
    for number, name in enumerate(shown):
        measured = [[each.values[name] for each in of_kind if name in each.values] for of_kind in by_kind.values()]
        means = [float(np.mean(values)) if values else 0.0 for values in measured]
        axes.bar(np.arange(len(by_kind)) + number * width, means, width, label=name)
    labels = [f"{kind} ({len(of_kind)})" for kind, of_kind in by_kind.items()]
    axes.set_xticks(np.arange(len(by_kind)) + 0.4 - width / 2, labels)
    axes.set_ylim(0, 1.05)
    axes.legend(loc="lower right", ncols=len(shown), fontsize="small")
    return _svg(figure)


def _confidence(results: Sequence[Result]) -> str:
    """The reliability curve of answers that were given, and of all questions."""
    figure = Figure(figsize=(5, 4))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#bbb", linestyle="--")
    judged = [each for each in results if "right" in each.values]
    errors = []
    for label, counted in (
        ("answers", [each for each in judged if each.values.get("answered") == 1]),
        ("all questions", judged),
    ):
        sure = [each.values["confidence"] for each in counted]
        right = [each.values["right"] for each in counted]
        bins = reliability(sure, right)
        axes.plot([each.confidence for each in bins], [each.right for each in bins], marker="o", label=label)
        errors.append(f"{label}: {calibration_error(sure, right):.3f} of {len(counted)}")
    axes.set_xlabel("confidence")
    axes.set_ylabel("share that is right")
    axes.legend(loc="upper left")
    return f"<p>Expected calibration error, {'; '.join(errors)}.</p>{_svg(figure)}"


def _latencies(results: Sequence[Result]) -> str:
    figure = Figure(figsize=(10, 3))
    axes = figure.subplots()
    for name, label in (("search_ms", "search"), ("ask_ms", "ask")):
        values = np.sort([each.values[name] for each in results if name in each.values])
        axes.step(values, np.arange(1, len(values) + 1) / len(values), where="post", label=label)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds")
    axes.set_ylabel("share of questions")
    axes.legend()
    return _svg(figure)


def _notes(results: Sequence[Result], verdict: Verdict) -> str:
    said = [f"{each.case_id}: {each.note}" for each in results if each.note]
    said += [f"{case_id}: in the baseline, and not asked" for case_id in verdict.missing]
    notes = [f"<li>{html.escape(each)}</li>" for each in said]
    return f"<ul>{''.join(notes)}</ul>" if notes else "<p>Nothing.</p>"


def _svg(figure: Figure) -> str:
    drawn = io.StringIO()
    figure.tight_layout()
    figure.savefig(drawn, format="svg")
    text = drawn.getvalue()
    return text[text.index("<svg") :]
