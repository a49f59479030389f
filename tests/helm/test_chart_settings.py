"""The services accept what the chart tells them, and understand it as it is meant: each container's environment and
files are given to the settings classes themselves."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.helm.rendering import SCENARIOS, manifests, pods

from chassis.settings import ServiceSettings, read_settings
from embedder.settings import EmbedderSettings
from gateway.settings import GatewaySettings
from ingest.settings import IngestSettings
from reranker.settings import RerankerSettings
from retriever.settings import RetrieverSettings

CLASSES: Mapping[str, tuple[type[ServiceSettings], ...]] = {
    "gateway": (GatewaySettings,),
    "retriever": (RetrieverSettings,),
    "reranker": (RerankerSettings,),
    "embedder": (EmbedderSettings,),
    "ingest-api": (IngestSettings,),
    "ingest-worker": (IngestSettings,),
    # The command line starts the administration of these two.
    "admin-init": (IngestSettings, GatewaySettings),
}


@pytest.fixture
def understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def read(component: str, template: Mapping[str, Any]) -> list[Any]:
        for name in list(os.environ):
            if name.startswith("HEADWATER_"):
                monkeypatch.delenv(name)
        secrets = tmp_path / f"{component}-secrets"
        secrets.mkdir(exist_ok=True)
        for volume in template["spec"]["volumes"]:
            for source in volume.get("projected", {}).get("sources", ()) if volume["name"] == "secrets" else ():
                for item in source["secret"]["items"]:
                    text = f"{source['secret']['name']}/{item['key']}"
                    if item["path"].startswith("ingest_"):
                        text = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
                    (secrets / item["path"]).write_text(text + "\n")
        for variable in template["spec"]["containers"][0]["env"]:
            value = variable.get("value", "3")  # those that Kubernetes fills in are numbers of cores
            monkeypatch.setenv(variable["name"], str(secrets) if variable["name"] == "HEADWATER_SECRETS_DIR" else value)
        return [read_settings(cls) for cls in CLASSES[component]]

    return read


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_services_accept_the_environment_and_secrets_of_their_pods(scenario: str, understood) -> None:
    seen = set()
    for component, template in pods(manifests(scenario)):
        if component in CLASSES:
            for settings in understood(component, template):
                assert settings.profile == "cluster"
                assert not settings.development
                assert not settings.trace_files
            seen.add(component)
    assert seen == set(CLASSES)


def test_services_understand_values_as_they_are_meant(understood) -> None:
    templates = dict(pods(manifests("production")))
    (gateway,) = understood("gateway", templates["gateway"])
    assert (gateway.rate_ask, gateway.sentence_cache_bytes, gateway.max_in_flight) == ("50/10 seconds", 67108864, 128)
    assert (gateway.generator, gateway.openai_base_url) == ("openai", "https://llm.example.com:8443/v1")
    assert gateway.openai_api_key.get_secret_value() == "headwater-llm/api-key"
    assert (gateway.openai_second_base_url, gateway.openai_second_model) == (
        "https://llm-2.example.com/v1",
        "llama-4-small",
    )
    assert gateway.openai_second_api_key.get_secret_value() == "headwater-llm-2/api-key"
    assert (gateway.retriever_target, gateway.ingest_target) == (
        "dns:///headwater-retriever:7700",
        "dns:///headwater-ingest-api:7700",
    )
    assert (gateway.otlp_endpoint, gateway.trace_sample_ratio) == ("http://otel-collector.observability:4317", 0.1)
    assert (gateway.drain_seconds, gateway.keys_dir) == (45, Path("/etc/headwater/keys"))

    (retriever,) = understood("retriever", templates["retriever"])
    assert (retriever.half_life_days_by_type, retriever.vector_weight) == ({"news": 7}, 0.6)
    assert retriever.query_cache_bytes == 268435456
    assert retriever.reranker_target == "dns:///headwater-reranker:7700"

    (worker,) = understood("ingest-worker", templates["ingest-worker"])
    assert (worker.role, worker.partitions, worker.max_document_bytes) == ("worker", 48, 134217728)
    assert (worker.kafka.security_protocol, worker.kafka.username) == ("SASL_SSL", "headwater")
    assert worker.kafka.password.get_secret_value() == "headwater-kafka/password"
    assert worker.kafka.ca_file == Path("/etc/headwater/ca/kafka.pem")
    assert worker.elasticsearch.url == "https://es-a.data:9200,https://es-b.data:9200"
    assert (worker.elasticsearch.shards, worker.weaviate.replicas, worker.weaviate.secure) == (3, 3, True)
    assert (worker.s3.location, worker.s3.region) == ("s3://example-headwater/documents", "eu-central-1")
    assert worker.s3.access_key_id.get_secret_value() == ""

    (api,) = understood("ingest-api", templates["ingest-api"])
    assert api.role == "api"
    for settings in understood("admin-init", templates["admin-init"]):
        assert settings.elasticsearch.url == worker.elasticsearch.url


def test_ingest_counts_tokens_as_the_embedder_does(understood) -> None:
    templates = dict(pods(manifests(embedder={"settings": {"model": "org/model@0123abc"}})))
    (worker,) = understood("ingest-worker", templates["ingest-worker"])
    (embedder,) = understood("embedder", templates["embedder"])
    assert worker.embedding_model == embedder.model == "org/model@0123abc"


def test_without_a_reranker_the_retriever_is_told_of_none(understood) -> None:
    objects = manifests(reranker={"enabled": False})
    templates = dict(pods(objects))
    (retriever,) = understood("retriever", templates["retriever"])
    assert retriever.reranker_target == ""
    assert not [each for each in objects if each["metadata"]["name"].endswith("-reranker")]


def test_encoders_compute_with_as_many_threads_as_they_have_cores_unless_told() -> None:
    def threads(scenario: str, **values: Any) -> Any:
        container = dict(pods(manifests(scenario, **values)))["reranker"]["spec"]["containers"][0]
        return next((each for each in container["env"] if each["name"] == "HEADWATER_RERANKER_THREADS"), None)

    assert threads("minimal")["valueFrom"]["resourceFieldRef"]["resource"] == "requests.cpu"
    assert threads("production")["valueFrom"]["resourceFieldRef"]["resource"] == "limits.cpu"
    assert threads("single-node")["value"] == "2"
    assert threads("minimal", reranker={"resources": {"requests": {"cpu": None}}}) is None


def test_more_environment_comes_last() -> None:
    container = dict(pods(manifests("production")))["ingest-worker"]["spec"]["containers"][0]
    assert container["env"][-1] == {"name": "AWS_REGION", "value": "eu-central-1"}
