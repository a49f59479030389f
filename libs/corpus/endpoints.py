"""Where the stores of the cluster profile are, and how to be let in. See ``chassis.endpoints``."""

from __future__ import annotations

from pydantic import Field, SecretStr

from chassis.endpoints import Endpoint


class WeaviateEndpoint(Endpoint):
    """A Weaviate cluster.

    Attributes:
        http: ``host:port`` of its REST API.
        grpc: ``host:port`` of its gRPC API.
        secure: Whether both are served over TLS.
        api_key: API key.
        prefix: Of every collection name.
        replicas: Replication factor of collections that are created here.
    """

    http: str = ""
    grpc: str = ""
    secure: bool = False
    api_key: SecretStr = SecretStr("")
    prefix: str = Field(default="Headwater", pattern=r"^[A-Z][A-Za-z0-9]{0,30}$")
    replicas: int = Field(default=1, ge=1)
