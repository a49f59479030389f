"""One function per claim, in the order in which they run. Each returns its figures, or raises ClusterError."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

from eval.sample import ingest_corpus
from scripts import images
from tests.cluster import definitions
from tests.cluster.kubernetes import CHART, COMPONENTS, ClusterError, wait_until
from tests.cluster.world import GROUPS, World
from tests.helm.busy_stack import CLUSTER_ONLY

from headwater import AsyncClient

_METRICS: Final = """
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:7710/metrics", timeout=30).read().decode())
"""

Figures = dict[str, Any]
Scenario = Callable[[World], Figures]

_PROVED: Final = """
import os, pathlib
assert os.getuid() != 0, "runs as root"
for place in ("/", "/opt/headwater", "/usr", "/etc", "/var"):
    try:
        (pathlib.Path(place) / "written").write_text("x")
    except OSError:
        continue
    raise SystemExit(place + " can be written")
assert not os.path.exists("/var/run/secrets/kubernetes.io"), "holds a token of the cluster"
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
assert int(status["CapEff"], 16) == 0, "has capabilities"
assert status["NoNewPrivs"].strip() == "1", "may gain privileges"
"""
_CONNECTS: Final = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 4).close()
except OSError as error:
    print("refused", type(error).__name__)
else:
    print("connected")
"""


def install(world: World) -> Figures:
    """The chart is installed into an empty namespace that enforces the restricted pod security standard."""
    return {"seconds_until_ready": round(world.upgrade(), 1)}


def pods_are_restricted(world: World) -> Figures:
    """No pod runs as root, writes its root file system, holds a token of the cluster, or has a capability."""
    proved = 0
    for component in COMPONENTS:
        for pod in world.kubernetes.pods(component):
            world.kubernetes.execute(pod, "python", "-c", _PROVED)
            proved += 1
    return {"pods": proved}


