"""``python -m tests.cluster [--only NAME,…] [--keep]``: runs the scenarios and prints a table and one JSON object.

Environment: ``KUBECONFIG``; ``IMAGE_LOAD``, a command that takes an image tar (or ``PUSH=1`` with ``REGISTRY``);
``BASE``, ``TAG``, ``HELM``, ``KUBECTL``, ``HOST``, ``HEADWATER_TEST_…``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from eval.golden_set import load_golden_set
from scripts import images
from tests.cluster import engines
from tests.cluster.kubernetes import ClusterError, Kubernetes, helm
from tests.cluster.scenarios import SCENARIOS
from tests.cluster.world import World
from tests.servers.native import ServerUnavailableError

NAMESPACE = "headwater-test"


def main() -> int:
    """Exit code 0 when every scenario held."""
    parser = argparse.ArgumentParser(prog="tests.cluster", description=__doc__)
    parser.add_argument("--only", default="", help="scenarios, by the names of their functions, separated by commas")
    parser.add_argument("--keep", action="store_true", help="leave the namespace as it is at the end")
    parser.add_argument("--no-images", action="store_true", help="the cluster has them already")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    wanted = set(filter(None, options.only.split(",")))
    if unknown := wanted - {scenario.__name__ for scenario in SCENARIOS}:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    kubernetes = Kubernetes(NAMESPACE, "headwater", helm())
    names = {"registry": os.environ.get("REGISTRY", "localhost"), "tag": os.environ.get("TAG", "0.1.0")}
    load, push = os.environ.get("IMAGE_LOAD") or None, bool(os.environ.get("PUSH"))
    results: dict[str, Any] = {}
    if not options.no_images:
        _images(names, load, push)
    with tempfile.TemporaryDirectory(prefix="headwater-cluster-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)  # the servers' data lies below, and one of them runs as somebody else
        with engines.running(Path(folder)) as found:
            world = World(kubernetes, found, names, Path(folder), load_golden_set(), load, push)
            _prepare(world)
            for scenario in SCENARIOS:
                if not wanted or scenario.__name__ in wanted:
                    results[scenario.__name__] = _result_of(scenario, world)
            if not options.keep:
                kubernetes.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    _report(results, options.json)
    return 0 if results and all(result["held"] for result in results.values()) else 1


def _images(names: dict[str, str], load: str | None, push: bool) -> None:
    arguments = ["--registry", names["registry"], "--tag", names["tag"], "--check"]
    arguments += ["--base", os.environ["BASE"]] if os.environ.get("BASE") else []
    arguments += ["--load", load] if load else []
    images.main([*images.RELEASE, *arguments, *(["--push"] if push else [])])


def _prepare(world: World) -> None:
    """A namespace that enforces the restricted standard, with the credentials in it."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    world.kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
    world.secrets()


def _result_of(scenario: Any, world: World) -> dict[str, Any]:
    sys.stdout.write(f"{scenario.__name__} … ")
    sys.stdout.flush()
    began = time.monotonic()
    try:
        result = {"held": True, **scenario(world)}
    except (ClusterError, ServerUnavailableError, SystemExit) as error:
        result = {"held": False, "problem": str(error)}
    result["took_seconds"] = round(time.monotonic() - began, 1)
    sys.stdout.write(f"{'held' if result['held'] else 'FAILED'} after {result['took_seconds']:.0f} s\n")
    for key, value in result.items():
        if key not in ("held", "took_seconds"):
            sys.stdout.write(f"    {key}: {value}\n")
    sys.stdout.flush()
    return result


def _report(results: dict[str, Any], file: Path | None) -> None:
    sys.stdout.write(f"\n{'scenario':44} {'held':6} {'seconds':>8} {'requests':>9} {'failed':>7}\n")
    for name, result in results.items():
        requests = result.get("searches", 0) + result.get("documents", 0) if "searches" in result else ""
        sys.stdout.write(
            f"{name:44} {'yes' if result['held'] else 'NO':6} {result['took_seconds']:8.1f} {requests!s:>9} "
            f"{result.get('failed', '')!s:>7}\n"
        )
    text = json.dumps(results, indent=1, ensure_ascii=False)
    sys.stdout.write(text + "\n")
    if file:
        file.write_text(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
