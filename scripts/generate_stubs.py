"""Generates the protobuf stubs of the SDK from protos/, with type information. Running it twice changes nothing."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
OUT = ROOT / "sdk"


def main() -> int:
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    for stale in OUT.rglob("*_pb2*"):
        stale.unlink()
    well_known = str(files("grpc_tools").joinpath("_proto"))
    status: int = protoc.main(
        [
            "protoc",
            f"-I{PROTOS}",
            f"-I{well_known}",
            f"--python_out={OUT}",
            f"--grpc_python_out={OUT}",
            f"--mypy_out=quiet:{OUT}",
            f"--mypy_grpc_out=quiet:{OUT}",
            *sources,
        ]
    )
    for source in sources:
        for folder in (OUT / source).parents:
            if folder == OUT or folder == OUT / "headwater":
                break
            (folder / "__init__.py").touch()
    return status


if __name__ == "__main__":
    sys.exit(main())