def ingest_and_ask(world: World) -> Figures:
    """The sample corpus goes in through the gateway's Service, and questions are answered with citations."""
    golden = world.golden

    async def work(client: AsyncClient) -> Figures:
        report = await ingest_corpus(client, golden)
        if report.failed:
            raise ClusterError(f"not ingested: {report.failed}")
        cases, cited, times = golden.answerable[:20], 0, []
        for case in cases:
            began = time.monotonic()
            answer = await client.ask(case.question, filter=case.filter)
            times.append(time.monotonic() - began)
            documents = {citation.document_id for citation in answer.citations}
            cited += bool(documents & {passage.document_id for passage in case.expected})
        status = await client.ingest_status()
        return {
            "documents": status.live_documents,
            "ingest_seconds": round(report.seconds, 1),
            "questions": len(cases),
            "cite_an_expected_document": cited,
            "answer_p50_ms": round(sorted(times)[len(times) // 2] * 1000),
        }

    figures: Figures = world.call(work, GROUPS)
    if figures["documents"] < len(golden.documents):
        raise ClusterError(f"only {figures['documents']} of {len(golden.documents)} documents are live")
    if figures["cite_an_expected_document"] < 0.8 * figures["questions"]:
        raise ClusterError(f"answers cite the wrong documents: {figures}")
    return figures


def scale_each_service(world: World) -> Figures:
    """One value scales a service, up and down again."""
    before = {component: len(world.kubernetes.pods(component)) for component in COMPONENTS}
    figures: Figures = {}
    for step in (1, 0):
        wanted = {component: count + step for component, count in before.items()}
        values = [f"{component.replace('-', '.')}.replicas={count}" for component, count in wanted.items()]
        seconds = world.upgrade("--set", ",".join(values))
        seconds += world.kubernetes.wait_settled(*COMPONENTS)
        found = {component: len(world.kubernetes.pods(component)) for component in COMPONENTS}
        if found != wanted:
            raise ClusterError(f"wanted {wanted}, found {found}")
        figures["up_seconds" if step else "down_seconds"] = round(seconds, 1)
    return {"pods": f"{sum(before.values())} → {sum(before.values()) + len(COMPONENTS)}", **figures}


def load_alone(world: World) -> Figures:
    """The same load while nothing happens: without this nobody knows what a failure beside a change means."""
    with world.load() as figures:
        time.sleep(30)
    return _without_failures(figures)


def roll_under_load(world: World) -> Figures:
    """Every Deployment is restarted, one after the other, under constant load: no request fails."""
    seconds: Figures = {}
    with world.load() as figures:
        for component in COMPONENTS:
            world.kubernetes.kubectl("rollout", "restart", f"deployment/{world.kubernetes.name(component)}")
            seconds[component] = round(world.kubernetes.wait_settled(component), 1)
    return _without_failures(figures | {"roll_seconds": seconds})


def change_image_under_load(world: World) -> Figures:
    """Every service gets another image under constant load: no request fails."""
    tag = f"{world.images['tag']}-b"
    for target in images.RELEASE:
        name = f"{world.images['registry']}/headwater-{target}"
        images.docker("tag", f"{name}:{world.images['tag']}", f"{name}:{tag}")
        images.hand_on(f"{name}:{tag}", world.load_command, world.push)
    with world.load() as figures:
        seconds = world.upgrade("--set", f"image.tag={tag}")
        world.kubernetes.wait_settled(*COMPONENTS)
    found = world.kubernetes.get("pods", "--selector", f"app.kubernetes.io/instance={world.kubernetes.release}")[
        "items"
    ]
    old = [
        pod["metadata"]["name"]
        for pod in found
        if pod["status"]["phase"] == "Running" and not pod["spec"]["containers"][0]["image"].endswith(tag)
    ]
    if old:
        raise ClusterError(f"still the old image: {old}")
    return _without_failures(figures | {"upgrade_seconds": round(seconds, 1)})


def delete_every_pod(world: World) -> Figures:
    """All pods of each service are deleted at once, in turn, while documents come in: no accepted one is lost."""
    back: Figures = {}
    with world.load(searches=1.0, documents=2.0) as figures:
        for component in COMPONENTS:
            names = world.kubernetes.pods(component)
            world.kubernetes.kubectl("delete", "pod", "--grace-period=0", "--force", *names)
            wait_until("the pods are gone", lambda n=names, c=component: not set(n) & set(world.kubernetes.pods(c)), 60)
            back[component] = round(world.kubernetes.wait_settled(component), 1)
    if figures["lost"]:
        raise ClusterError(f"accepted documents are lost: {figures}")
    if figures["accepted"] < figures["documents"] / 2:
        raise ClusterError(f"too few documents were accepted to say that none is lost: {figures}")
    return figures | {"back_in_seconds": back}


def forbidden_edges_are_refused(world: World) -> Figures:
    """The network carries what services need, and nothing else."""
    kubernetes, engines = world.kubernetes, world.engines
    kubernetes.apply(
        world.pod("stranger", ["sleep", "3600"], {}),
        world.pod("caller", ["sleep", "3600"], {"may-call": "gateway"}),
    )
    try:
        kubernetes.kubectl("wait", "--for=condition=Ready", "pod/stranger", "pod/caller", "--timeout=90s")
        gateway, retriever = (f"{kubernetes.name(name)} 7700" for name in ("gateway", "retriever"))
        kafka, elasticsearch = engines.kafka.replace(":", " "), engines.elasticsearch.replace(":", " ")
        edges = [
            ("caller", gateway, True),
            ("gateway", retriever, True),
            ("retriever", elasticsearch, True),
            ("ingest-worker", kafka, True),
            ("stranger", gateway, False),
            ("stranger", retriever, False),
            ("caller", retriever, False),
            ("reranker", retriever, False),
            ("reranker", elasticsearch, False),
            ("embedder", kafka, False),
            ("gateway", kafka, False),
            ("retriever", f"{kubernetes.name('ingest-api')} 7700", False),
            ("ingest-worker", gateway, False),
        ]
        wrong = []
        for source, target, allowed in edges:
            pod = source if source in ("stranger", "caller") else kubernetes.pods(source)[0]
            said = kubernetes.execute(pod, "python", "-c", _CONNECTS, *target.split()).strip()
            if (said == "connected") is not allowed:
                wrong.append(f"{source} → {target}: {said}")
    finally:
        kubernetes.kubectl("delete", "pod", "stranger", "caller", "--ignore-not-found", "--wait=false")
    if wrong:
        raise ClusterError("; ".join(wrong))
    return {"allowed": sum(edge[2] for edge in edges), "refused": sum(not edge[2] for edge in edges)}


def metrics_are_emitted(world: World) -> Figures:
    """What only the cluster form measures is on its pods' metrics pages: dashboards and alerts count on it."""
    kubernetes, seen = world.kubernetes, set[str]()

    def all_seen() -> bool:
        for component in COMPONENTS:
            for pod in kubernetes.pods(component):
                page = kubernetes.execute(pod, "python", "-c", _METRICS)
                seen.update(line.split("{")[0].split(" ")[0] for line in page.splitlines() if not line.startswith("#"))
        return seen >= CLUSTER_ONLY

    with world.load(searches=4.0):
        try:
            wait_until("every metric was on a page", all_seen, 60)
        except ClusterError:
            raise ClusterError(f"no pod emits {sorted(CLUSTER_ONLY - seen)}") from None
    return {"metrics": len({name.removesuffix("_bucket") for name in seen if name.startswith("headwater_")})}


def upgrade_and_roll_back(world: World) -> Figures:
    """An upgrade that changes a setting is rolled back, under constant load: no request fails."""
    kubernetes = world.kubernetes

    def asks_for(component: str) -> str:
        pod = kubernetes.get("pod", kubernetes.pods(component)[0])
        variables = {each["name"]: each.get("value", "") for each in pod["spec"]["containers"][0]["env"]}
        return variables.get("HEADWATER_GATEWAY_ASK_K", "default")

    world.upgrade()
    before = asks_for("gateway")
    with world.load() as figures:
        upgrade = world.upgrade("--set", "gateway.settings.ask_k=10")
        kubernetes.wait_settled("gateway")
        during = asks_for("gateway")
        began = time.monotonic()
        kubernetes.helm("rollback", kubernetes.release, "--wait", "--timeout", "420s")
        kubernetes.wait_settled(*COMPONENTS)
        back = time.monotonic() - began
    if (during, asks_for("gateway")) != ("10", before):
        raise ClusterError(f"the setting was {before}, then {during}, then {asks_for('gateway')}")
    return _without_failures(figures | {"upgrade_seconds": round(upgrade, 1), "rollback_seconds": round(back, 1)})


def manifests_of_every_scenario_are_accepted(world: World) -> Figures:
    """The API server accepts what each scenario of the chart renders, custom resources included (dry run)."""
    kubernetes, accepted = world.kubernetes, {}
    added = [file for file in definitions.files() if not kubernetes.has_definition(file.stem.rpartition("_")[2])]
    for file in added:
        kubernetes.kubectl("apply", "--server-side", "--filename", str(file))
    wait_until("definitions are established", kubernetes.definitions_established, 60)
    version = json.loads(kubernetes.kubectl("version", "--output", "json"))["serverVersion"]["gitVersion"]
    for file in sorted((CHART / "scenarios").glob("*.yaml")):
        rendered = kubernetes.helm(
            "template", "dry-run", str(CHART), "--values", str(file), "--kube-version", version.lstrip("v")
        )
        said = kubernetes.kubectl("apply", "--dry-run=server", "--filename", "-", stdin=rendered)
        accepted[file.stem] = len(said.splitlines())
    for file in added:
        kubernetes.kubectl("delete", "--filename", str(file))
    return {"objects": accepted}


def uninstall(world: World) -> Figures:
    """Nothing of the release is left."""
    kubernetes = world.kubernetes
    began = time.monotonic()
    kubernetes.helm("uninstall", kubernetes.release, "--wait", "--timeout", "180s")
    kinds = (
        "deployments,pods,services,configmaps,secrets,jobs,networkpolicies,serviceaccounts,roles,rolebindings,pdb,hpa"
    )
    selector = ("--selector", f"app.kubernetes.io/instance={kubernetes.release}")

    def left() -> list[str]:
        return kubernetes.kubectl("get", kinds, *selector, "--output", "name").split()

    wait_until("nothing is left", lambda: not left(), 120)
    return {"seconds": round(time.monotonic() - began, 1)}


def _without_failures(figures: Figures) -> Figures:
    if figures["failed"] or figures["lost"]:
        raise ClusterError(f"requests failed or documents were lost: {figures}")
    return figures


SCENARIOS: Final[tuple[Scenario, ...]] = (
    manifests_of_every_scenario_are_accepted,
    install,
    pods_are_restricted,
    ingest_and_ask,
    forbidden_edges_are_refused,
    scale_each_service,
    load_alone,
    roll_under_load,
    change_image_under_load,
    delete_every_pod,
    metrics_are_emitted,
    upgrade_and_roll_back,
    uninstall,
)
