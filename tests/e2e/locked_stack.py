"""A stack as it would run for real users: no development identity, callers prove themselves with an issuer's tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from tests.e2e.installation import settings

from headwater import Client
from headwater.cli import stack

ISSUER, AUDIENCE = "https://issuer.example", "headwater"
API_KEY = "canary-api-key-7731"
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True)
class Locked:
    """The running stack, and its issuer's key."""

    data: Path
    endpoints: stack.Endpoints
    key: ec.EllipticCurvePrivateKey

    @property
    def url(self) -> str:
        return f"http://{self.endpoints.gateway_http}"

    def token(self, subject: str = "ann", **claims: Any) -> str:
        said = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": int(time.time()) + 300,
            "sub": subject,
            "tenant": "acme",
            "scope": "read write admin",
            **claims,
        }
        return jwt.encode(said, self.key, algorithm="ES256", headers={"kid": "k1"})

    def client(self, subject: str = "ann", **claims: Any) -> Client:
        return Client(self.endpoints.grpc["gateway"], token=self.token(subject, **claims))


@contextmanager
def locked_stack(data: Path, more: Mapping[str, str] = NOTHING) -> Iterator[Locked]:
    """Starts it on free ports. Its generator is a language model that does not answer; ``more``: further settings."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = jwt.get_algorithm_by_name("ES256").to_jwk(key.public_key(), as_dict=True)
    jwks = data / "issuer.json"
    jwks.write_text(json.dumps({"keys": [{**public, "kid": "k1", "use": "sig"}]}))
    environment = {
        **settings(),
        "HEADWATER_DEVELOPMENT": "false",
        "HEADWATER_GATEWAY_JWT_ISSUER": ISSUER,
        "HEADWATER_GATEWAY_JWT_AUDIENCE": AUDIENCE,
        "HEADWATER_GATEWAY_JWT_JWKS": str(jwks),
        "HEADWATER_GATEWAY_GENERATOR": "openai",
        "HEADWATER_GATEWAY_OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "HEADWATER_GATEWAY_OPENAI_MODEL": "none",
        "HEADWATER_GATEWAY_OPENAI_API_KEY": API_KEY,
        "HEADWATER_GATEWAY_OPENAI_ATTEMPTS": "1",
        **more,
    }
    try:
        yield Locked(data, stack.start(data / "stack", port_base=0, environment=environment), key)
    finally:
        stack.stop(data / "stack")
