"""Identity keys as Kubernetes secrets, against a server that keeps secrets as the API does."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from chassis.key_secrets import NamespaceSecrets, SecretsError, fill, main
from chassis.tokens import InternalTokenVerifier, TokenMinter, jwks_file, private_key_file, service_caller

NAMES = ("hw-gateway", "hw-ingest", "hw-jwks")


class Api:
    """Secrets of the namespace "rag", with resource versions and merge patches."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, str]] = {name: {} for name in NAMES}
        self.versions = dict.fromkeys(NAMES, 1)
        self.writes: list[str] = []
        self.url = ""

    def content(self, name: str, key: str) -> bytes:
        return base64.b64decode(self.secrets[name][key])

    def answer(self, method: str, path: str, token: str | None, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        prefix, _, name = path.rpartition("/")
        if token != "Bearer pod-token":
            return 401, {}
        if prefix != "/api/v1/namespaces/rag/secrets" or name not in self.secrets:
            return 404, {}
        if method == "PATCH":
            if body["metadata"]["resourceVersion"] != str(self.versions[name]):
                return 409, {}
            self.secrets[name].update(body["data"])
            self.versions[name] += 1
            self.writes.append(name)
        # An empty secret has no "data" at all.
        data = {"data": self.secrets[name]} if self.secrets[name] else {}
        return 200, {"metadata": {"resourceVersion": str(self.versions[name])}, **data}


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(size) or b"{}")
            status, answer = api.answer(self.command, self.path, self.headers.get("authorization"), body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PATCH = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as api:
        yield api


@pytest.fixture
def account(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("pod-token\n")
    (tmp_path / "namespace").write_text("rag")
    return tmp_path


def verified_issuer(api: Api, issuer: str, folder: Path) -> str:
    """Who a token proves to come from that is signed with the secret's key and checked with the published ones."""
    folder.mkdir(mode=0o700, exist_ok=True)
    private_key_file(folder, issuer).write_bytes(api.content(f"hw-{issuer}", f"{issuer}.private.pem"))
    private_key_file(folder, issuer).chmod(0o600)
    jwks_file(folder).write_bytes(api.content("hw-jwks", "jwks.json"))
    token = TokenMinter(private_key_file(folder, issuer), issuer).mint(service_caller(issuer, "acme"))
    return InternalTokenVerifier(jwks_file(folder), {issuer}).verify(token).issuer


def test_empty_secrets_are_filled_with_keys_that_verify_each_other(api: Api, account: Path, tmp_path: Path) -> None:
    assert fill(NamespaceSecrets(api.url, account), "hw", ["gateway", "ingest"]) == ["gateway", "ingest"]
    for issuer in ("gateway", "ingest"):
        assert verified_issuer(api, issuer, tmp_path / issuer) == issuer


def test_public_keys_are_published_before_anybody_can_sign(api: Api, account: Path) -> None:
    fill(NamespaceSecrets(api.url, account), "hw", ["gateway", "ingest"])
    assert api.writes[0] == "hw-jwks"


def test_keys_that_are_there_stay_as_they_are(api: Api, account: Path) -> None:
    secrets = NamespaceSecrets(api.url, account)
    fill(secrets, "hw", ["gateway", "ingest"])
    before = json.dumps(api.secrets)
    api.writes.clear()
    assert fill(secrets, "hw", ["gateway", "ingest"]) == []
    assert (json.dumps(api.secrets), api.writes) == (before, [])


def test_a_removed_key_is_replaced_and_what_the_old_one_signed_can_still_be_verified(
    api: Api, account: Path, tmp_path: Path
) -> None:
    secrets = NamespaceSecrets(api.url, account)
    fill(secrets, "hw", ["gateway", "ingest"])
    verified_issuer(api, "gateway", tmp_path / "old")
    signed = TokenMinter(private_key_file(tmp_path / "old", "gateway"), "gateway").mint(
        service_caller("gateway", "acme")
    )
    api.secrets["hw-gateway"].clear()
    assert fill(secrets, "hw", ["gateway", "ingest"]) == ["gateway"]
    assert verified_issuer(api, "gateway", tmp_path / "new") == "gateway"
    assert InternalTokenVerifier(jwks_file(tmp_path / "new"), {"gateway"}).verify(signed).issuer == "gateway"


def test_a_secret_that_changed_in_between_is_not_overwritten(api: Api, account: Path) -> None:
    secrets = NamespaceSecrets(api.url, account)
    read = secrets.get("hw-gateway")
    secrets.put("hw-gateway", "gateway.private.pem", b"theirs", read.version)
    with pytest.raises(SecretsError, match="hw-gateway: the API answers 409"):
        secrets.put("hw-gateway", "gateway.private.pem", b"ours", read.version)
    assert api.content("hw-gateway", "gateway.private.pem") == b"theirs"


def test_the_command_says_what_it_could_not_do_and_fails(
    api: Api, account: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--api", api.url, "--account", str(account), "--issuers", "gateway"]
    assert main([*command, "--prefix", "other"]) == 1
    assert "secret other-gateway: the API answers 404" in capsys.readouterr().err
    assert main([*command, "--prefix", "hw"]) == 0
    assert capsys.readouterr().out == "new keys: gateway\n"
