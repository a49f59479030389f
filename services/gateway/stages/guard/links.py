"""Links in an answer: every syntax that a reader's program may turn into one, kept only for allowed hosts.

Where a link is not allowed its words stay: a Markdown link becomes its label, an address loses its scheme and the dots
of its host stand in brackets, and an address without a host (``data:``, ``javascript:``) goes altogether.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

REMOVED: Final = "[link removed]"

_DESTINATION: Final = r"<[^<>\n]*>|(?:[^\s()\\]|\\.|\((?:[^\s()\\]|\\.)*\))*"
_TITLE: Final = r"(?:\s+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?"
_INLINE: Final = re.compile(
    rf"!?\[(?P<label>(?:[^\[\]\\]|\\.|\[[^\[\]]*\]){{0,600}})\]\(\s*(?P<target>{_DESTINATION}){_TITLE}\s*\)"
)
_HANGING: Final = re.compile(rf"\]\(\s*(?P<target>{_DESTINATION}){_TITLE}\s*\)?")
"""The end of a link whose label began in text that was told already, or holds what no label may."""
_DEFINITION: Final = re.compile(
    r"^(?P<indent>[ \t>]*)\[(?P<label>[^\[\]\n]+)\]:[ \t]*\n?[ \t]*(?P<target>\S+)[^\n]*", re.M
)
_AUTOLINK: Final = re.compile(r"<(?P<target>[a-zA-Z][a-zA-Z0-9+.\-]{1,31}:[^<>\s]*|[\w.!#$%&'*+/=?^{|}~-]+@[\w.-]+)>")
_LOADING: Final = (
    "a|abbr|animate|applet|area|audio|base|bgsound|blockquote|body|button|canvas|del|embed|form|frame|frameset|head|html"
    "|iframe|image|img|input|ins|isindex|link|map|marquee|math|meta|noscript|object|option|param|picture|portal|q|script"
    "|select|source|style|svg|table|template|textarea|title|track|use|video|xml"
)
_TAG: Final = re.compile(
    rf"<\s*(?:/\s*)?(?:{_LOADING})(?=[\s/>])[^<>]*(?:>|$)"
    r"|<\s*[a-zA-Z][\w:-]*\s[^<>]*\b(?:href|src|srcset|action|formaction|data|poster|background|ping|style|on\w+)\s*=[^<>]*(?:>|$)"
    r"|<!--.*?(?:-->|$)|<[!?][^<>]*(?:>|$)",
    re.IGNORECASE | re.DOTALL,
)
_ADDRESS: Final = re.compile(
    r"(?<![\w@])(?:(?:[a-z][a-z0-9+.\-]{1,31}://|(?:mailto|tel|sms|data|javascript|vbscript|file|blob|view-source|ftp):(?=\S)"
    r"|www\d{0,3}\.(?=\w)|(?<![:/\w])//(?=[\w-]+\.[a-z]))[^\s<>\"`|]+"
    r"|(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}"
    r"(?:com|net|org|edu|gov|biz|info|xyz|top|site|online|shop|click|link|zip|mov|icu|cn|ru|tk|io|co|ly|gl|me|app|dev)"
    r"(?:(?=[/?#:])[^\s<>\"`|]*|(?![\w@-]|\.\w)))",
    re.IGNORECASE,
)
_NESTED: Final = 8
"""Tags in tags in …; deeper ones are made to be slow, and lose every ``<``."""
_TRAILING: Final = ".,;:!?'\"*_~"
_WEB: Final = frozenset({"http", "https"})
_CODE_LIKE: Final = re.compile(r"[A-Z]+\.[A-Z]+")
"""``ASP.NET``: who writes a host in capitals?"""


@dataclass(frozen=True, slots=True)
class LinkRules:
    """Hosts an answer may link to, in lower case; ``*.example.org`` allows what lies below, ``*`` everything that has a
    host."""

    hosts: frozenset[str]

    def allows(self, target: str) -> bool:
        """Whether ``target`` is a web address on one of the hosts. What can't be read is not."""
        address = html.unescape(target).strip().strip("<>")
        if any(character.isspace() or ord(character) < 32 or character == "\\" for character in address):
            return False
        if address.lower().startswith("www."):
            address = f"https://{address}"
        try:
            parts = urlsplit(address)
            host = (parts.hostname or "").rstrip(".")
        except ValueError:
            return False
        if parts.scheme not in _WEB or not host or parts.username is not None:
            return False
        return "*" in self.hosts or host in self.hosts or any(f"*.{parent}" in self.hosts for parent in _parents(host))


