"""Where the servers of the cluster profile are, and how to be let in.

Nested settings: ``HEADWATER_KAFKA__BOOTSTRAP_SERVERS`` in the environment, a file ``kafka__bootstrap_servers`` in the
secrets directory, or the table ``[common.kafka]`` of the configuration file.

TLS is used where a CA file is named or the URL says https; certificates are always verified. A credential that would
be readable on the way (no TLS, and not loopback) is refused together with the address that it would be sent to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from chassis.addresses import keeps_secrets

ENDPOINTS: Final = ("elasticsearch", "kafka", "redis", "s3", "weaviate")
"""Names of the settings below; a service that doesn't need one ignores what all services are told about it."""


class Endpoint(BaseModel):
    """What the endpoints share: unknown keys are refused, nothing changes after the start."""

    # What is refused may be refused for its secret, which a message must not show.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class KafkaEndpoint(Endpoint):
    """A Kafka cluster.

    Attributes:
        bootstrap_servers: ``host:port,host:port``.
        security_protocol: As Kafka names it.
        username, password: For SASL.
        sasl_mechanism: For SASL. PLAIN sends the password itself and asks for SASL_SSL, except on loopback; SCRAM
            proves that it is known.
        ca_file: PEM file of the authority that signed the brokers' certificates; None for the system's.
        replication_factor: Of topics that are created here.
        prefix: Of every topic and group name, so that several installations may share a cluster.
        session_seconds: Without a heartbeat for so long a worker is taken for dead, and its partitions are given to
            others: longer than a slow change of leaders. The brokers' own bounds are 6 s and half an hour.
    """

    bootstrap_servers: str = ""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str = ""
    password: SecretStr = SecretStr("")
    ca_file: Path | None = None
    replication_factor: int = Field(default=3, ge=1)
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,60}$")
    session_seconds: float = Field(default=45.0, ge=6, le=1800)

    @model_validator(mode="after")
    def _keep_the_password(self) -> KafkaEndpoint:
        sent = self.security_protocol == "SASL_PLAINTEXT" and self.sasl_mechanism == "PLAIN"
        if sent and not _all_keep_secrets(*self.bootstrap_servers.split(",")):
            raise ValueError(
                "HEADWATER_KAFKA__SECURITY_PROTOCOL must be SASL_SSL, or HEADWATER_KAFKA__SASL_MECHANISM one of SCRAM: "
                "PLAIN would send the password unencrypted, which is accepted on loopback only"
            )
        return self


class RedisEndpoint(Endpoint):
    """A Redis server.

    Attributes:
        url: ``redis://host:port/db``, ``rediss://`` for TLS; without credentials or options.
        username, password: For AUTH. A password asks for TLS, except on loopback.
        ca_file: PEM file of the authority that signed its certificate; None for the system's.
    """

    url: str = Field(default="", pattern=r"^[^@?]*$")
    username: str = ""
    password: SecretStr = SecretStr("")
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _keep_the_password(self) -> RedisEndpoint:
        # With a CA file, redis:// is encrypted as well; a socket of this machine is nobody else's.
        local = not self.url or self.ca_file is not None or self.url.startswith("unix://")
        if self.password.get_secret_value() and not local and not keeps_secrets(self.url, "rediss"):
            raise ValueError(
                "HEADWATER_REDIS__URL must begin with rediss://: the password would be sent unencrypted, which is "
                "accepted on loopback only"
            )
        return self


class S3Endpoint(Endpoint):
    """An S3-compatible object store.

    Requests are signed and never carry the secret key, so http is no danger to it; documents are sent as they are.

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
        url: ``http://host:port`` or ``https://…``; several, separated by commas; without credentials.
        api_key: Encoded API key. It asks for https, except on loopback.
        ca_file: PEM file of the authority that signed its certificate; None for the system's.
        prefix: Of every index name, so that several installations may share a cluster.
        shards, replicas: Of indexes that are created here.
    """

    url: str = Field(default="", pattern=r"^[^@]*$")
    api_key: SecretStr = SecretStr("")
    ca_file: Path | None = None
    prefix: str = Field(default="headwater", pattern=r"^[a-z][a-z0-9-]{0,30}$")
    shards: int = Field(default=1, ge=1)
    replicas: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _keep_the_key(self) -> ElasticsearchEndpoint:
        sent = self.url and self.api_key.get_secret_value()
        if sent and not all(keeps_secrets(url) for url in self.url.split(",")):
            raise ValueError(
                "HEADWATER_ELASTICSEARCH__URL must begin with https:// everywhere: the API key would be sent "
                "unencrypted, which is accepted on loopback only"
            )
        return self


class WeaviateEndpoint(Endpoint):
    """A Weaviate cluster.

    Attributes:
        http: ``host:port`` of its REST API.
        grpc: ``host:port`` of its gRPC API.
        secure: Whether both are served over TLS.
        api_key: API key. It asks for ``secure``, except on loopback.
        prefix: Of every collection name.
        replicas: Replication factor of collections that are created here.
    """

    http: str = ""
    grpc: str = ""
    secure: bool = False
    api_key: SecretStr = SecretStr("")
    prefix: str = Field(default="Headwater", pattern=r"^[A-Z][A-Za-z0-9]{0,30}$")
    replicas: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _keep_the_key(self) -> WeaviateEndpoint:
        if self.api_key.get_secret_value() and not self.secure and not _all_keep_secrets(self.http, self.grpc):
            raise ValueError(
                "HEADWATER_WEAVIATE__SECURE must be true: the API key would be sent unencrypted, which is accepted on "
                "loopback only"
            )
        return self


def _all_keep_secrets(*addresses: str) -> bool:
    """Whether each ``host:port`` that is named at all is on loopback."""
    return all(keeps_secrets(f"//{address.strip()}") for address in addresses if address.strip())
