"""Who calls and where to: the options that commands share, and how they become a client."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from headwater.aio import AsyncClient
from headwater.cli.stack import DEFAULT_PORT_BASE, Endpoints
from headwater.client import Client
from headwater.types import Identity

DataOption = Annotated[
    Path, typer.Option("--data", envvar="HEADWATER_DATA_DIR", help="Data directory of the local stack.")
]
TargetOption = Annotated[
    str | None,
    typer.Option("--target", envvar="HEADWATER_TARGET", help="host:port of a gateway; default: the local stack's."),
]
TenantOption = Annotated[
    str, typer.Option("--tenant", envvar="HEADWATER_TENANT", help="Tenant (development identity only).")
]
UserOption = Annotated[str, typer.Option("--as-user", help="Ask as this user (development identity only).")]
GroupOption = Annotated[
    list[str] | None,
    typer.Option("--as-group", help="Ask as a member of this group; repeatable (development identity only)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

DEFAULT_DATA = Path(".headwater")


def target_of(target: str | None, data: Path) -> str:
    """The gateway's address: as given, else the local stack's, else the default port."""
    if target:
        return target
    endpoints = Endpoints.load(data)
    return endpoints.grpc["gateway"] if endpoints else f"127.0.0.1:{DEFAULT_PORT_BASE}"


def identity_of(tenant: str, user: str = "developer", groups: list[str] | None = None) -> Identity:
    """The development identity with these parts."""
    return Identity(tenant=tenant, subject=user, groups=tuple(groups or ()))


def has_token() -> bool:
    """Whether a bearer token takes the place of every development identity."""
    return bool(os.environ.get("HEADWATER_TOKEN"))


def connect(target: str | None, data: Path, identity: Identity) -> Client:
    """A blocking client. A bearer token in HEADWATER_TOKEN wins over the development identity."""
    token = os.environ.get("HEADWATER_TOKEN")
    return Client(target_of(target, data), token=token, identity=None if token else identity)


def connect_async(target: str | None, data: Path, identity: Identity) -> AsyncClient:
    """An asyncio client; see ``connect``."""
    token = os.environ.get("HEADWATER_TOKEN")
    return AsyncClient(target_of(target, data), token=token, identity=None if token else identity)
