"""Settings of services that read or write the stores."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from chassis.endpoints import ElasticsearchEndpoint, KafkaEndpoint, RedisEndpoint, S3Endpoint, WeaviateEndpoint
from chassis.settings import ServiceSettings, require_endpoints


class StoreSettings(ServiceSettings):
    """Where the stores of the cluster profile are; the embedded profile keeps everything in ``data_dir``.

    Attributes:
        kafka: The event log.
        elasticsearch: Lexical index, heads and records.
        weaviate: Vector index.
        redis: Cache that replicas share; without a URL each has one of its own.
    """

    required_endpoints: ClassVar[dict[str, tuple[str, ...]]] = {
        "kafka": ("bootstrap_servers",),
        "elasticsearch": ("url",),
        "weaviate": ("http", "grpc"),
    }
    """What the cluster profile can't do without: fields by endpoint."""

    kafka: KafkaEndpoint = KafkaEndpoint()
    elasticsearch: ElasticsearchEndpoint = ElasticsearchEndpoint()
    weaviate: WeaviateEndpoint = WeaviateEndpoint()
    redis: RedisEndpoint = RedisEndpoint()

    @model_validator(mode="after")
    def _name_the_servers_of_a_cluster(self) -> StoreSettings:
        require_endpoints(self, self.required_endpoints)
        return self


class WriterSettings(StoreSettings):
    """Of services that write as well.

    Attributes:
        s3: Where documents' bytes are.
    """

    required_endpoints: ClassVar[dict[str, tuple[str, ...]]] = {**StoreSettings.required_endpoints, "s3": ("location",)}

    s3: S3Endpoint = S3Endpoint()
