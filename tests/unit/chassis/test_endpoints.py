"""Credentials never travel where they could be read."""

from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from chassis.addresses import keeps_secrets
from chassis.endpoints import (
    ElasticsearchEndpoint,
    Endpoint,
    KafkaEndpoint,
    RedisEndpoint,
    S3Endpoint,
    WeaviateEndpoint,
)
from chassis.settings import ConfigurationError, ServiceSettings, read_settings

SECRET = "hunter2"


class IngestSettings(ServiceSettings):
    service_name: ClassVar[str] = "ingest"

    kafka: KafkaEndpoint = KafkaEndpoint()
    elasticsearch: ElasticsearchEndpoint = ElasticsearchEndpoint()
    weaviate: WeaviateEndpoint = WeaviateEndpoint()
    redis: RedisEndpoint = RedisEndpoint()


def refusal(cls: type[Endpoint], **values: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        cls(**values)
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://example.com", True),
        ("http://example.com", False),
        ("http://127.0.0.1:9200", True),
        ("http://[::1]:9200", True),
        ("http://localhost", True),
        ("HTTPS://example.com", True),
        ("http://127.0.0.1@example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost.example.com", False),
        ("http://10.0.0.1", False),
        ("http://0.0.0.0", False),
        ("http:///nowhere", False),
        ("example.com:9200", False),
        ("ftp://example.com", False),
        ("", False),
    ],
)
def test_only_encryption_or_this_machine_keeps_a_secret(url: str, kept: bool) -> None:
    assert keeps_secrets(url) is kept


@pytest.mark.parametrize(
    "url",
    [
        "http://search:9200",
        "https://a:9200,http://b:9200",
        "http://127.0.0.1:9200, http://search:9200",
        "https://a:9200,",
        "search:9200",
    ],
)
def test_an_elasticsearch_key_is_refused_where_any_url_is_not_encrypted(url: str) -> None:
    assert "HEADWATER_ELASTICSEARCH__URL" in refusal(ElasticsearchEndpoint, url=url, api_key=SECRET)
    assert ElasticsearchEndpoint(url=url).url == url


@pytest.mark.parametrize("url", ["https://a:9200,https://b:9200", "http://127.0.0.1:9200", "http://localhost:9200", ""])
def test_an_elasticsearch_key_is_taken_for_https_and_loopback(url: str) -> None:
    assert ElasticsearchEndpoint(url=url, api_key=SECRET).api_key.get_secret_value() == SECRET


def test_credentials_in_a_url_are_refused_and_not_shown() -> None:
    refusal(ElasticsearchEndpoint, url=f"https://user:{SECRET}@search:9200")
    refusal(RedisEndpoint, url=f"rediss://user:{SECRET}@cache:6379/0")
    refusal(RedisEndpoint, url=f"redis://cache:6379/0?password={SECRET}")


def test_options_in_redis_s_url_can_not_turn_verification_off() -> None:
    refusal(RedisEndpoint, url="rediss://cache:6379/0?ssl_cert_reqs=none", password=SECRET)


@pytest.mark.parametrize(
    ("http", "grpc"),
    [("weaviate:8080", "weaviate:50051"), ("127.0.0.1:8080", "weaviate:50051"), ("weaviate:8080", "[::1]:50051")],
)
def test_a_weaviate_key_is_refused_where_either_address_is_not_encrypted(http: str, grpc: str) -> None:
    assert "HEADWATER_WEAVIATE__SECURE" in refusal(WeaviateEndpoint, http=http, grpc=grpc, api_key=SECRET)
    assert not WeaviateEndpoint(http=http, grpc=grpc).secure
    assert WeaviateEndpoint(http=http, grpc=grpc, secure=True, api_key=SECRET).secure


@pytest.mark.parametrize(("http", "grpc"), [("127.0.0.1:8080", "localhost:50051"), ("[::1]:80", "[::1]:81"), ("", "")])
def test_a_weaviate_key_is_taken_on_loopback(http: str, grpc: str) -> None:
    assert not WeaviateEndpoint(http=http, grpc=grpc, api_key=SECRET).secure


@pytest.mark.parametrize("url", ["redis://cache:6379/0", "REDIS://cache:6379", "redis:///0", "cache:6379"])
def test_a_redis_password_is_refused_without_encryption(url: str) -> None:
    assert "HEADWATER_REDIS__URL" in refusal(RedisEndpoint, url=url, username="me", password=SECRET)
    assert RedisEndpoint(url=url, username="me").url == url


@pytest.mark.parametrize("url", ["rediss://cache:6379/0", "redis://127.0.0.1:6379/0", "unix:///run/redis.sock", ""])
def test_a_redis_password_is_taken_for_rediss_and_this_machine(url: str) -> None:
    assert RedisEndpoint(url=url, password=SECRET).password.get_secret_value() == SECRET


def test_a_redis_password_is_taken_where_a_ca_file_means_encryption(tmp_path) -> None:
    endpoint = RedisEndpoint(url="redis://cache:6379/0", password=SECRET, ca_file=tmp_path / "ca.pem")
    assert endpoint.password.get_secret_value() == SECRET


@pytest.mark.parametrize("servers", ["broker:9092", "127.0.0.1:9092,broker:9092"])
def test_kafka_s_plain_mechanism_is_refused_without_encryption(servers: str) -> None:
    told = {"bootstrap_servers": servers, "username": "me", "password": SECRET}
    message = refusal(KafkaEndpoint, **told, security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN")
    assert "HEADWATER_KAFKA__SECURITY_PROTOCOL" in message
    for protocol, mechanism in (("SASL_SSL", "PLAIN"), ("SASL_PLAINTEXT", "SCRAM-SHA-512")):
        KafkaEndpoint(**told, security_protocol=protocol, sasl_mechanism=mechanism)


def test_kafka_s_plain_mechanism_is_taken_on_loopback() -> None:
    KafkaEndpoint(
        bootstrap_servers="127.0.0.1:9092,localhost:9093",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        password=SECRET,
    )


def test_s3_keys_are_taken_without_encryption_because_requests_are_signed() -> None:
    S3Endpoint(location="s3://b", url="http://s3:9000", access_key_id="id", secret_access_key=SECRET)


@pytest.mark.parametrize(
    ("address", "secret", "setting"),
    [
        ("ELASTICSEARCH__URL=http://search:9200", "elasticsearch__api_key", "HEADWATER_ELASTICSEARCH__URL"),
        ("WEAVIATE__HTTP=weaviate:8080", "weaviate__api_key", "HEADWATER_WEAVIATE__SECURE"),
        ("REDIS__URL=redis://cache:6379/0", "redis__password", "HEADWATER_REDIS__URL"),
    ],
)
def test_a_service_names_the_setting_and_not_the_secret(
    address: str, secret: str, setting: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, value = address.partition("=")
    monkeypatch.setenv(f"HEADWATER_{name}", value)
    (tmp_path / secret).write_text(SECRET)
    monkeypatch.setenv("HEADWATER_SECRETS_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match=setting) as caught:
        read_settings(IngestSettings)
    assert SECRET not in str(caught.value)
