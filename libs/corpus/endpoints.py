"""Where the stores of the cluster profile are, and how to be let in. See ``chassis.endpoints``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from chassis.endpoints import Endpoint


class ElasticsearchEndpoint(Endpoint):
    """An Elasticsearch cluster.

    Attributes:
        url: ``http://host:port`` or ``https://…``; several, separated by commas.
        api_key: Encoded API key.
        ca_file: PEM file of the authority that signed its certificate; None for the system's.
        prefix: Of every index name, so that several installations may share a cluster.
        shards, replicas: Of indexes that are created here.
    """

    url: str = ""
    api_key: SecretStr = SecretStr("")
    ca_file: Path | None = None
    prefix: str = Field(default="headwater", pattern=r"^[a-z][a-z0-9-]{0,30}$")
    shards: int = Field(default=1, ge=1)
    replicas: int = Field(default=1, ge=0)


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
