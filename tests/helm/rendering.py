"""Renders the chart: for its tests, and as a program to write the golden manifests.

python -m tests.helm.rendering    writes helm/scenarios/golden from helm/scenarios
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm"
SCENARIOS = tuple(sorted(path.stem for path in (CHART / "scenarios").glob("*.yaml")))
GOLDEN = CHART / "scenarios" / "golden"
KUBERNETES = "1.34.4"
SERVICES = ("gateway", "retriever", "reranker", "embedder", "ingest-api", "ingest-worker")

Manifest = dict[str, Any]


class RenderingError(Exception):
    """Helm refused; the message is what it said."""


@dataclass(frozen=True)
class Tools:
    """Where helm, kubeconform and the schemas are."""

    binaries: Path
    schemas: Path

    @staticmethod
    @functools.cache
    def found() -> Tools:
        """Those in the cache. Building them takes minutes, which `make helm` does; without them, a test is skipped."""
        script = [str(ROOT / "scripts" / "helm_tools.sh"), "--present"]
        done = subprocess.run(script, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip("make helm installs the tools for this")
        binaries, schemas = done.stdout.split()
        return Tools(Path(binaries), Path(schemas))


def helm(*arguments: str, stdin: str = "") -> str:
    """Runs helm. Raises RenderingError."""
    # Nothing of the user's configuration, repositories or cluster may matter.
    home = dict.fromkeys(("HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME", "KUBECONFIG"), "/nonexistent")
    command = [str(Tools.found().binaries / "helm"), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, env={**os.environ, **home})
    if done.returncode:
        raise RenderingError(done.stderr + done.stdout)
    return done.stdout


@functools.cache
def _text(scenario: str, values: str) -> str:
    file = str(CHART / "scenarios" / f"{scenario}.yaml")
    common = ["headwater", str(CHART), "--namespace", "rag", "--kube-version", KUBERNETES]
    return helm("template", *common, "--values", file, "--values", "-", stdin=values)


def text(scenario: str = "minimal", **values: Any) -> str:
    """The manifests of a scenario as Helm writes them, with ``values`` merged into its own."""
    return _text(scenario, json.dumps(values))


def manifests(scenario: str = "minimal", **values: Any) -> list[Manifest]:
    """The objects of a scenario."""
    return list(_parsed(text(scenario, **values)))


@functools.cache
def _parsed(manifests: str) -> tuple[Manifest, ...]:
    # The loader in C: in Python, parsing takes longer than rendering.
    return tuple(each for each in yaml.load_all(manifests, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if each)


def named(objects: list[Manifest], kind: str, component: str) -> Manifest:
    """The one object of a kind and component."""
    found = [each for each in objects if each["kind"] == kind and component_of(each) == component]
    assert len(found) == 1, f"{len(found)} of {kind} {component}"
    return found[0]


def of_kind(objects: list[Manifest], kind: str) -> list[Manifest]:
    """All objects of a kind."""
    return [each for each in objects if each["kind"] == kind]


def component_of(manifest: Manifest) -> str:
    """Which component an object belongs to; empty for the release's own."""
    return str(manifest["metadata"]["labels"].get("app.kubernetes.io/component", ""))


def pods(objects: list[Manifest]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every pod template by component: of Deployments, Jobs and Ray clusters."""
    for each in objects:
        if each["kind"] in ("Deployment", "Job"):
            yield component_of(each), each["spec"]["template"]
        elif each["kind"] == "RayService":
            cluster = each["spec"]["rayClusterConfig"]
            for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
                yield component_of(each), group["template"]


def golden(scenario: str) -> str:
    """What is compared: everything but rules and dashboards, whose texts have tests of their own."""
    documents = text(scenario).split("---\n")
    return "---\n".join(each for each in documents if "# Source: headwater/templates/monitoring/" not in each)


def write_golden() -> None:
    """Renders every scenario into its golden file."""
    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir()
    for scenario in SCENARIOS:
        (GOLDEN / f"{scenario}.yaml").write_text(golden(scenario), encoding="utf-8")


if __name__ == "__main__":
    write_golden()
