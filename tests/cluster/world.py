"""What the scenarios share: the release's values, who calls it, and load on it."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eval.golden_set import GoldenSet
from tests.cluster.engines import Engines
from tests.cluster.kubernetes import CHART, READY_SECONDS, ClusterError, Kubernetes, wait_until
from tests.servers.addresses import S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY

from headwater import AsyncClient

HERE: Final = Path(__file__).resolve().parent
ISSUER: Final = "https://cluster.test"
AUDIENCE: Final = "headwater"
KEY_ID: Final = "cluster-test"
GROUPS: Final = ("engineering", "finance", "hr", "sales", "security", "support")


@dataclass
class World:
    """One run."""

    kubernetes: Kubernetes
    engines: Engines
    images: dict[str, str]
    folder: Path
    golden: GoldenSet
    load_command: str | None = None
    push: bool = False
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    runs: int = 0

    @property
    def values_file(self) -> Path:
        """Values of this run, above those of ``values.yaml``."""
        egress = {"to": [{"ipBlock": {"cidr": f"{self.engines.host}/32"}}]}
        engines = self.engines
        content = {
            "image": self.images,
            "kafka": {"bootstrapServers": engines.kafka, "egress": egress},
            "elasticsearch": {"url": f"http://{engines.elasticsearch}", "egress": egress},
            "weaviate": {"http": engines.weaviate_http, "grpc": engines.weaviate_grpc, "egress": egress},
            "redis": {"url": f"redis://{engines.redis}/0", "egress": egress},
            "s3": {"url": f"http://{engines.s3}", "egress": egress},
            "gateway": {"auth": {"issuer": ISSUER, "audience": AUDIENCE, "jwks": self.jwks()}},
        }
        file = self.folder / "values.yaml"
        file.write_text(yaml.safe_dump(content))
        return file

    def jwks(self) -> str:
        """Public key of the issuer of callers' tokens."""
        x = base64.urlsafe_b64encode(self.key.public_key().public_bytes_raw()).rstrip(b"=").decode()
        return json.dumps(
            {"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": KEY_ID, "x": x}]}
        )

    def token(self, groups: tuple[str, ...] = ()) -> str:
        """A caller's token."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "cluster-test",
            "iat": now,
            "exp": now + 4 * 3600,
            "tenant": self.golden.tenant,
            "groups": list(groups),
            "scope": "read write admin",
        }
        return jwt.encode(claims, self.key, algorithm="EdDSA", headers={"kid": KEY_ID})

    def upgrade(self, *arguments: str) -> float:
        """Installs or upgrades the release and waits until it is ready; seconds it took."""
        began = time.monotonic()
        files = ("--values", str(HERE / "values.yaml"), "--values", str(self.values_file))
        self.kubernetes.helm(
            *("upgrade", "--install", self.kubernetes.release, str(CHART), *files, *arguments),
            *("--wait", "--timeout", f"{READY_SECONDS:.0f}s"),
        )
        return time.monotonic() - began

    @contextmanager
    def gateway(self) -> Iterator[str]:
        """A local address of the gateway's Service."""
        with self.kubernetes.forwarded(self.kubernetes.name("gateway"), 7700) as target:
            yield target

    def call(self, work: Any, groups: tuple[str, ...] = ()) -> Any:
        """Runs ``work(client)`` over a connection to the gateway's Service."""
        with self.gateway() as target:

            async def connected() -> Any:
                async with AsyncClient(target, token=self.token(groups)) as client:
                    return await work(client)

            return asyncio.run(connected())

    def secrets(self) -> None:
        """Credentials that the chart takes from Secrets of yours."""
        data = {"access-key-id": S3_ACCESS_KEY_ID, "secret-access-key": S3_SECRET_ACCESS_KEY}
        metadata = {"name": "s3-credentials", "labels": {"cluster-test": "yes"}}
        self.kubernetes.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})

    def pod(self, name: str, command: list[str], labels: Mapping[str, str], **environment: str) -> dict[str, Any]:
        """A pod of the admin image, which has Python and the SDK, as restricted as the release's own."""
        registry, tag = self.images["registry"], self.images["tag"]
        container = {
            "name": "main",
            "image": f"{registry}/headwater-admin:{tag}",
            "imagePullPolicy": "IfNotPresent",
            "command": command,
            "env": [{"name": key, "value": value} for key, value in environment.items()],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "load", "mountPath": "/load"}],
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"cluster-test": "yes", **labels}},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "automountServiceAccountToken": False,
                "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [container],
                "volumes": [
                    {"name": "tmp", "emptyDir": {}},
                    {"name": "load", "configMap": {"name": "load", "optional": True}},
                ],
            },
        }

    @contextmanager
    def load(self, *, searches: float = 2.0, documents: float = 0.5) -> Iterator[dict[str, Any]]:
        """Constant load from a pod while the block runs; the yielded mapping holds its figures afterwards."""
        self.runs += 1
        name, kubernetes, figures = f"load-{self.runs}", self.kubernetes, dict[str, Any]()
        script = (HERE / "load.py").read_text()
        kubernetes.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "load"}, "data": {"load.py": script}},
            self.pod(
                name,
                ["python", "/load/load.py"],
                {"may-call": "gateway"},
                TARGET=f"dns:///{kubernetes.name('gateway')}:7700",
                TOKEN=self.token(GROUPS),
                RUN=f"run{self.runs}-{int(time.time())}",
                SEARCHES_PER_SECOND=str(searches),
                DOCUMENTS_PER_SECOND=str(documents),
            ),
        )

        def said(word: str) -> bool:
            phase = kubernetes.get("pod", name)["status"]["phase"]
            if phase == "Failed":
                raise ClusterError(f"the load ended: {kubernetes.kubectl('logs', name)[-1500:]}")
            return phase in ("Running", "Succeeded") and word in kubernetes.kubectl("logs", name)

        try:
            wait_until("the load has started", lambda: said("started"), 120)
            yield figures
            kubernetes.execute(name, "touch", "/tmp/stop")
            wait_until("the load has counted", lambda: said("figures "), 400)
            line = next(each for each in kubernetes.kubectl("logs", name).splitlines() if each.startswith("figures "))
            figures.update(json.loads(line.removeprefix("figures ")))
        finally:
            kubernetes.kubectl("delete", "pod", name, "--ignore-not-found", "--wait=false")
