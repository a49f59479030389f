"""What runs in the pods, how it is locked up, and how it starts and stops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.helm.rendering import SCENARIOS, SERVICES, component_of, manifests, named, of_kind, pods

from chassis.rpc.server import READINESS
from headwater.cli.stack import HEALTH_NAMES

PRIVATE_KEYS = {
    "gateway": {"gateway.private.pem"},
    "ingest-api": {"ingest.private.pem"},
    "ingest-worker": {"ingest.private.pem"},
}
STORE_SECRETS = {
    "kafka": {"kafka__password"},
    "elasticsearch": {"elasticsearch__api_key"},
    "weaviate": {"weaviate__api_key"},
    "redis": {"redis__password"},
    "s3": {"s3__access_key_id", "s3__secret_access_key"},
}
MAY_READ = {
    "gateway": ("elasticsearch", "redis"),
    "retriever": ("kafka", "elasticsearch", "weaviate", "redis"),
    "reranker": (),
    "embedder": (),
    "ingest-api": ("kafka", "elasticsearch", "weaviate", "redis", "s3"),
    "ingest-worker": ("kafka", "elasticsearch", "weaviate", "redis", "s3"),
    "admin-init": ("kafka", "elasticsearch", "weaviate", "redis", "s3"),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_pods_meet_the_restricted_standard_and_can_write_nowhere_but_in_volumes_of_limited_size(scenario: str) -> None:
    for component, template in pods(manifests(scenario)):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] >= 1000
        assert spec["securityContext"]["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost")
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, component
            assert context["readOnlyRootFilesystem"] is True, component
            assert context["capabilities"] == {"drop": ["ALL"]}, component
            assert "memory" in container["resources"]["limits"], component
            volumes = {volume["name"]: volume for volume in spec["volumes"]}
            for mount in container["volumeMounts"]:
                volume = volumes[mount["name"]]
                assert mount.get("readOnly") or volume["emptyDir"]["sizeLimit"], (component, mount)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_only_the_job_that_makes_keys_has_a_token_of_kubernetes(scenario: str) -> None:
    holders, mounted = set(), set()
    for component, template in pods(manifests(scenario)):
        assert template["spec"]["automountServiceAccountToken"] is False
        if "serviceAccountToken" in str(template["spec"]["volumes"]):
            holders.add(component)
        if "serviceaccount" in str([container["volumeMounts"] for container in template["spec"]["containers"]]):
            mounted.add(component)
    assert mounted == (set() if scenario == "external-secrets" else {"identity"})
    # Heads of Ray clusters have it for the autoscaler alone, a container that KubeRay adds.
    assert holders - mounted == ({"embedder", "reranker"} if scenario == "ray" else set())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_service_links_are_off_because_services_refuse_variables_they_do_not_know(scenario: str) -> None:
    assert all(template["spec"]["enableServiceLinks"] is False for _, template in pods(manifests(scenario)))


def test_a_pod_holds_the_secrets_of_the_servers_it_needs_and_no_others() -> None:
    found = {component: _files(template) for component, template in pods(manifests("external-secrets"))}
    for component, engines in MAY_READ.items():
        expected = set().union(*(STORE_SECRETS[engine] for engine in engines))
        if component == "gateway":
            expected.add("gateway_openai_api_key")
        if component.startswith("ingest-"):
            expected |= {"ingest_vault_keys", "ingest_pseudonym_key"}
        assert found[component].get("secrets", set()) == expected, component


def test_only_those_who_sign_hold_a_private_key_and_each_its_own() -> None:
    for component, template in pods(manifests()):
        if component in SERVICES:
            assert _files(template)["keys"] == {"jwks.json"} | PRIVATE_KEYS.get(component, set())
        else:
            assert "keys" not in _files(template)


def test_files_with_secrets_are_for_the_pods_group_only() -> None:
    for _, template in pods(manifests("external-secrets")):
        for volume in template["spec"]["volumes"]:
            if volume["name"] in ("secrets", "keys"):
                assert volume["projected"]["defaultMode"] == 0o440
        assert template["spec"]["securityContext"]["fsGroup"] == template["spec"]["securityContext"]["runAsGroup"]


def test_no_secret_is_in_the_environment() -> None:
    for _, template in pods(manifests("external-secrets")):
        for variable in template["spec"]["containers"][0]["env"]:
            assert "secretKeyRef" not in str(variable)
            assert not variable["name"].endswith(("PASSWORD", "API_KEY", "SECRET_ACCESS_KEY"))


def _files(template: Mapping[str, Any]) -> dict[str, set[str]]:
    return {
        volume["name"]: {
            item["path"]
            for source in volume["projected"]["sources"]
            for item in (*source.values(),)[0].get("items", ())
        }
        for volume in template["spec"]["volumes"]
        if "projected" in volume and volume["name"] != "token"
    }


@pytest.mark.parametrize("component", SERVICES)
def test_probes_ask_the_services_own_health_on_a_port_it_listens_on(component: str) -> None:
    container = named(manifests(), "Deployment", component)["spec"]["template"]["spec"]["containers"][0]
    listen = next(each["value"] for each in container["env"] if each["name"] == "HEADWATER_LISTEN")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["grpc"]
        # A worker that refuses everything is not restarted for it.
        halts = component == "ingest-worker" and probe == "readinessProbe"
        name = READINESS if halts else HEALTH_NAMES[component.split("-")[0]]
        assert asked == {"port": int(listen.rpartition(":")[2]), "service": name}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_pods_get_the_time_to_stop_that_the_service_believes_it_has(scenario: str) -> None:
    for deployment in of_kind(manifests(scenario), "Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        container = spec["containers"][0]
        drain = next(float(each["value"]) for each in container["env"] if each["name"] == "HEADWATER_DRAIN_SECONDS")
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert spec["terminationGracePeriodSeconds"] > sleep + drain


def test_the_time_to_stop_follows_one_value() -> None:
    objects = manifests(termination={"preStopSeconds": 0, "drainSeconds": 90.5, "marginSeconds": 5})
    spec = named(objects, "Deployment", "retriever")["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 96
    assert "lifecycle" not in spec["containers"][0]
    assert {"name": "HEADWATER_DRAIN_SECONDS", "value": "90.5"} in spec["containers"][0]["env"]


def test_updates_never_take_capacity_away_and_evictions_take_one_pod_at_a_time() -> None:
    objects = manifests()
    for component in SERVICES:
        deployment = named(objects, "Deployment", component)["spec"]
        assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        budget = named(objects, "PodDisruptionBudget", component)["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["selector"] == deployment["selector"]


def test_pods_are_spread_over_zones_and_nodes_unless_told_otherwise() -> None:
    spec = named(manifests(), "Deployment", "gateway")["spec"]["template"]["spec"]
    assert [each["topologyKey"] for each in spec["topologySpreadConstraints"]] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    spec = named(manifests("single-node"), "Deployment", "gateway")["spec"]["template"]["spec"]
    assert "topologySpreadConstraints" not in spec


def test_images_are_of_one_registry_and_tag_unless_a_service_has_its_own() -> None:
    objects = manifests(image={"registry": "r.example.com/x", "tag": "1.2.3"}, retriever={"image": {"tag": "1.2.4"}})
    images = {component: template["spec"]["containers"][0]["image"] for component, template in pods(objects)}
    assert images["gateway"] == "r.example.com/x/headwater-gateway:1.2.3"
    assert images["retriever"] == "r.example.com/x/headwater-retriever:1.2.4"
    assert images["ingest-api"] == images["ingest-worker"] == "r.example.com/x/headwater-ingest:1.2.3"
    assert images["admin-init"] == images["identity"] == "r.example.com/x/headwater-admin:1.2.3"


def test_scheduling_and_pull_secrets_reach_the_pods() -> None:
    spec = named(manifests("production"), "Deployment", "embedder")["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"node.example.com/pool": "compute"}
    assert spec["tolerations"][0]["key"] == "compute"
    assert spec["imagePullSecrets"] == [{"name": "registry-login"}]
    gateway = named(manifests("production"), "Deployment", "gateway")["spec"]["template"]["spec"]
    assert gateway["priorityClassName"] == "production-critical"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_services_select_the_pods_of_their_component_by_ports_those_have(scenario: str) -> None:
    objects = manifests(scenario)
    templates = dict(pods(objects))
    for service in of_kind(objects, "Service"):
        template = templates[component_of(service)]
        labels = template["metadata"]["labels"] | {"ray.io/serve": "true"}
        assert service["spec"]["selector"].items() <= labels.items()
        ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
        assert service["spec"].get("clusterIP") == (None if component_of(service) == "gateway" else "None")


def test_the_init_job_runs_before_the_services_and_makes_what_they_expect() -> None:
    objects = manifests("production")
    job = named(objects, "Job", "admin-init")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert (container["command"], container["args"]) == (["python", "-m", "headwater.cli"], ["admin", "init"])
    assert {"name": "HEADWATER_INGEST_PARTITIONS", "value": "48"} in container["env"]
    # It refuses any other profile.
    assert {"name": "HEADWATER_PROFILE", "value": "cluster"} in container["env"]
    # What belongs to the release does not exist yet when a hook of its first installation runs.
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]


def test_keys_are_made_by_a_job_that_may_touch_its_three_secrets_only() -> None:
    objects = manifests()
    secrets = {each["metadata"]["name"] for each in of_kind(objects, "Secret")}
    (rule,) = named(objects, "Role", "identity")["rules"]
    assert secrets == set(rule["resourceNames"])
    assert (rule["resources"], rule["verbs"]) == (["secrets"], ["get", "patch"])
    assert not any("data" in each or "stringData" in each for each in of_kind(objects, "Secret"))
    mounted = {
        source["secret"]["name"]
        for _, template in pods(objects)
        for volume in template["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        if "secret" in source
    }
    assert mounted == secrets


def test_given_keys_are_used_as_they_are() -> None:
    objects = manifests("external-secrets")
    assert of_kind(objects, "Secret") == of_kind(objects, "Role") == []
    assert {component_of(each) for each in of_kind(objects, "Job")} == {"admin-init"}
    keys = next(
        volume
        for volume in named(objects, "Deployment", "gateway")["spec"]["template"]["spec"]["volumes"]
        if volume["name"] == "keys"
    )
    assert [each["secret"]["name"] for each in keys["projected"]["sources"]] == [
        "vault-identity-gateway",
        "vault-identity-jwks",
    ]


def test_a_changed_issuer_restarts_the_gateway() -> None:
    before, after = (
        named(manifests("single-node", gateway={"auth": {"jwks": keys}}), "Deployment", "gateway")
        for keys in ('{"keys": []}', '{"keys": [ ]}')
    )
    name = "checksum/issuer"
    assert (
        before["spec"]["template"]["metadata"]["annotations"][name]
        != after["spec"]["template"]["metadata"]["annotations"][name]
    )
