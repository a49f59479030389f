"""All scenarios as a whole: lint, golden manifests, schemas of Kubernetes and of custom resources, the values' own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.helm.rendering import (
    CHART,
    GOLDEN,
    KUBERNETES,
    ROOT,
    SCENARIOS,
    RenderingError,
    Tools,
    golden,
    helm,
    manifests,
    text,
)

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_passes_lint(scenario: str) -> None:
    file = str(CHART / "scenarios" / f"{scenario}.yaml")
    helm("lint", "--strict", "--kube-version", KUBERNETES, "--values", file, str(CHART))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_renders_to_its_golden_manifests(scenario: str) -> None:
    expected = (GOLDEN / f"{scenario}.yaml").read_text()
    assert golden(scenario) == expected, "if the change is meant, run make helm-golden and look at the difference"


def test_no_golden_file_is_left_of_a_scenario_that_is_gone() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_manifests_and_custom_resources_are_valid_by_their_schemas(scenario: str) -> None:
    assert _problems(text(scenario)) == []


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("Deployment", "terminationGracePeriodSeconds", "terminationGraceSeconds"),
        ("ScaledObject", "pollingInterval: 15", "pollingInterval: often"),
        ("ServiceMonitor", "jobLabel", "labelOfJob"),
        ("RayService", "rayClusterConfig", "rayCluster"),
    ],
)
def test_schema_validation_finds_what_is_wrong(kind: str, before: str, after: str) -> None:
    scenario = "ray" if kind == "RayService" else "production"
    documents = [each for each in text(scenario).split("---\n") if f"\nkind: {kind}\n" in each and before in each]
    assert _problems(documents[0]) == []
    assert len(_problems(documents[0].replace(before, after))) == 1


def _problems(manifest: str) -> list[str]:
    tools = Tools.found()
    schemas = f"{tools.schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    command = [str(tools.binaries / "kubeconform"), "-strict", "-output", "json", "-schema-location", schemas]
    done = subprocess.run(command, input=manifest, capture_output=True, text=True, check=False)
    return [f"{each['kind']} {each['name']}: {each['msg']}" for each in json.loads(done.stdout).get("resources") or ()]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_object_has_a_name_of_its_own_and_lies_in_the_releases_namespace(scenario: str) -> None:
    objects = manifests(scenario)
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))
    assert {each["metadata"]["namespace"] for each in objects} == {"rag"}
    assert all(len(name) <= 63 for _, name in names)


def test_the_schema_is_closed_wherever_fields_are_known() -> None:
    open_objects = [path for path, node in _objects(SCHEMA) if node.get("additionalProperties") is not False]
    assert open_objects == []


def test_every_value_has_a_default_and_every_default_a_description() -> None:
    described = {path for path, _ in _leaves(SCHEMA)}
    given = set(_paths(DEFAULTS, described))
    assert described - given - {"global"} - _optional(described) == set()
    assert given - described == set()


def _optional(paths: set[str]) -> set[str]:
    """Settings have their defaults in the services; a profile's file is named only where it is one of the node."""
    return {path for path in paths if ".settings." in path or path.endswith(".localhostProfile")}


def _objects(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if "properties" in node and node.get("type") == "object":
        yield path, node
    for name, child in node.get("properties", {}).items():
        yield from _objects(child, f"{path}.{name}".lstrip("."))
    if isinstance(node.get("items"), dict):
        yield from _objects(node["items"], f"{path}[]")


def _leaves(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in node["properties"].items():
        here = f"{path}.{name}".lstrip(".")
        if "properties" in child and not name.lower().endswith("resources"):
            yield from _leaves(child, here)
        else:
            yield here, child


def _paths(value: Any, described: set[str], path: str = "") -> Iterator[str]:
    if path in described or not isinstance(value, dict):
        yield path
        return
    for name, child in value.items():
        yield from _paths(child, described, f"{path}.{name}".lstrip("."))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"gatway": {}}, "gatway"),
        ({"gateway": {"replica": 3}}, "replica"),
        ({"gateway": {"settings": {"ask_kk": 3}}}, "ask_kk"),
        ({"gateway": {"settings": {"ask_k": "many"}}}, "/gateway/settings/ask_k"),
        ({"ingest": {"worker": {"autoscaling": {"lagTreshold": 3}}}}, "lagTreshold"),
        ({"kafka": {"bootstrapServers": "kafka"}}, "/kafka/bootstrapServers"),
        ({"kafka": {"password": "secret"}}, "password"),
        ({"networkPolicy": {"prometheus": [{"podSelectors": {}}]}}, "podSelectors"),
        ({"embedder": {"serving": "Ray"}}, "/embedder/serving"),
        ({"identity": {"existingSecrets": {"jwks": "mine"}}}, "/identity/existingSecrets"),
        ({"gateway": {"auth": {"jwksUrl": ""}}}, "/gateway/auth"),
        ({"gateway": {"auth": {"jwksUrl": "http://id.example.com/jwks"}}}, "/gateway/auth/jwksUrl"),
        ({"podSecurity": {"runAsUser": 0}}, "/podSecurity/runAsUser"),
    ],
)
def test_a_value_that_is_misspelt_or_makes_no_sense_is_refused_and_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(RenderingError, match="meet the specifications of the schema") as refused:
        text(**values)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"elasticsearch": {"existingSecret": "es"}}, "/elasticsearch/url"),
        ({"elasticsearch": {"existingSecret": "es", "url": "https://a:9200,http://b:9200"}}, "/elasticsearch/url"),
        ({"weaviate": {"existingSecret": "weaviate"}}, "/weaviate/secure"),
        ({"redis": {"existingSecret": "redis", "url": "redis://redis:6379/0"}}, "/redis/url"),
        ({"kafka": {"securityProtocol": "SASL_PLAINTEXT", "saslMechanism": "PLAIN"}}, "/kafka/saslMechanism"),
    ],
)
def test_credentials_that_would_travel_unencrypted_are_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(RenderingError, match="meet the specifications of the schema") as refused:
        text(**values)
    assert named in str(refused.value)


def test_credentials_are_taken_with_encryption() -> None:
    assert text(
        elasticsearch={"existingSecret": "es", "url": "https://a:9200,https://b:9200"},
        weaviate={"existingSecret": "weaviate", "secure": True},
        redis={"existingSecret": "redis", "url": "rediss://redis:6380/0"},
        kafka={"existingSecret": "kafka", "securityProtocol": "SASL_PLAINTEXT"},
    )


def test_what_has_to_be_said_is_asked_for() -> None:
    with pytest.raises(RenderingError) as refused:
        helm("template", "headwater", str(CHART), "--kube-version", KUBERNETES)
    for path in ("/kafka/bootstrapServers", "/elasticsearch/url", "/weaviate/http", "/s3/location", "/gateway/auth"):
        assert path in str(refused.value)


def test_schema_and_tables_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.helm_values", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
