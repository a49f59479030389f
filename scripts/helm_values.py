"""Writes helm/values.schema.json, and the tables of helm/README.md from it and helm/values.yaml.

    python -m scripts.helm_values            write both
    python -m scripts.helm_values --check    exit code 1 when one is out of date

The schema is closed at every level, so a misspelt value fails. What a service can be told under `settings` comes from
its settings class.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from scripts.helm_schema import chart, workloads
from scripts.helm_schema_parts import Schema, closed

from chassis.settings import ServiceSettings
from embedder.settings import EmbedderSettings
from gateway.settings import GatewaySettings
from ingest.settings import IngestSettings
from reranker.settings import RerankerSettings
from retriever.settings import RetrieverSettings

CHART: Final = Path(__file__).resolve().parents[1] / "helm"
Row = tuple[str, str, str, str]
"""Path, type, default and meaning."""
BEGIN, END = "<!-- values: begin, written by make helm-values -->", "<!-- values: end -->"
SETTINGS: Final[Mapping[str, type[ServiceSettings]]] = {
    "gateway": GatewaySettings,
    "retriever": RetrieverSettings,
    "reranker": RerankerSettings,
    "embedder": EmbedderSettings,
    "ingest": IngestSettings,
}
SHARED_BUT_PER_SERVICE: Final = {"max_in_flight", "trace_content"}
CHART_KNOWS: Final = {
    # Values of their own stand for these, or there is one right answer in a cluster.
    *(name for name in ServiceSettings.model_fields if name not in SHARED_BUT_PER_SERVICE),
    *(f"{service}_target" for service in SETTINGS),
    *("kafka", "elasticsearch", "weaviate", "redis", "s3"),
    *("answers_file", "http_listen", "jwt_issuer", "jwt_audience", "jwt_jwks"),
    *("generator", "openai_base_url", "openai_model", "openai_api_key", "role", "embedding_model", "serve"),
    *("openai_second_base_url", "openai_second_model", "openai_second_api_key"),
    *("vault_keys", "pseudonym_key"),
}
SHOWN_WHOLE: Final = {"settings", "resources", "headResources"}
WORKLOADS: Final = ("gateway", "retriever", "reranker", "embedder", "ingest.api", "ingest.worker")


def schema() -> Schema:
    """The schema of values.yaml."""
    return chart({name: _settings(cls) for name, cls in SETTINGS.items()})


def _settings(cls: type[ServiceSettings]) -> Schema:
    fields = {name: _plain(field) for name, field in cls.model_json_schema()["properties"].items()}
    definitions = cls.model_json_schema().get("$defs", {})
    for name, field in fields.items():
        if reference := field.pop("$ref", None):
            fields[name] = _plain(definitions[reference.rpartition("/")[2]])
    wanted = {name: field for name, field in fields.items() if name not in CHART_KNOWS}
    return closed(f"Settings of the {cls.service_name}, as docs/configuration.md explains them.", **wanted)


def _plain(field: Mapping[str, Any]) -> Schema:
    return {key: value for key, value in field.items() if key not in ("title", "default", "description")}


def rows(node: Schema, default: Any, path: str = "") -> Iterator[tuple[str, str, Any, str]]:
    """Each value that can be set: its path, type, default and description."""
    for name, child in node["properties"].items():
        here = f"{path}.{name}".lstrip(".")
        value = default.get(name) if isinstance(default, dict) else None
        if name in SHOWN_WHOLE or "properties" not in child:
            yield here, _type(child), value, child["description"]
        else:
            yield from rows(child, value, here)


def _type(node: Schema) -> str:
    if "enum" in node:
        return " \\| ".join(f"`{choice}`" for choice in node["enum"])
    kinds = {"string": "text", "boolean": "true or false", "array": "list", "object": "mapping"}
    kind = node["type"]
    return kinds.get(kind, kind) if isinstance(kind, str) else "text or number"


def tables() -> str:
    """The tables of the README."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    found = list(rows(schema(), values))
    common = set(workloads())
    special: list[Row] = []
    shared: dict[str, tuple[str, str, dict[str, Any]]] = {}
    for path, kind, value, description in found:
        owner = next((each for each in WORKLOADS if path.startswith(f"{each}.")), None)
        name = path.removeprefix(f"{owner}.")
        if owner and name.split(".")[0] in common:
            known = shared.setdefault(name, (kind, description, {}))
            known[2][owner] = value
        else:
            special.append((path, kind, _shown(value), description))
    everywhere = [
        (f"<workload>.{name}", kind, _shown_by_owner(by_owner), description)
        for name, (kind, description, by_owner) in shared.items()
    ]
    named = ", ".join(f"`{name}`" for name in WORKLOADS)
    return "\n".join([*_table(special), "", f"The same for each workload ({named}):", "", *_table(everywhere)])


def _shown_by_owner(values: Mapping[str, Any]) -> str:
    different = {json.dumps(value) for value in values.values()}
    if len(different) == 1:
        return _shown(next(iter(values.values())))
    return "<br>".join(f"{owner}: {_shown(value)}" for owner, value in values.items())


def _shown(value: Any) -> str:
    return "" if value in ("", None) else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _table(lines: list[Row]) -> list[str]:
    return [
        "| value | type | default | meaning |",
        "| --- | --- | --- | --- |",
        *(f"| `{path}` | {kind} | {value} | {description} |" for path, kind, value, description in lines),
    ]


def readme() -> str:
    """The README with current tables."""
    text = (CHART / "README.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def main() -> int:
    """Writes, or checks; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts.helm_values", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail when a file is out of date")
    check = parser.parse_args().check
    stale = []
    for file, wanted in (("values.schema.json", json.dumps(schema(), indent=1) + "\n"), ("README.md", readme())):
        path = CHART / file
        if path.exists() and path.read_text(encoding="utf-8") == wanted:
            continue
        stale.append(f"helm/{file}")
        if not check:
            path.write_text(wanted, encoding="utf-8")
    if stale and check:
        sys.stderr.write(f"out of date, run make helm-values: {', '.join(stale)}\n")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
