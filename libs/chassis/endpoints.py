"""Where the servers of the cluster profile are, and how to be let in.

Nested settings: ``HEADWATER_KAFKA__BOOTSTRAP_SERVERS`` in the environment, a file ``kafka__bootstrap_servers`` in the
secrets directory, or the table ``[common.kafka]`` of the configuration file.

TLS is used where a CA file is named or the URL says https; certificates are always verified.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

ENDPOINTS: Final = ("elasticsearch", "kafka", "redis", "s3", "weaviate")
"""Names of the settings below; a service that doesn't need one ignores what all services are told about it."""


class Endpoint(BaseModel):
    """What the endpoints share: unknown keys are refused, nothing changes after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaEndpoint(Endpoint):
    """A Kafka cluster.

    Attributes:
        bootstrap_servers: ``host:port,host:port``.
        security_protocol: As Kafka names it.
        username, password: For SASL.
        sasl_mechanism: For SASL.
        ca_file: PEM file of the authority that signed the brokers' certificates; None for the system's.
        replication_factor: Of topics that are created here.
        prefix: Of every topic and group name, so that several installations may share a cluster.
    """

    bootstrap_servers: str = ""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str = ""
    password: SecretStr = SecretStr("")
    ca_file: Path | None = None
    replication_factor: int = Field(default=3, ge=1)
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,60}$")


class RedisEndpoint(Endpoint):
    """A Redis server.

    Attributes:
        url: ``redis://host:port/db``, ``rediss://`` for TLS; without credentials.
        username, password: For AUTH.
        ca_file: PEM file of the authority that signed its certificate; None for the system's.
    """

    url: str = Field(default="", pattern=r"^[^@]*$")
    username: str = ""
    password: SecretStr = SecretStr("")
    ca_file: Path | None = None


class S3Endpoint(Endpoint):
    """An S3-compatible object store.

    Attributes:
        location: ``s3://bucket/prefix``.
        url: Its endpoint; empty for Amazon's own.
        region: Its region.
        access_key_id, secret_access_key: Static credentials; empty for those of the machine (role, environment).
        ca_file: PEM file of the authority that signed its certificate; None for the system's.
    """

    location: str = Field(default="", pattern=r"^(s3://[^/]+(/.*)?)?$")
    url: str = ""
    region: str = "us-east-1"
    access_key_id: SecretStr = SecretStr("")
    secret_access_key: SecretStr = SecretStr("")
    ca_file: Path | None = None


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
