"""Writes JSON schemas for kubeconform, ``<kind>-<group>-<version>.json`` in one directory, from what Kubernetes and the
authors of custom resources publish.

Strict, as a server with field validation: objects whose fields are known accept no others.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

Schema = dict[str, Any]

_REFERENCE: Final = "#/definitions/"
_METADATA: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_SPECIAL: Final[Mapping[str, Schema]] = {
    # What the API says of these two, which is that they are strings, is not what it accepts.
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}


def of_kubernetes(openapi: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    """The schema of every kind in Kubernetes' own OpenAPI document, by file name."""
    definitions = openapi["definitions"]
    for definition in definitions.values():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            if len(definition["x-kubernetes-group-version-kind"]) > 1:
                break  # what deletes or watches any kind; nobody writes such objects down
            needed: dict[str, Schema] = {}
            root = _closed(definition, needed, definitions)
            root["properties"] |= {
                "apiVersion": {"enum": [f"{kind['group']}/{kind['version']}".lstrip("/")]},
                "kind": {"enum": [kind["kind"]]},
            }
            yield _file(kind["kind"], kind["group"], kind["version"]), {**root, "definitions": needed}


def of_custom_resources(definition: Mapping[str, Any], openapi: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    """The schema of every served version of a CustomResourceDefinition, by file name."""
    spec = definition["spec"]
    for version in spec["versions"]:
        needed: dict[str, Schema] = {}
        root = _closed(version["schema"]["openAPIV3Schema"], needed, {})
        metadata = {"$ref": _REFERENCE + _METADATA}
        root["properties"]["metadata"] = _closed(metadata, needed, openapi["definitions"])
        kind, group = spec["names"]["kind"], spec["group"]
        root["properties"] |= {"apiVersion": {"enum": [f"{group}/{version['name']}"]}, "kind": {"enum": [kind]}}
        yield _file(kind, group, version["name"]), {**root, "definitions": needed}


def _closed(node: Mapping[str, Any], needed: dict[str, Schema], definitions: Mapping[str, Any]) -> Schema:
    """A node without prose, closed where its fields are known; what it refers to is added to ``needed``."""
    if reference := node.get("$ref"):
        name = reference.removeprefix(_REFERENCE)
        if name not in needed:
            needed[name] = {}  # first, for types that contain themselves
            needed[name] |= dict(_SPECIAL.get(name) or _closed(definitions[name], needed, definitions))
        return {"$ref": reference}
    kept: Schema = {
        key: node[key] for key in ("type", "enum", "required", "pattern", "minimum", "maximum") if key in node
    }
    if node.get("x-kubernetes-int-or-string"):
        kept = {"type": ["string", "integer"]}
    if "items" in node:
        kept["items"] = _closed(node["items"], needed, definitions)
    if "properties" in node:
        kept["properties"] = {name: _closed(child, needed, definitions) for name, child in node["properties"].items()}
        kept["additionalProperties"] = bool(node.get("x-kubernetes-preserve-unknown-fields"))
    elif isinstance(more := node.get("additionalProperties"), dict):
        kept["additionalProperties"] = _closed(more, needed, definitions)
    return kept


def _file(kind: str, group: str, version: str) -> str:
    # As kubeconform's template {{.ResourceKind}}{{.KindSuffix}} names them: of a group, only the first word.
    parts = [kind.lower(), *([group.split(".")[0]] if group else []), version]
    return "-".join(parts) + ".json"


def main() -> int:
    """Writes them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts.helm_crd_schemas", description=__doc__)
    parser.add_argument("target", type=Path, help="directory of the schemas")
    parser.add_argument("--openapi", type=Path, required=True, help="Kubernetes' swagger.json")
    parser.add_argument("--crds", type=Path, nargs="+", required=True, help="CustomResourceDefinitions, YAML")
    arguments = parser.parse_args()
    openapi = json.loads(arguments.openapi.read_text(encoding="utf-8"))
    schemas = dict(of_kubernetes(openapi))
    for file in arguments.crds:
        for definition in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            schemas |= dict(of_custom_resources(definition, openapi)) if definition else {}
    for name, schema in schemas.items():
        (arguments.target / name).write_text(json.dumps(schema), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
