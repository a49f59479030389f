"""Decides how a caller proves who he is, the same for both edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from chassis.addresses import is_loopback
from chassis.errors import Unauthenticated
from chassis.identity import Caller
from gateway.auth.bearer import BearerTokens
from gateway.auth.development import development_caller

_SCHEME: Final = "bearer "


class EdgeAuthenticator:
    """Authenticates callers from outside.

    Args:
        tokens: Verifies bearer tokens; None where no issuer is configured.
        development: Whether callers without a token may name themselves. Only for edges that are bound to loopback.
    """

    def __init__(self, tokens: BearerTokens | None, *, development: bool) -> None:
        self._tokens = tokens
        self._development = development

    async def authenticate(self, metadata: Mapping[str, str | bytes]) -> Caller:
        """The caller of an RPC. In development the server is bound to loopback, so its peer is local. Raises
        Unauthenticated."""
        texts = {key: (value,) for key, value in metadata.items() if isinstance(value, str)}
        return await self.identify(texts, peer_host="127.0.0.1" if self._development else "")

    async def identify(self, metadata: Mapping[str, Sequence[str]], *, peer_host: str) -> Caller:
        """The caller that a request's metadata or headers prove.

        Args:
            metadata: Values by lower-case key.
            peer_host: Address of the other end of the connection; "" where it is not known.

        Raises:
            Unauthenticated: Nothing proves who calls. A bad token is refused even where none would be needed.
        """
        credentials = metadata.get("authorization", ())
        if len(credentials) > 1:
            raise Unauthenticated("The call carries more than one identity.", reason="AMBIGUOUS_IDENTITY")
        if self._tokens is not None and credentials:
            return await self._tokens.verify(_token(credentials[0]))
        if self._development and is_loopback(peer_host):
            # OpenAI clients always send some key: without an issuer it proves nothing and is not looked at.
            return development_caller(metadata)
        raise Unauthenticated(
            "This call needs a bearer token in the authorization header.", reason="MISSING_CREDENTIALS"
        )


def _token(credentials: str) -> str:
    if credentials[: len(_SCHEME)].lower() != _SCHEME:
        raise Unauthenticated("The authorization must be a bearer token.", reason="MISSING_CREDENTIALS")
    return credentials[len(_SCHEME) :].strip()
