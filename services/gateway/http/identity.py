"""Who calls over HTTP."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from chassis.addresses import is_loopback
from chassis.errors import PermissionDenied
from chassis.identity import Caller
from gateway.auth.authenticator import EdgeAuthenticator


class HttpIdentity:
    """Finds the caller of a request.

    Args:
        authenticator: The same one as gRPC's.
        development: Whether callers may name themselves. Then pages of other sites must be kept out, since a browser
        on this machine
            sends their requests to loopback too.
    """

    def __init__(self, authenticator: EdgeAuthenticator, *, development: bool) -> None:
        self._authenticator = authenticator
        self._development = development

    async def caller(self, request: Request) -> Caller:
        """The verified caller. Raises Unauthenticated, PermissionDenied."""
        if self._development:
            _refuse_other_sites(request)
        metadata: dict[str, list[str]] = {}
        for name, value in request.headers.items():
            metadata.setdefault(name, []).append(value)
        peer = request.client.host if request.client else ""
        return await self._authenticator.identify(metadata, peer_host=peer)


async def identify(request: Request) -> Caller:
    """FastAPI dependency: the verified caller."""
    identity: HttpIdentity = request.app.state.identity
    return await identity.caller(request)


CallerOf = Annotated[Caller, Depends(identify)]


def _refuse_other_sites(request: Request) -> None:
    # The name in Host also stops a foreign name that was made to resolve to loopback (DNS rebinding).
    hosts = [urlsplit(f"//{request.headers.get('host', '')}").hostname]
    origin = request.headers.get("origin")
    if origin is not None:
        hosts.append(urlsplit(origin).hostname)
    if not all(host is not None and is_loopback(host) for host in hosts):
        raise PermissionDenied(
            "In development, only requests of this machine's own programs are taken.", reason="FOREIGN_ORIGIN"
        )
