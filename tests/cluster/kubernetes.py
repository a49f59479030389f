"""kubectl and helm, and the one release that is tested."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "helm"
COMPONENTS: Final = ("gateway", "retriever", "reranker", "embedder", "ingest-api", "ingest-worker")
READY_SECONDS: Final = 420.0


class ClusterError(AssertionError):
    """A command failed or something was not as it should be; the message says what was seen."""


def wait_until(what: str, condition: Callable[[], bool], seconds: float) -> float:
    """Polls until a condition holds and returns the seconds that took. Raises ClusterError."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise ClusterError(f"not after {seconds:.0f} s: {what}")
        time.sleep(0.25)
    return time.monotonic() - began


def run(command: Sequence[str], *, stdin: str | None = None, seconds: float = 120.0) -> str:
    """Runs a program and returns its output. Raises ClusterError with the end of its complaint."""
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds)
    except FileNotFoundError:
        raise ClusterError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{' '.join(command[:6])} took longer than {seconds:.0f} s") from None
    if done.returncode:
        raise ClusterError(f"{' '.join(command[:8])}: {(done.stderr or done.stdout).strip()[-1500:]}")
    return done.stdout


def helm() -> str:
    """Path of helm: ``HELM``, the installed one, or the pinned one of the project, built when it is missing."""
    named = os.environ.get("HELM") or shutil.which("helm")
    return named or str(Path(run([str(ROOT / "scripts" / "helm_tools.sh")], seconds=1800).split()[0]) / "helm")


@dataclass(frozen=True)
class Kubernetes:
    """A namespace of a cluster, and the release in it."""

    namespace: str
    release: str
    helm_program: str
    kubectl_program: str = os.environ.get("KUBECTL", "kubectl")

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 120.0) -> str:
        """kubectl in the namespace."""
        return run([self.kubectl_program, "--namespace", self.namespace, *arguments], stdin=stdin, seconds=seconds)

    def helm(self, *arguments: str, seconds: float = 900.0) -> str:
        """helm in the namespace."""
        return run([self.helm_program, "--namespace", self.namespace, *arguments], seconds=seconds)

    def get(self, *arguments: str) -> Any:
        """Objects as JSON."""
        return json.loads(self.kubectl("get", *arguments, "--output", "json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        """Creates or changes objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(listed))

    def has_definition(self, plural: str) -> bool:
        """Whether the cluster knows a custom resource."""
        known = self.kubectl("get", "crd", "--output", "name").split()
        return any(name.startswith(f"customresourcedefinition.apiextensions.k8s.io/{plural}.") for name in known)

    def definitions_established(self) -> bool:
        """Whether every definition that the cluster was given is in force."""
        found = self.get("crd")["items"]
        conditions = [each.get("status", {}).get("conditions", ()) for each in found]
        return all(any(c["type"] == "Established" and c["status"] == "True" for c in each) for each in conditions)

    def name(self, component: str) -> str:
        """Name of a component's Deployment and Service."""
        return f"{self.release}-{component}"

    def selector(self, component: str) -> str:
        """Label selector of a component's pods."""
        return f"app.kubernetes.io/instance={self.release},app.kubernetes.io/component={component}"

    def pods(self, component: str) -> list[str]:
        """Names of a component's pods that are not being deleted."""
        found = self.get("pods", "--selector", self.selector(component))["items"]
        return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def is_settled(self, component: str) -> bool:
        """Whether the Deployment's wanted pods, and no others, exist, are of its newest template and are ready."""
        found = self.get("deployment", self.name(component))
        wanted, status = found["spec"]["replicas"], found["status"]
        # The Deployment's own count of ready pods lags behind a pod that was just deleted: the pods are asked.
        pods = self.get("pods", "--selector", self.selector(component))["items"]
        ready = [
            condition["status"] == "True"
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
            for condition in pod.get("status", {}).get("conditions", ())
            if condition["type"] == "Ready"
        ]
        return (
            status.get("observedGeneration", 0) >= found["metadata"]["generation"]
            and status.get("updatedReplicas", 0) == status.get("replicas", 0) == wanted == len(pods) == len(ready)
            and all(ready)
        )

    def wait_settled(self, *components: str, seconds: float = READY_SECONDS) -> float:
        """Waits for all of them; seconds it took."""
        began = time.monotonic()
        for component in components:
            left = seconds - (time.monotonic() - began)
            try:
                wait_until(f"{component} is settled", lambda component=component: self.is_settled(component), left)
            except ClusterError as error:
                raise ClusterError(f"{error}\n{self.explain(component)}") from None
        return time.monotonic() - began

    def explain(self, component: str) -> str:
        """Pods of a component and the end of their logs: why it is not ready."""
        said = [self.kubectl("get", "pods", "--selector", self.selector(component), "--output", "wide")]
        for pod in self.pods(component)[:3]:
            try:
                said.append(self.kubectl("logs", pod, "--all-containers", "--tail", "5")[-1500:])
            except ClusterError as error:
                said.append(str(error)[-600:])
        return "\n".join(said)

    def execute(self, pod: str, *command: str, seconds: float = 60.0) -> str:
        """Runs a program in a pod."""
        return self.kubectl("exec", pod, "--", *command, seconds=seconds)

    @contextmanager
    def forwarded(self, service: str, port: int) -> Iterator[str]:
        """A local address of one pod of a Service."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            local = probe.getsockname()[1]
        command = [self.kubectl_program, "--namespace", self.namespace, "port-forward", f"service/{service}"]
        process = subprocess.Popen(
            [*command, f"{local}:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            wait_until(f"port {port} of {service} is forwarded", lambda: _listens(local), 30)
            yield f"127.0.0.1:{local}"
        finally:
            process.terminate()
            process.wait(10)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
