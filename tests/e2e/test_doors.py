"""Every door of a stack without development mode: nobody enters without proof, and whoever knocks learns nothing."""

from __future__ import annotations

import base64
import json
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import jwt
import pytest
from google.protobuf.descriptor import ServiceDescriptor
from tests.e2e.locked_stack import Locked, locked_stack

from chassis.identity import Caller, Scope
from chassis.tokens import AUDIENCE, METADATA_KEY, TokenMinter, create_keys, private_key_file
from headwater.embedding.v1 import embedding_pb2
from headwater.gateway.v1 import costs_pb2, feedback_pb2, gateway_pb2
from headwater.ingest.v1 import (
    dead_letters_pb2,
    generations_pb2,
    ingest_pb2,
    privacy_pb2,
    reviews_pb2,
    stores_pb2,
    versions_pb2,
)
from headwater.rerank.v1 import rerank_pb2
from headwater.retrieval.v1 import retrieval_pb2

SERVICES: dict[str, ServiceDescriptor] = {
    "gateway": gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"],
    "retriever": retrieval_pb2.DESCRIPTOR.services_by_name["RetrievalService"],
    "ingest": ingest_pb2.DESCRIPTOR.services_by_name["IngestService"],
    "embedder": embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"],
    "reranker": rerank_pb2.DESCRIPTOR.services_by_name["RerankService"],
}
DEVELOPMENT = {"x-headwater-dev-tenant": "acme", "x-headwater-dev-subject": "ann", "x-headwater-dev-scopes": "admin"}
ANN = Caller("acme", "ann", scopes=frozenset(Scope))


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    with locked_stack(tmp_path_factory.mktemp("locked")) as running:
        with running.client() as client:
            client.create_tenant("acme")
        yield running


def knock(address: str, service: ServiceDescriptor, method: str, *metadata: tuple[str, str]) -> grpc.StatusCode:
    """Calls a method with an empty request, however it streams, and returns how that ended."""
    with grpc.insecure_channel(address) as channel:
        call = channel.stream_stream(f"/{service.full_name}/{method}")
        try:
            list(call(iter([b""]), metadata=metadata, timeout=10))
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


METHODS = [(name, method.name) for name, service in SERVICES.items() for method in service.methods]


@pytest.mark.parametrize(("service", "method"), METHODS)
def test_no_method_of_any_service_is_served_without_proof(locked: Locked, service: str, method: str) -> None:
    address, descriptor = locked.endpoints.grpc[service], SERVICES[service]
    for metadata in ([], list(DEVELOPMENT.items()), [("authorization", "Bearer nonsense")]):
        assert knock(address, descriptor, method, *metadata) is grpc.StatusCode.UNAUTHENTICATED


OPERATORS = [
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (dead_letters_pb2, "DeadLetterService"),
        (stores_pb2, "StoreService"),
        (versions_pb2, "VersionService"),
        (generations_pb2, "GenerationService"),
        (privacy_pb2, "PrivacyService"),
        (reviews_pb2, "ReviewService"),
    )
]


@pytest.mark.parametrize("service", OPERATORS, ids=lambda service: service.name)
@pytest.mark.parametrize("door", ["gateway", "ingest"])
def test_no_method_for_operators_is_served_without_proof(locked: Locked, door: str, service: ServiceDescriptor) -> None:
    for method in service.methods:
        for metadata in ([], list(DEVELOPMENT.items()), [("authorization", "Bearer nonsense")]):
            code = knock(locked.endpoints.grpc[door], service, method.name, *metadata)
            assert code is grpc.StatusCode.UNAUTHENTICATED, method.name


def test_no_method_for_feedback_is_served_without_proof(locked: Locked) -> None:
    service = feedback_pb2.DESCRIPTOR.services_by_name["FeedbackService"]
    for method in service.methods:
        for metadata in ([], list(DEVELOPMENT.items()), [("authorization", "Bearer nonsense")]):
            code = knock(locked.endpoints.grpc["gateway"], service, method.name, *metadata)
            assert code is grpc.StatusCode.UNAUTHENTICATED, method.name


def test_no_report_of_costs_is_served_without_proof(locked: Locked) -> None:
    service = costs_pb2.DESCRIPTOR.services_by_name["CostService"]
    for metadata in ([], list(DEVELOPMENT.items()), [("authorization", "Bearer nonsense")]):
        code = knock(locked.endpoints.grpc["gateway"], service, "GetCosts", *metadata)
        assert code is grpc.StatusCode.UNAUTHENTICATED


def routes(locked: Locked) -> list[tuple[str, str]]:
    paths = httpx.get(f"{locked.url}/openapi.json").json()["paths"]
    return [(verb.upper(), path) for path, verbs in paths.items() for verb in verbs]


def test_no_route_is_served_without_proof(locked: Locked) -> None:
    found = routes(locked)
    assert len(found) > 15
    for verb, path in found:
        for headers in ({}, DEVELOPMENT, {"authorization": "Bearer nonsense"}, {"authorization": "Basic YTpi"}):
            response = httpx.request(verb, locked.url + path.replace("{", "").replace("}", ""), headers=headers)
            assert response.status_code == 401, (verb, path)
            assert response.headers["www-authenticate"] == "Bearer"


def test_nobody_unknown_makes_the_gateway_read_a_body(locked: Locked) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b"[" * 65_536

    for path in ("/v1/documents/x/access", "/v1/documents/x", "/v1/ask"):
        sent = 0
        # That the connection is closed under the body says the same as the status.
        with suppress(httpx.HTTPError):
            assert httpx.request("PUT", locked.url + path, content=endless(), timeout=10).status_code == 401
        assert sent < 16 * 1024 * 1024


