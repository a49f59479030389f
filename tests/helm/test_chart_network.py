"""Which connections the network policies let through, and that nothing else gets through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.helm.rendering import SCENARIOS, SERVICES, Manifest, component_of, manifests, named, of_kind, pods

EDGES = {
    ("gateway", "retriever"),
    ("gateway", "embedder"),
    ("gateway", "ingest-api"),
    ("retriever", "embedder"),
    ("retriever", "reranker"),
    ("ingest-api", "embedder"),
    ("ingest-worker", "embedder"),
}
"""Who calls whom; there are no others."""
STORE_PORTS = {"kafka": 9092, "elasticsearch": 9200, "weaviate": 8080, "redis": 6379, "s3": 9000}


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


def _matches(peers: list[Mapping[str, Any]] | None, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether one of the peers is a pod; the pods of a rule without peers are all."""
    if not peers:
        return True
    for peer in peers:
        if "ipBlock" in peer:
            continue
        spaces = peer.get("namespaceSelector")
        same = namespace == "rag" if spaces is None else _selects(spaces, {"kubernetes.io/metadata.name": namespace})
        if same and _selects(peer.get("podSelector", {}), labels):
            return True
    return False


def _open(
    objects: list[Manifest], direction: str, pod: Mapping[str, str], namespace: str, other: Mapping[str, str], port: int
) -> bool:
    """What Kubernetes decides: open when no policy selects the pod, or one of those that do lets it through."""
    key, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    policies = [
        each["spec"] for each in of_kind(objects, "NetworkPolicy") if _selects(each["spec"]["podSelector"], pod)
    ]
    policies = [each for each in policies if direction in each["policyTypes"]]
    return not policies or any(
        _matches(rule.get(peers), namespace, other)
        and (not rule.get("ports") or port in [each["port"] for each in rule["ports"]])
        for policy in policies
        for rule in policy.get(key, ())
    )


def _labels(objects: list[Manifest]) -> dict[str, dict[str, str]]:
    return {component: template["metadata"]["labels"] for component, template in pods(objects)}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_exactly_the_edges_of_the_architecture_are_open_between_services(scenario: str) -> None:
    objects = manifests(scenario)
    labels = _labels(objects)
    for source, its in labels.items():
        for target, others in labels.items():
            if source == target:
                continue
            leaves = _open(objects, "Egress", its, "rag", others, 7700)
            enters = _open(objects, "Ingress", others, "rag", its, 7700)
            # Pods of the same namespace may be clients of the gateway, but our own have no way out to it.
            assert (leaves and enters) == ((source, target) in EDGES), (source, target)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_strangers_reach_nothing_but_what_they_were_let_in_to(scenario: str) -> None:
    objects = manifests(scenario)
    for component, labels in _labels(objects).items():
        for port in (7700, 7710, 7780, 8265, 6379):
            assert not _open(objects, "Ingress", labels, "elsewhere", {"app": "stranger"}, port), (component, port)


def test_clients_reach_the_gateway_only() -> None:
    objects = manifests("production")
    for component, labels in _labels(objects).items():
        for port in (7700, 7780):
            assert _open(objects, "Ingress", labels, "ingress", {}, port) == (component == "gateway")
        assert not _open(objects, "Ingress", labels, "ingress", {}, 7710)


def test_prometheus_reads_metrics_of_every_service_and_calls_none() -> None:
    objects = manifests()
    for component, labels in _labels(objects).items():
        assert _open(objects, "Ingress", labels, "monitoring", {}, 7710) == (component in SERVICES)
        assert not _open(objects, "Ingress", labels, "monitoring", {}, 7700)


