"""Writes docs/configuration.md from the settings classes; ``--check`` only says whether it is up to date.

python scripts/configuration_table.py [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from docstring_parser import parse_from_object
from docstring_parser.common import DocstringStyle
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from chassis.settings import ServiceSettings
from embedder.settings import EmbedderSettings
from gateway.settings import GatewaySettings
from ingest.settings import IngestSettings
from reranker.settings import RerankerSettings
from retriever.settings import RetrieverSettings

TARGET = Path(__file__).parents[1] / "docs" / "configuration.md"
SERVICES: tuple[type[ServiceSettings], ...] = (
    GatewaySettings,
    RetrieverSettings,
    RerankerSettings,
    EmbedderSettings,
    IngestSettings,
)

_INTRODUCTION = """# Configuration

This page is written by `make configuration` from the settings classes; `make check` fails when it is out of date.

A setting comes from the first of:

1. `HEADWATER_<SERVICE>_<SETTING>` in the environment,
2. `HEADWATER_<SETTING>` in the environment, for all services,
3. a file `<service>_<setting>` or `<setting>` in the directory `HEADWATER_SECRETS_DIR`, one value each,
4. the table `[<service>]`, then `[common]`, of the TOML file that `HEADWATER_CONFIG` names.

Settings of a server are nested: `HEADWATER_KAFKA__BOOTSTRAP_SERVERS`, a file `kafka__bootstrap_servers`, or a table
`[common.kafka]`. Secrets belong in files. A name that no service knows is refused at the start (exit code 78).
`python -m <service> --print-config` prints what a service would use, secrets redacted.

`HEADWATER_PROFILE` is the one switch between the two forms of Headwater: `embedded` keeps everything in
`HEADWATER_DATA_DIR`, `cluster` needs the servers below. `headwater admin init` creates what has to be on them,
`headwater admin check` names what differs, and services refuse to start while anything does. Both commands refuse any
profile but `cluster` (exit code 2).
"""


def render() -> str:
    """The whole page."""
    parts = [_INTRODUCTION, "## Every service\n", _table("HEADWATER_", _rows(ServiceSettings, "HEADWATER_"))]
    endpoints: dict[str, tuple[type[BaseModel], list[str]]] = {}
    for cls in SERVICES:
        own = {name: field for name, field in cls.model_fields.items() if name not in ServiceSettings.model_fields}
        for name, field in list(own.items()):
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                endpoints.setdefault(name, (field.annotation, []))[1].append(cls.service_name)
                del own[name]
        prefix = f"HEADWATER_{cls.service_name.upper()}_"
        rows = [row for row in _rows(cls, prefix) if row[0] in own]
        parts += [f"## {cls.service_name.capitalize()}\n", _table(prefix, rows)]
    parts.append("## Servers of the cluster profile\n")
    for name, (model, users) in sorted(endpoints.items()):
        prefix = f"HEADWATER_{name.upper()}__"
        parts += [f"### {name.capitalize()}\n", f"Read by: {', '.join(users)}.\n", _table(prefix, _rows(model, prefix))]
    return "\n".join(parts)


def _rows(cls: type[BaseModel], prefix: str) -> list[tuple[str, str, str, str]]:
    described = _descriptions(cls)
    missing = cls.model_fields.keys() - described.keys()
    if missing:
        raise SystemExit(f"{cls.__name__}: no description of {', '.join(sorted(missing))}")
    return [(name, _type(field), _default(field), described[name]) for name, field in cls.model_fields.items()]


def _table(prefix: str, rows: list[tuple[str, str, str, str]]) -> str:
    lines = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, kind, default, meaning in rows:
        lines.append(f"| `{prefix}{name.upper()}` | {kind} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _descriptions(cls: type[BaseModel]) -> dict[str, str]:
    found: dict[str, str] = {}
    for parent in reversed(cls.__mro__):
        if not (isinstance(parent, type) and issubclass(parent, BaseModel) and parent.__doc__):
            continue
        for item in parse_from_object(parent, style=DocstringStyle.GOOGLE).params:
            text = " ".join((item.description or "").split()).replace("``", "`").replace("|", "\\|")
            for name in item.arg_name.split(","):
                for field in _matching(cls, name.strip()):
                    found[field] = text
    return found


def _matching(cls: type[BaseModel], name: str) -> Iterator[str]:
    if name.endswith("*"):
        yield from (field for field in cls.model_fields if field.startswith(name[:-1]))
    else:
        yield name


def _type(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        return " \\| ".join(f"`{value}`" for value in get_args(kind))
    members = [member for member in get_args(kind) if member is not type(None)]
    if members and get_origin(kind) is not dict:
        kind = members[0]
    names = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path", SecretStr: "secret"}
    return names.get(kind, "table")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = ""
    return "" if value in (None, "", {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    page = render()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(page, encoding="utf-8")
    elif not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != page:
        sys.exit("docs/configuration.md is out of date: run 'make configuration' and commit it")
