"""Writes helm/dashboards/*.json, Grafana's dashboards: ``python -m scripts.make_dashboards``.

``tests/helm`` fails when the files differ from what this writes, and when a query names a metric or label that no
service emits.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from scripts.dashboard_panels import DASHBOARDS, Panel

FOLDER: Final = Path(__file__).resolve().parents[1] / "helm" / "dashboards"
ALL_COLUMNS: Final = 24
HEIGHT: Final = 8


def dashboard(name: str) -> dict[str, Any]:
    """One dashboard in Grafana's JSON model (schema 39, Grafana 10 and later)."""
    title, panels = DASHBOARDS[name]
    return {
        "uid": f"headwater-{name}",
        "title": title,
        "tags": ["headwater"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "links": [
            {"title": "Headwater", "type": "dashboards", "tags": ["headwater"], "asDropdown": True, "keepTime": True}
        ],
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "namespace",
                    "label": "Namespace",
                    "type": "query",
                    "datasource": {"type": "prometheus", "uid": "$datasource"},
                    "query": {"query": "label_values(headwater_process_memory_bytes, namespace)", "refId": "namespace"},
                    "refresh": 2,
                    "multi": False,
                    "includeAll": False,
                },
            ]
        },
        "panels": placed(panels),
    }


def placed(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    """Panels in rows, left to right."""
    result, x, y = [], 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > ALL_COLUMNS:
            x, y = 0, y + HEIGHT
        result.append(drawn(panel, number, x, y))
        x += panel.width
    return result


def drawn(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """A panel in Grafana's words."""
    source = {"type": "prometheus", "uid": "$datasource"}
    custom = {"fillOpacity": 20, "stacking": {"mode": "normal"}} if panel.stacked else {"fillOpacity": 5}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": HEIGHT},
        "datasource": source,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, **({"custom": custom} if panel.kind == "timeseries" else {})},
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": source,
                "expr": expression.replace("$S", 'namespace="$namespace"'),
                "legendFormat": legend,
            }
            for index, (expression, legend) in enumerate(panel.queries)
        ],
    }


def text(name: str) -> str:
    """What the file of a dashboard holds."""
    return json.dumps(dashboard(name), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Writes every file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