@pytest.mark.parametrize(
    ("component", "engines"),
    [
        ("gateway", {"elasticsearch", "redis"}),
        ("retriever", {"kafka", "elasticsearch", "weaviate", "redis"}),
        ("reranker", set()),
        ("embedder", set()),
        ("ingest-api", {"kafka", "elasticsearch", "weaviate", "redis", "s3"}),
        ("ingest-worker", {"kafka", "elasticsearch", "weaviate", "redis", "s3"}),
        ("admin-init", {"kafka", "elasticsearch", "weaviate", "redis", "s3"}),
        ("identity", set()),
    ],
)
def test_a_service_reaches_the_servers_it_needs_and_no_others(component: str, engines: set[str]) -> None:
    objects = manifests("single-node")
    labels = _labels(objects)[component]
    reached = {name for name, port in STORE_PORTS.items() if _open(objects, "Egress", labels, "engines", {}, port)}
    assert reached == engines


def test_servers_are_reached_where_they_are_said_to_be() -> None:
    objects = manifests("production")
    worker = _labels(objects)["ingest-worker"]
    assert _open(objects, "Egress", worker, "data", {"app": "kafka"}, 9093)
    assert not _open(objects, "Egress", worker, "data", {"app": "elasticsearch"}, 9093)
    assert not _open(objects, "Egress", worker, "elsewhere", {"app": "kafka"}, 9093)
    # Ports of the pods count, where they differ from the Service's.
    assert _open(objects, "Egress", worker, "data", {}, 8443)
    assert not _open(objects, "Egress", worker, "data", {"app": "weaviate"}, 80)


def test_everybody_may_ask_the_name_server_and_send_traces() -> None:
    objects = manifests("production")
    for component, labels in _labels(objects).items():
        assert _open(objects, "Egress", labels, "kube-system", {"k8s-app": "kube-dns"}, 53)
        assert _open(objects, "Egress", labels, "observability", {}, 4317), component


def test_the_gateway_reaches_its_issuer_and_its_model_by_their_ports() -> None:
    rules = named(manifests("production"), "NetworkPolicy", "gateway")["spec"]["egress"]
    assert {"ports": [{"protocol": "TCP", "port": 8443}]} in rules
    assert {"ports": [{"protocol": "TCP", "port": 443}], "to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]} in rules


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://s3.engines:9000", 9000),
        ("https://s3.example.com", 443),
        ("http://s3.example.com/path:8080", 80),
        ("https://[2001:db8::1]:9443/", 9443),
        ("", 443),
    ],
)
def test_the_port_of_a_server_is_read_from_its_address(url: str, port: int) -> None:
    rules = named(manifests(s3={"url": url}), "NetworkPolicy", "ingest-api")["spec"]["egress"]
    assert {"ports": [{"protocol": "TCP", "port": port}]} in rules


def test_rules_of_the_user_are_added() -> None:
    rule = {"from": [{"podSelector": {"matchLabels": {"app": "probe"}}}], "ports": [{"protocol": "TCP", "port": 7700}]}
    objects = manifests(retriever={"extraIngress": [rule]})
    assert _open(objects, "Ingress", _labels(objects)["retriever"], "rag", {"app": "probe"}, 7700)
    assert not _open(objects, "Ingress", _labels(objects)["embedder"], "rag", {"app": "probe"}, 7700)


def test_policies_can_be_left_to_others() -> None:
    assert of_kind(manifests(networkPolicy={"enabled": False}), "NetworkPolicy") == []


def test_nodes_of_a_ray_cluster_talk_to_each_other_and_the_operator_to_them() -> None:
    objects = manifests("ray")
    embedder = _labels(objects)["embedder"]
    assert _open(objects, "Ingress", embedder, "rag", embedder, 6379)
    assert _open(objects, "Egress", embedder, "rag", embedder, 6379)
    assert _open(objects, "Ingress", embedder, "kuberay-operator", {}, 8265)
    assert not _open(objects, "Ingress", embedder, "rag", _labels(objects)["reranker"], 6379)


def test_every_pod_has_a_policy_of_its_own() -> None:
    objects = manifests("ray")
    with_policy = {component_of(each) for each in of_kind(objects, "NetworkPolicy")} - {""}
    assert with_policy == set(_labels(objects))
