"""Definitions of the custom resources that the chart can render, as their authors publish them."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Final

from tests.cluster.kubernetes import ROOT, ClusterError, run

_MODULES: Final = {
    "keda": "github.com/kedacore/keda/v2",
    "kuberay": "github.com/ray-project/kuberay/ray-operator",
    "prometheus_operator": "github.com/prometheus-operator/prometheus-operator",
}
_FILES: Final = {
    "keda": ("config/crd/bases/keda.sh_scaledobjects.yaml", "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    "kuberay": ("config/crd/bases/ray.io_rayservices.yaml",),
    "prometheus_operator": (
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
}


def files() -> list[Path]:
    """Files of definitions, from Go's module cache, at the versions that the chart is checked against. Raises
    ClusterError."""
    pinned = dict(re.findall(r"(\w+)=(v[\d.]+)", (ROOT / "scripts" / "helm_tools.sh").read_text()))
    found = []
    with tempfile.TemporaryDirectory() as outside_of_any_module:
        for name, module in _MODULES.items():
            command = ["go", "-C", outside_of_any_module, "mod", "download", "-json", f"{module}@{pinned[name]}"]
            folder = Path(json.loads(run(command, seconds=600))["Dir"])
            found += [folder / file for file in _FILES[name]]
    if missing := [file for file in found if not file.is_file()]:
        raise ClusterError(f"not published where it was: {missing}")
    return found
