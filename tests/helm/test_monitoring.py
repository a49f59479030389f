"""Dashboards and alerts: everything they name is really emitted, and every alert is tested and has a runbook."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripts import dashboard_panels, make_dashboards
from tests.helm.busy_stack import CLUSTER_ONLY, Sample, samples_of_a_busy_stack
from tests.servers.native import ServerUnavailableError, cache_dir

from chassis.telemetry import metrics
from chassis.telemetry.instruments import Metric

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "helm" / "rules").glob("*.yaml"))
RULE_TESTS = sorted((ROOT / "tests" / "helm" / "rules").glob("*.yaml"))
DASHBOARDS = sorted((ROOT / "helm" / "dashboards").glob("*.json"))
TARGET_LABELS = {"namespace", "job", "instance", "pod"}
"""What Prometheus adds to everything it scrapes."""
NOT_OURS = {"up"}
_SELECTOR = re.compile(r"\b(up|headwater_\w+)\s*(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without|ignoring|on)\s*\(([^)]*)\)")

pytestmark = [pytest.mark.xdist_group("monitoring"), pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Query:
    """A PromQL expression and where it stands."""

    where: str
    text: str

    @property
    def selectors(self) -> list[tuple[str, list[tuple[str, str, str]]]]:
        """Each metric with its matchers as (label, operator, value)."""
        return [(name, _MATCHER.findall(matchers)) for name, matchers in _SELECTOR.findall(self.text)]

    @property
    def grouping_labels(self) -> set[str]:
        """Labels that the expression aggregates or joins by."""
        return {label.strip() for group in _GROUPING.findall(self.text) for label in group.split(",") if label.strip()}


def alerts() -> list[dict[str, Any]]:
    return [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def queries() -> list[Query]:
    found = [Query(rule["alert"], rule["expr"]) for rule in alerts()]
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            found += [Query(f"{file.stem}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return found


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus' own checker; its Debian package is unpacked, not installed, so no daemon is started."""
    found = shutil.which("promtool")
    kept = cache_dir() / "promtool"
    if found or kept.is_file():
        return found or str(kept)
    if not shutil.which("apt-get"):
        _unavailable("promtool is not installed: it comes with Prometheus")
    unpacked = cache_dir() / f"prometheus-{os.getpid()}"
    unpacked.mkdir()
    try:
        if os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "-q"], cwd=unpacked, capture_output=True, timeout=200)
        steps = "apt-get download -q prometheus && dpkg-deb -x prometheus_*.deb ."
        done = subprocess.run(["sh", "-c", steps], cwd=unpacked, capture_output=True, text=True, timeout=200)
        if done.returncode:
            _unavailable(f"promtool is not installed, and Debian's package can't be had: {done.stderr[-300:]}")
        (unpacked / "usr/bin/promtool").replace(kept)
    finally:
        shutil.rmtree(unpacked)
    return str(kept)


def _unavailable(reason: str) -> None:
    if os.environ.get("CI"):
        raise ServerUnavailableError(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Sample]]:
    by_name: dict[str, list[Sample]] = {}
    for sample in samples_of_a_busy_stack(tmp_path_factory.mktemp("busy")):
        by_name.setdefault(sample.name, []).append(sample)
    return by_name


def test_the_dashboards_are_what_their_source_says():
    assert {file.stem for file in DASHBOARDS} == set(dashboard_panels.DASHBOARDS)
    for file in DASHBOARDS:
        assert file.read_text() == make_dashboards.text(file.stem), "run: python -m scripts.make_dashboards"


def test_every_metric_of_a_dashboard_or_alert_is_emitted_by_running_services(emitted):
    unknown = {
        f"{query.where}: {name}"
        for query in queries()
        for name, _ in query.selectors
        if name not in emitted and name not in NOT_OURS | CLUSTER_ONLY
    }
    assert not unknown


def test_metrics_of_the_cluster_form_are_declared():
    every = [each for each in vars(metrics).values() if isinstance(each, Metric)]
    declared = {name for metric in every for name in _exposed(metric)}
    assert declared >= CLUSTER_ONLY


def _exposed(metric: Metric) -> set[str]:
    """Names by which Prometheus sees a metric."""
    name = metric.name.replace(".", "_") + {"s": "_seconds", "By": "_bytes"}.get(metric.unit, "")
    return {name, f"{name}_total"}


def test_every_label_that_a_query_names_is_on_its_metric(emitted):
    problems = []
    for query in queries():
        labels_of = {name: {label for s in emitted.get(name, ()) for label in s.labels} for name, _ in query.selectors}
        for name, matchers in query.selectors:
            problems += [
                f"{query.where}: {name} has no label {label}"
                for label, _, _ in matchers
                if name not in NOT_OURS | CLUSTER_ONLY and label not in labels_of[name] | TARGET_LABELS
            ]
        known = set().union(*labels_of.values()) | TARGET_LABELS
        if not labels_of.keys() & CLUSTER_ONLY:
            problems += [f"{query.where}: nothing has the label {label}" for label in query.grouping_labels - known]
    assert not problems


def test_every_value_that_a_query_looks_for_occurs(emitted):
    problems = []
    for query in queries():
        for name, matchers in query.selectors:
            for label, operator, value in matchers:
                if label in TARGET_LABELS or operator not in ("=", "=~"):
                    continue
                values = {sample.labels.get(label, "") for sample in emitted[name]}
                pattern = re.escape(value) if operator == "=" else value
                if not any(re.fullmatch(pattern, each) for each in values):
                    problems.append(f"{query.where}: no {name} has {label}{operator}{value}, only {sorted(values)[:9]}")
    assert not problems


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_promtool_accepts_the_rules(promtool, file):
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_stay_silent_otherwise(promtool, file):
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_firing_and_a_silent_case():
    seen: dict[str, set[bool]] = {}
    for file in RULE_TESTS:
        for case in yaml.safe_load(file.read_text())["tests"]:
            for each in case["alert_rule_test"]:
                seen.setdefault(each["alertname"], set()).add(bool(each["exp_alerts"]))
    assert seen == {rule["alert"]: {True, False} for rule in alerts()}


def test_every_alert_has_one_runbook_and_every_runbook_an_alert():
    headings = re.findall(r"^### (Headwater\w+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(rule["alert"] for rule in alerts())
    for rule in alerts():
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
