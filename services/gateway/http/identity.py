"""Who calls over HTTP."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request

from chassis.addresses import is_loopback
from chassis.errors import PermissionDenied
from chassis.identity import Caller
from gateway.auth.authenticator import EdgeAuthenticator

_SCOPE_KEY: Final = "headwater.caller"


class HttpIdentity:
    """Finds the caller of a request.

    Args:
        authenticator: The same one as gRPC's.
        development: Whether callers may name themselves. Then pages of other sites must be kept out, since a browser
            on this machine sends their requests to loopback too.
    """

    def __init__(self, authenticator: EdgeAuthenticator, *, development: bool) -> None:
        self._authenticator = authenticator
        self._development = development

    async def caller(self, request: Request) -> Caller:
        """The verified caller, found once per request. Raises Unauthenticated, PermissionDenied."""
        known = request.scope.get(_SCOPE_KEY)
        if not isinstance(known, Caller):
            known = request.scope[_SCOPE_KEY] = await self._find(request)
        return known

    async def _find(self, request: Request) -> Caller:
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
    # The name in Host also stops a foreign name that was made to resolve to loopback (DNS rebinding). Requests without
    # an Origin, such as for an image, say in Sec-Fetch-Site where they come from.
    named = [f"//{request.headers.get('host', '')}", *request.headers.getlist("origin")]
    foreign = "cross-site" in request.headers.getlist("sec-fetch-site")
    if foreign or not all(map(_is_local, named)):
        raise PermissionDenied(
            "In development, only requests of this machine's own programs are taken.", reason="FOREIGN_ORIGIN"
        )


def _is_local(url: str) -> bool:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host)
