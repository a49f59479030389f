"""``python -m chassis.key_secrets --prefix NAME --issuers gateway,ingest``: identity keys as secrets of a Kubernetes
namespace.

Fills secrets that exist: ``NAME-<issuer>`` with ``<issuer>.private.pem``, ``NAME-jwks`` with ``jwks.json``. Keys that
are there stay; a private key that was removed is replaced by a new one. Public keys are published before the private
key they belong to, and those of replaced keys stay published until they are removed from ``NAME-jwks``: what running
services have signed can be verified while they are restarted one after another.

Needs the right to get and patch these secrets, no more. Idempotent, and safe to run twice at once: a write over
somebody else's fails. Exit code 0 or 1.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import ssl
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chassis.tokens import create_keys, jwks_file, private_key_file

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes gives a pod its token, the namespace it runs in, and the certificate of its API's authority."""
_SECONDS: Final = 10.0
_JWKS: Final = "jwks"


class SecretsError(RuntimeError):
    """A secret can't be read or written; the message names it."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What a secret holds, and which version of it."""

    data: Mapping[str, bytes]
    version: str


class NamespaceSecrets:
    """Secrets of one namespace, through the Kubernetes API.

    Args:
        url: Of the API, ``https://host:port``.
        account: Directory with ``token``, ``namespace`` and, where the URL is https, ``ca.crt``.
    """

    def __init__(self, url: str, account: Path = SERVICE_ACCOUNT) -> None:
        namespace = (account / "namespace").read_text(encoding="utf-8").strip()
        self._base = f"{url}/api/v1/namespaces/{namespace}/secrets"
        self._token = (account / "token").read_text(encoding="utf-8").strip()
        # Proxies are for the web: the API is in the same cluster.
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if url.startswith("https://"):
            context = ssl.create_default_context(cafile=str(account / "ca.crt"))
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, name: str) -> Secret:
        """Raises SecretsError."""
        found = self._request("GET", name)
        data = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
        return Secret(data, found["metadata"]["resourceVersion"])

    def put(self, name: str, key: str, value: bytes, version: str) -> None:
        """Sets one entry of the version that was read. Raises SecretsError, also when it has changed since."""
        self._request(
            "PATCH",
            name,
            {"metadata": {"resourceVersion": version}, "data": {key: base64.b64encode(value).decode()}},
        )

    def _request(self, method: str, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the address is Kubernetes' own
            f"{self._base}/{name}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"authorization": f"Bearer {self._token}", "content-type": "application/merge-patch+json"},
        )
        try:
            with self._opener.open(request, timeout=_SECONDS) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            raise SecretsError(f"{method} of secret {name}: the API answers {error.code} {error.reason}") from None
        except OSError as error:
            raise SecretsError(f"{method} of secret {name}: the API can't be reached ({error})") from None


def fill(secrets: NamespaceSecrets, prefix: str, issuers: Sequence[str]) -> list[str]:
    """Makes and publishes the keys that are missing; returns the issuers that got a new one. Raises SecretsError."""
    held = {issuer: secrets.get(f"{prefix}-{issuer}") for issuer in issuers}
    public = secrets.get(f"{prefix}-{_JWKS}")
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder)
        for issuer, secret in held.items():
            if pem := secret.data.get(private_key_file(keys, issuer).name):
                _write(private_key_file(keys, issuer), pem)
        create_keys(keys, issuers)
        published = public.data.get(jwks_file(keys).name, b"")
        wanted = _joined(jwks_file(keys).read_bytes(), published)
        if wanted != published:
            secrets.put(f"{prefix}-{_JWKS}", jwks_file(keys).name, wanted, public.version)
        made = []
        for issuer, secret in held.items():
            file = private_key_file(keys, issuer)
            if file.name not in secret.data:
                secrets.put(f"{prefix}-{issuer}", file.name, file.read_bytes(), secret.version)
                made.append(issuer)
        return made


def _joined(current: bytes, published: bytes) -> bytes:
    """The current public keys, then those that were published before."""
    keys = {key["kid"]: key for key in json.loads(current)["keys"]}
    for key in json.loads(published)["keys"] if published else ():
        keys.setdefault(key["kid"], key)
    return json.dumps({"keys": list(keys.values())}, indent=1).encode()


def _write(file: Path, content: bytes) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(content)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="chassis.key_secrets", description=__doc__)
    parser.add_argument("--prefix", required=True, help="what the names of the secrets begin with")
    parser.add_argument("--issuers", required=True, type=lambda text: text.split(","), help="who signs, by commas")
    parser.add_argument("--api", default="https://kubernetes.default.svc", help="URL of the Kubernetes API")
    parser.add_argument("--account", default=SERVICE_ACCOUNT, type=Path, help="directory of the service account")
    arguments = parser.parse_args(argv)
    try:
        made = fill(NamespaceSecrets(arguments.api, arguments.account), arguments.prefix, arguments.issuers)
    except (SecretsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"new keys: {', '.join(made) or 'none, all are there'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