def test_large_and_deep_bodies_are_refused(locked: Locked) -> None:
    headers = {"authorization": f"Bearer {locked.token()}", "content-type": "application/json"}
    large = httpx.post(f"{locked.url}/v1/search", content=b" " * (1024 * 1024 + 1), headers=headers)
    assert (large.status_code, large.json()["reason"]) == (413, "BODY_TOO_LARGE")
    access = httpx.put(f"{locked.url}/v1/documents/x/access", content=b" " * (1024 * 1024 + 1), headers=headers)
    assert (access.status_code, access.json()["reason"]) == (413, "BODY_TOO_LARGE")
    for depth in (400, 100_000):
        nested = '{"query": "x", "filter": ' + '{"$not":' * depth + "{}" + "}" * depth + "}"
        deep = httpx.post(f"{locked.url}/v1/search", content=nested, headers=headers)
        assert deep.status_code == 400, depth
    metadata = "[" * 5_000
    put = httpx.put(f"{locked.url}/v1/documents/x", params={"metadata": metadata}, content=b"x", headers=headers)
    assert put.status_code == 400


def test_a_token_with_a_bottomless_header_is_just_a_bad_token(locked: Locked) -> None:
    header = base64.urlsafe_b64encode(b'{"alg":"ES256","kid":' + b"[" * 50_000 + b"]" * 50_000 + b"}").decode()
    bad = {"authorization": f"Bearer {header.rstrip('=')}.e30.AA"}
    assert httpx.get(f"{locked.url}/v1/documents", headers=bad).status_code == 401


def test_headers_cannot_be_smuggled_into_a_response(locked: Locked) -> None:
    headers = {"authorization": f"Bearer {locked.token()}"}
    response = httpx.get(f"{locked.url}/v1/documents/a%0d%0aset-cookie:%20a=b", headers=headers)
    assert response.status_code in (400, 404)
    assert "set-cookie" not in response.headers


def test_there_are_no_documentation_pages_and_no_cors(locked: Locked) -> None:
    for path in ("/docs", "/redoc", "/metrics"):
        assert httpx.get(locked.url + path).status_code == 404
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    preflight = httpx.options(f"{locked.url}/v1/ask", headers=asked)
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def unsigned(**more: Any) -> str:
    now = int(time.time())
    claims = {"iss": "gateway", "aud": AUDIENCE, "sub": "ann", "tenant": "acme", "iat": now, "exp": now + 60}
    return jwt.encode({**claims, "groups": [], "clearance": 9, "scopes": ["read"], **more}, "", algorithm="none")


@pytest.mark.parametrize("service", ["retriever", "ingest", "embedder", "reranker"])
def test_inner_services_refuse_tokens_that_are_not_the_gateway_s(locked: Locked, service: str, tmp_path: Path) -> None:
    keys = locked.data / "stack" / "keys"
    create_keys(tmp_path, ["gateway"])
    gateway = TokenMinter(private_key_file(keys, "gateway"), "gateway")
    refused = {
        "of another installation": TokenMinter(private_key_file(tmp_path, "gateway"), "gateway").mint(ANN),
        "expired": gateway.mint(ANN, ttl_seconds=-60),
        "unsigned": unsigned(),
        "an issuer's own": locked.token(),
        "of a service speaking as the gateway": TokenMinter(private_key_file(keys, "ingest"), "gateway").mint(ANN),
    }
    address, descriptor = locked.endpoints.grpc[service], SERVICES[service]
    method = descriptor.methods[0].name
    for why, token in refused.items():
        assert knock(address, descriptor, method, (METADATA_KEY, token)) is grpc.StatusCode.UNAUTHENTICATED, why
        assert knock(address, descriptor, method, ("authorization", f"Bearer {token}")) is (
            grpc.StatusCode.UNAUTHENTICATED
        ), why
    assert knock(address, descriptor, method, (METADATA_KEY, gateway.mint(ANN))) is not grpc.StatusCode.UNAUTHENTICATED


def test_the_gateway_takes_no_inner_token(locked: Locked) -> None:
    token = TokenMinter(private_key_file(locked.data / "stack" / "keys", "gateway"), "gateway").mint(ANN)
    for name in (METADATA_KEY, "authorization"):
        value = f"Bearer {token}" if name == "authorization" else token
        code = knock(locked.endpoints.grpc["gateway"], SERVICES["gateway"], "ListDocuments", (name, value))
        assert code is grpc.StatusCode.UNAUTHENTICATED


def test_reflection_is_off(locked: Locked) -> None:
    for address in locked.endpoints.grpc.values():
        with grpc.insecure_channel(address) as channel:
            call = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
            with pytest.raises(grpc.RpcError) as caught:
                list(call(iter([b""]), timeout=10))
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


def test_everything_in_the_data_directory_is_for_its_owner_only(locked: Locked) -> None:
    data = locked.data / "stack"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for key in (data / "keys").glob("*.pem"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    written_by_services = [*data.glob("*.sqlite*"), *data.glob("traces/*"), *data.glob("run/*")]
    assert written_by_services
    for file in written_by_services:
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_effective_settings_show_no_secret(locked: Locked) -> None:
    for log in (locked.data / "stack" / "logs").iterdir():
        for line in log.read_text().splitlines():
            assert "PRIVATE KEY" not in line
            json.loads(line)