def hosts_of(uris: Iterable[str]) -> frozenset[str]:
    """Hosts of the web addresses among ``uris``."""
    found = set()
    for uri in uris:
        try:
            parts = urlsplit(uri)
            if parts.scheme in _WEB and parts.hostname:
                found.add(parts.hostname.lower())
        except ValueError:
            continue
    return frozenset(found)


def without_foreign_links(text: str, rules: LinkRules) -> tuple[str, int]:
    """``text`` with the links that ``rules`` do not allow made plain, and how many they were. Idempotent."""
    count = 0

    def counted(allowed: bool, match: re.Match[str], instead: Callable[[re.Match[str]], str]) -> str:
        nonlocal count
        if allowed:
            return match.group()
        count += 1
        return instead(match)

    def by_target(match: re.Match[str], instead: Callable[[re.Match[str]], str]) -> str:
        return counted(rules.allows(match["target"]), match, instead)

    for _ in range(_NESTED):
        # What is left around a tag may be one itself: <scr<script>ipt>.
        text, found = _TAG.subn(lambda match: counted(False, match, lambda _: ""), text)
        if not found:
            break
    else:
        text = text.replace("<", "")
    text = _DEFINITION.sub(lambda match: by_target(match, lambda _: ""), text)
    while (replaced := _INLINE.sub(lambda match: by_target(match, lambda m: m["label"]), text)) != text:
        # A label may hold an image, which is a link of its own.
        text = replaced
    text = _HANGING.sub(lambda match: by_target(match, lambda _: "]"), text)
    text = _AUTOLINK.sub(lambda match: by_target(match, lambda m: _plain(m["target"])), text)
    text = _ADDRESS.sub(lambda match: _bare(match, rules, counted), text)
    return text, count


def _bare(
    match: re.Match[str],
    rules: LinkRules,
    counted: Callable[[bool, re.Match[str], Callable[[re.Match[str]], str]], str],
) -> str:
    whole = match.group()
    if _CODE_LIKE.fullmatch(whole):
        return whole
    address = whole.rstrip(_TRAILING)
    while address.endswith(")") and address.count("(") < address.count(")"):
        address = address[:-1].rstrip(_TRAILING)
    rest = whole[len(address) :]
    named = address if "://" in address or ":" in address.split(".")[0] else f"https://{address.lstrip('/')}"
    return counted(rules.allows(named), match, lambda _: _plain(address) + rest)


def _plain(address: str) -> str:
    """An address that no program makes a link of."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "", address.lstrip("/")
        if ":" in address.split("/")[0] and "@" not in address and not address[0].isdigit():
            known = re.match(r"(?i)(?:www|[\w-]+)(?:\.[\w-]+)+(?::\d+)?", address)
            if known is None:
                return REMOVED
    if scheme and scheme.lower() not in (*_WEB, "ftp", "ftps", "ws", "wss"):
        return REMOVED
    rest = re.sub(r"(?i)^(?:mailto|tel|sms):", "", rest)
    if "@" in rest.split("/")[0]:
        return rest.split("?")[0].replace("@", "[at]").replace(".", "[.]")
    host, slash, path = rest.partition("/")
    return host.replace(".", "[.]") + slash + path


def _parents(host: str) -> Iterable[str]:
    parts = host.split(".")
    return (".".join(parts[index:]) for index in range(1, len(parts)))
