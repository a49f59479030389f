"""Autoscaling, monitoring and Ray: what other controllers are told."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml
from scripts import images
from tests.helm.rendering import SERVICES, Manifest, manifests, named, of_kind, pods

from chassis.eventlog.kafka_consumer import group_id
from chassis.rpc.serve import NODE_ENVIRONMENT
from chassis.rpc.serve_proxy import LIMITS_CALLBACK
from ingest.codec import BULK_CHANGES_TOPIC, CHANGES_TOPIC, SOURCES_TOPIC
from ingest.main import WORKERS
from ingest.sources.compose import SOURCES_GROUP


@pytest.mark.parametrize("component", ["gateway", "retriever", "reranker", "embedder"])
def test_an_autoscaler_is_not_overruled_by_a_number_of_replicas(component: str) -> None:
    fixed = manifests()
    assert named(fixed, "Deployment", component)["spec"]["replicas"] == 2
    assert of_kind(fixed, "HorizontalPodAutoscaler") == []
    scaled = manifests(**{component: {"autoscaling": {"enabled": True, "minReplicas": 3, "cpuUtilization": 60}}})
    assert "replicas" not in named(scaled, "Deployment", component)["spec"]
    spec = named(scaled, "HorizontalPodAutoscaler", component)["spec"]
    assert spec["scaleTargetRef"]["name"] == f"headwater-{component}"
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 6 if component in ("reranker", "embedder") else 8)
    assert spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 60


@pytest.mark.parametrize("component", SERVICES)
def test_one_value_scales_a_service(component: str) -> None:
    path = component.split("-")
    values: dict[str, Any] = {"replicas": 5}
    for name in reversed(path):
        values = {name: values}
    assert named(manifests(**values), "Deployment", component)["spec"]["replicas"] == 5


@pytest.mark.parametrize("prefix", ["", "blue."])
def test_workers_are_scaled_by_the_lag_of_both_their_lanes(prefix: str) -> None:
    objects = manifests("production", kafka={"prefix": prefix})
    scaled = named(objects, "ScaledObject", "ingest-worker")["spec"]
    assert scaled["scaleTargetRef"]["name"] == named(objects, "Deployment", "ingest-worker")["metadata"]["name"]
    assert "replicas" not in named(objects, "Deployment", "ingest-worker")["spec"]
    for trigger, topic in zip(scaled["triggers"], (CHANGES_TOPIC, BULK_CHANGES_TOPIC), strict=True):
        assert trigger["metadata"]["topic"] == prefix + topic
        assert trigger["metadata"]["consumerGroup"] == group_id(prefix, topic, WORKERS)
        assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == ("scram_sha512", "enable")


def test_workers_that_take_records_of_sources_are_scaled_by_their_lag_as_well() -> None:
    objects = manifests("production", kafka={"prefix": "blue."}, ingest={"settings": {"sources_file": "/etc/s.toml"}})
    *_, trigger = named(objects, "ScaledObject", "ingest-worker")["spec"]["triggers"]
    assert trigger["metadata"]["topic"] == f"blue.{SOURCES_TOPIC}"
    assert trigger["metadata"]["consumerGroup"] == group_id("blue.", SOURCES_TOPIC, SOURCES_GROUP)


def test_the_scaler_gets_its_credentials_where_the_workers_do() -> None:
    objects = manifests("external-secrets")
    trigger, _ = named(objects, "ScaledObject", "ingest-worker")["spec"]["triggers"]
    authentication = named(objects, "TriggerAuthentication", "ingest-worker")
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert authentication["spec"] == {
        "env": [{"parameter": "username", "name": "HEADWATER_KAFKA__USERNAME", "containerName": "ingest-worker"}],
        "secretTargetRef": [{"parameter": "password", "name": "vault-kafka", "key": "sasl-password"}],
        "configMapTargetRef": [{"parameter": "ca", "name": "company-ca", "key": "root.pem"}],
    }


def test_a_scaler_of_an_open_kafka_needs_no_credentials() -> None:
    objects = manifests(ingest={"worker": {"autoscaling": {"enabled": True}}})
    trigger, _ = named(objects, "ScaledObject", "ingest-worker")["spec"]["triggers"]
    assert "authenticationRef" not in trigger
    assert not {"sasl", "tls"} & set(trigger["metadata"])
    assert of_kind(objects, "TriggerAuthentication") == []


@pytest.mark.parametrize("component", SERVICES)
def test_prometheus_finds_each_service_under_the_job_that_dashboards_ask_for(component: str) -> None:
    objects = manifests("production")
    monitor = named(objects, "ServiceMonitor", component)
    service = named(objects, "Service", component)
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == component
    assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert of_kind(manifests(), "ServiceMonitor") == []


@pytest.fixture(scope="module")
def ray() -> list[Manifest]:
    return manifests("ray")


@pytest.mark.parametrize("component", ["embedder", "reranker"])
def test_one_value_turns_a_deployment_into_ray_replicas_behind_the_same_name(
    component: str, ray: list[Manifest]
) -> None:
    kinds = {each["kind"] for each in ray if each["metadata"]["name"] == f"headwater-{component}"}
    assert "RayService" in kinds
    assert not {"Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget"} & kinds
    service = named(ray, "Service", component)["spec"]
    assert service["selector"]["ray.io/serve"] == "true"
    assert {"grpc": 7700}.items() <= {port["name"]: port["port"] for port in service["ports"]}.items()
    assert f"dns:///headwater-{component}:7700" in str(named(ray, "Deployment", "retriever"))


@pytest.mark.parametrize(("component", "package"), [("embedder", "embedding"), ("reranker", "rerank")])
def test_ray_serves_the_services_own_contract_on_the_port_its_callers_know(
    component: str, package: str, ray: list[Manifest]
) -> None:
    config = yaml.safe_load(named(ray, "RayService", component)["spec"]["serveConfigV2"])
    assert config["grpc_options"]["port"] == 7700
    (function,) = config["grpc_options"]["grpc_servicer_functions"]
    module, _, name = function.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))
    assert function == f"{component}.proxy.add_{package}"
    for _, template in pods([named(ray, "RayService", component)]):
        environment = template["spec"]["containers"][0]["env"]
        assert {"name": "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", "value": LIMITS_CALLBACK} in environment
    (application,) = config["applications"]
    assert application["import_path"] == f"{component}.serve_app:app"


@pytest.mark.parametrize("component", ["embedder", "reranker"])
def test_ray_understands_its_configuration(component: str, ray: list[Manifest]) -> None:
    schema = pytest.importorskip("ray.serve.schema", reason="Ray is not among the dependencies of a development set-up")
    config = yaml.safe_load(named(ray, "RayService", component)["spec"]["serveConfigV2"])
    understood = schema.ServeDeploySchema.model_validate(config)
    assert understood.grpc_options.enable_reflection is False


def test_replicas_run_on_workers_with_their_gpus_and_the_head_serves_nothing(ray: list[Manifest]) -> None:
    spec = named(ray, "RayService", "embedder")["spec"]
    cluster = spec["rayClusterConfig"]
    assert spec["excludeHeadPodFromServeSvc"] is True
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    head = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]
    (group,) = cluster["workerGroupSpecs"]
    worker = group["template"]["spec"]["containers"][0]
    assert "nvidia.com/gpu" not in head["resources"]["limits"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert (group["minReplicas"], group["maxReplicas"]) == (1, 8)
    (deployment,) = yaml.safe_load(spec["serveConfigV2"])["applications"][0]["deployments"]
    assert deployment["ray_actor_options"] == {"num_cpus": 2, "num_gpus": 1}
    assert deployment["autoscaling_config"]["max_replicas"] == 8


def test_replicas_run_the_image_that_holds_ray_and_plain_servers_the_one_that_does_not(ray: list[Manifest]) -> None:
    def images_of(objects: list[Manifest]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for component, template in pods(objects):
            found.setdefault(component, set()).update(each["image"] for each in template["spec"]["containers"])
        return found

    assert images_of(ray)["reranker"] == {"localhost/headwater-ray:0.1.0"}
    assert images_of(ray)["embedder"] == {"localhost/headwater-ray-gpu:0.1.0"}
    assert "ray" in images.TARGETS
    assert images_of(manifests("minimal"))["reranker"] == {"localhost/headwater-reranker:0.1.0"}
    own = manifests("ray", image={"tag": "2"}, reranker={"ray": {"image": {"name": "mine", "tag": "3"}}})
    assert images_of(own)["reranker"] == {"localhost/mine:3"}
    assert images_of(own)["embedder"] == {"localhost/headwater-ray-gpu:2"}


@pytest.mark.parametrize("component", ["embedder", "reranker"])
def test_ray_finds_its_environment_and_room_to_write(component: str, ray: list[Manifest]) -> None:
    cluster = named(ray, "RayService", component)["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        spec = group["template"]["spec"]
        (container,) = spec["containers"]
        environment = {each["name"]: each.get("value") for each in container["env"]}
        assert NODE_ENVIRONMENT.items() <= environment.items()
        assert environment["RAY_LOG_TO_STDERR"] == "1"
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        # Ray's sessions and sockets are in /tmp/ray; an object store that does not fit into /dev/shm goes there too.
        assert mounts["/tmp"]["emptyDir"]["sizeLimit"]
        assert mounts["/dev/shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "512Mi"}
        assert int(group["rayStartParams"]["object-store-memory"]) < 0.95 * 512 * 1024**2


def test_only_the_autoscaler_of_a_head_may_ask_kubernetes(ray: list[Manifest]) -> None:
    cluster = named(ray, "RayService", "embedder")["spec"]["rayClusterConfig"]
    head, worker = cluster["headGroupSpec"], cluster["workerGroupSpecs"][0]
    place = "/var/run/secrets/kubernetes.io/serviceaccount"
    mounts = {mount["mountPath"]: mount["name"] for mount in cluster["autoscalerOptions"]["volumeMounts"]}
    assert set(mounts) == {"/tmp", place}
    volumes = {volume["name"]: volume for volume in head["template"]["spec"]["volumes"]}
    assert "serviceAccountToken" in str(volumes[mounts[place]])
    assert place not in str(head["template"])
    assert "serviceAccountToken" not in str(worker["template"])
    # The names and places by which KubeRay knows what needs not be added.
    assert volumes["ray-logs"]["emptyDir"]["sizeLimit"]
    (policy,) = (each["spec"] for each in ray if each["metadata"]["name"] == "headwater-embedder-ray-head")
    assert policy["podSelector"]["matchLabels"].items() >= {"ray.io/node-type": "head"}.items()
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {443, 6443}


def test_probes_of_ray_nodes_need_no_program_in_the_image(ray: list[Manifest]) -> None:
    cluster = named(ray, "RayService", "reranker")["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        for probe in ("readinessProbe", "livenessProbe"):
            assert set(group["template"]["spec"]["containers"][0][probe]) & {"httpGet", "grpc", "exec"} == {"httpGet"}
