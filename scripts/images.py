r"""Builds the images, shows their sizes, proves that they run as they should, and hands them on.

    python -m scripts.images [--base IMAGE] [--registry PREFIX] [--tag TAG] [--check] \
        [--load COMMAND | --push] [TARGET …]

Needs docker (or podman: ``DOCKER=podman``), with or without BuildKit.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SERVICES: Final = ("gateway", "retriever", "ingest", "embedder", "reranker")
RELEASE: Final = (*SERVICES, "admin")
"""What the chart runs unless it is told to serve by Ray."""
TARGETS: Final = (*RELEASE, "ray")
PROGRAMS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    **{service: (("--print-config",), (f"{service}.main",)) for service in SERVICES},
    "admin": (("--help",), ("headwater.cli.app",)),
    "ray": (("--version",), ("embedder.serve_app", "reranker.serve_app", "embedder.proxy", "reranker.proxy")),
}
"""By target: arguments of its entry point that need nothing else, and its composition roots."""
DOCKER: Final = os.environ.get("DOCKER", "docker")
LAYERS: Final = {"/opt/headwater/model": "weights", "/opt/headwater/venv": "dependencies", "/opt/headwater/app": "code"}
"""Layers by the directory that their COPY names."""


@dataclass(frozen=True)
class Image:
    """A built image and the bytes of its parts."""

    name: str
    seconds: float
    total: int
    parts: dict[str, int]


def docker(*arguments: str) -> str:
    """Runs docker and returns what it printed. Raises SystemExit with its message."""
    done = subprocess.run([DOCKER, *arguments], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{DOCKER} {' '.join(arguments[:2])} failed:\n{(done.stderr or done.stdout)[-3000:]}")
    return done.stdout.strip()


def build(target: str, name: str, base: str | None, version: str) -> Image:
    """Builds one target under a name."""
    began = time.monotonic()
    arguments = ["--build-arg", f"VERSION={version}", *(("--build-arg", f"BASE={base}") if base else ())]
    network = os.environ.get("DOCKER_BUILD_NETWORK")
    docker("build", *(("--network", network) if network else ()), *arguments, "--target", target, "--tag", name, ".")
    return Image(name, time.monotonic() - began, *sizes(name))


def sizes(name: str) -> tuple[int, dict[str, int]]:
    """Bytes of an image, and of its parts."""
    parts = dict.fromkeys((*LAYERS.values(), "base"), 0)
    for line in docker("history", "--no-trunc", "--human=false", "--format", "{{json .}}", name).splitlines():
        layer = json.loads(line)
        words = layer["CreatedBy"].split()
        # The classic builder and BuildKit both end a COPY with its destination.
        place = next((word.rstrip("/") for word in reversed(words) if word.rstrip("/") in LAYERS), "")
        copied = "COPY" in words or "#(nop)" in words
        parts[LAYERS[place] if place and copied else "base"] += int(layer["Size"])
    return int(docker("image", "inspect", "--format", "{{.Size}}", name)), parts


def check(image: str, target: str) -> None:
    """Runs it as a cluster does: not root, read-only, without privileges or network; its settings must be readable.

    Raises SystemExit.
    """
    hardened = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    run = ["run", "--rm", "--network", "none", *hardened]
    if docker(*run, "--entrypoint", "id", image, "-u") == "0":
        raise SystemExit(f"{image} runs as root")
    arguments, modules = PROGRAMS[target]
    docker(*run, image, *arguments)
    # Imports everything that its composition root imports: a library that was forgotten is noticed here.
    docker(*run, "--entrypoint", "python", image, "-c", f"import {', '.join(modules)}")
    # Nothing that only a build needs, and no place but /tmp that could be written.
    leftovers = "command -v gcc cc make uv; find / -xdev -name .cache -not -path '/proc/*' 2>/dev/null"
    if found := docker(*run, "--entrypoint", "sh", image, "-c", f"{{ {leftovers}; }} || true"):
        raise SystemExit(f"{image} holds what only a build needs: {found}")


def hand_on(image: str, load: str | None, push: bool) -> None:
    """Gives an image to a cluster: through a command that takes a tar file, or through a registry."""
    if push:
        docker("push", image)
    if load:
        with tempfile.TemporaryDirectory() as folder:
            tar = Path(folder) / "image.tar"
            docker("save", "--output", str(tar), image)
            command = load.replace("{}", str(tar)) if "{}" in load else f"{load} {shlex.quote(str(tar))}"
            subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL)


def table(images: Sequence[Image]) -> str:
    """Sizes in megabytes."""
    columns = ("total", "base", "weights", "dependencies", "code")
    lines = [f"{'image':44} " + " ".join(f"{column:>12}" for column in columns) + f" {'built in':>9}"]
    for image in images:
        values = (image.total, *(image.parts[column] for column in columns[1:]))
        lines.append(
            f"{image.name:44} " + " ".join(f"{value / 1e6:9.0f} MB" for value in values) + f" {image.seconds:7.0f} s"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds what is asked for."""
    parser = argparse.ArgumentParser(prog="scripts.images", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("targets", nargs="*", default=TARGETS, metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--base", help="base image: Debian or Ubuntu, with or without Python")
    parser.add_argument("--registry", default="localhost", help="prefix of the names: REGISTRY/headwater-…")
    parser.add_argument("--tag", default="0.1.0")
    parser.add_argument("--check", action="store_true", help="run each as a cluster would")
    parser.add_argument("--load", metavar="COMMAND", help="command that takes a tar file; {} stands for it")
    parser.add_argument("--push", action="store_true", help="push to the registry")
    options = parser.parse_args(arguments)
    images = []
    for target in options.targets or TARGETS:
        if target not in TARGETS:
            parser.error(f"{target}: there is no such image")
        name = f"{options.registry}/headwater-{target}:{options.tag}"
        images.append(build(target, name, options.base, options.tag))
        if options.check:
            check(name, target)
        hand_on(name, options.load, options.push)
    print(table(images))
    return 0


if __name__ == "__main__":
    sys.exit(main())
