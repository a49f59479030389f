"""Links in an answer: every syntax that a reader's program may turn into one, kept only for allowed hosts.

Where a link is not allowed its words stay: a Markdown link becomes its label, an address loses its scheme and the dots
of its host stand in brackets, and an address that is a program or a file by itself (``data:``, ``javascript:``) goes
altogether. No ``<`` that could begin a tag is left: it is written ``‹``, so that nothing has to be known about tags.

A text is read unit by unit (gateway.stages.guard.units), and each unit is read until it stays as it is: what a streamed
answer showed is what the whole answer holds, and what is left around something that was taken out is looked at again.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.stages.guard.units import Unit, units_of

REMOVED: Final = "[link removed]"

_DESTINATION: Final = r"(?:<[^<>\n]*>|(?:[^\s()\\]|\\.|\((?:[^\s()\\]|\\.)*\))*+)"
_TITLE: Final = r"(?:\s++(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?+"
_INLINE: Final = re.compile(
    rf"!?\[(?P<label>(?:[^\[\]\\]|\\.|\[[^\[\]]*\]){{0,600}})\]\(\s*+(?P<target>{_DESTINATION}){_TITLE}\s*+\)"
)
_HANGING: Final = re.compile(rf"\]\((?:\s*+(?P<target>{_DESTINATION}){_TITLE}\s*+\))?")
"""The end of a link whose label began in text that was told already, or holds what no label may; or of none."""
_DEFINITION: Final = re.compile(
    r"^(?P<before>(?:(?:>|[-*+]|\d{1,9}[.)])?[ \t]{1,20}|>){0,10}\[?(?:[^\[\]\n\\]|\\.){1,999}\])"
    r":(?=[ \t]*+\n?[ \t]*+(?P<target>\S*+)[ \t]*+(?:$|[\"'(]))",
    re.MULTILINE,
)
"""A target stands alone, or before a title: ``[Note]: The valve must be closed.`` is prose."""
_AUTOLINK: Final = re.compile(r"<(?P<target>[a-zA-Z][a-zA-Z0-9+.\-]{1,31}:[^<>\s]*|[\w.!#$%&'*+/=?^{|}~-]+@[\w.-]+)>")
_TAG: Final = re.compile(r"<(?:(?P<target>https?://[^\s<>=\"'`]+)>)?(?=[a-zA-Z/!?]|(?<=>))", re.IGNORECASE)
"""What could begin a tag, and an autolink that is none even for a program which takes it for a tag."""
_ENTITY: Final = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|colon|sol|period|commat);", re.IGNORECASE)
_IN_ADDRESSES: Final = re.compile(r"[A-Za-z0-9:/.@-]")

_LABELS: Final = r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}"
_KNOWN: Final = "com|net|org|edu|gov|biz|info|xyz|top|site|online|shop|click|link|icu|cn|ru|tk|co|ly|gl|me|app|dev"
_HOST: Final = (
    rf"{_LABELS}(?:[^\W\d_]{{2,24}}(?=/|[?#]\w|:\d)|xn--[a-z0-9-]{{1,59}}(?=/|[?#]\w|:\d)|(?:{_KNOWN})(?![\w@-]|\.\w))"
)
_ADDRESS: Final = re.compile(
    r"(?<![\w@])(?:(?:[a-z][a-z0-9+.\-]{1,31}://|(?:mailto|tel|sms|javascript|vbscript|view-source):(?=\S)"
    r"|data:(?=[\w.+-]{1,40}/\w|[,;]\S)|blob:(?=https?:|null/)"
    r"|www\d{0,3}\.(?=\w)|(?<![:/\w])//(?=[\w-]+\.[a-z]))[^\s<>\"`|]+"
    rf"|(?P<host>{_HOST})(?P<path>[/?#:][^\s<>\"`|]*)?)",
    re.IGNORECASE,
)
_NO_DOMAIN: Final = re.compile(
    r"[jt]sx?|jsonl?|ya?ml|toml|html?|css|txt|csv|xml|[ch]pp|exe|dll|bin|log|cfg|ini|conf|lock|tar|gz|jpe?g|png|gif|svg"
    r"|pdf|docx|xlsx|pptx|proto|ipynb|sql|go|kt|cs"
)
"""Endings of file names that are no top-level domains."""
_FILES: Final = re.compile(r"py|md|sh|rs|pl|cc|so|ps|rb|php|java")
"""Endings of file names that are, or may be: ``main.py:12`` and ``guide.md#usage`` are files."""
_ROUNDS: Final = 8
"""Links within links in …; what is deeper was made to be slow, and loses whatever a link needs."""
_TRAILING: Final = ".,;:!?'\"*_~"
_WEB: Final = frozenset({"http", "https"})
_LOSES_ITS_SCHEME: Final = frozenset({"http", "https", "ftp", "ftps", "ws", "wss"})
_GOES: Final = frozenset({"javascript", "vbscript", "data", "blob", "file", "view-source"})
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
    cleaned = [clean(unit, rules) for unit in units_of(text)]
    return "".join(text for text, _ in cleaned), sum(count for _, count in cleaned)


def clean(unit: Unit, rules: LinkRules) -> tuple[str, int]:
    """The same for one unit."""
    reading = _Reading(rules, unit.starts_line)
    text = unit.text
    for _ in range(_ROUNDS):
        before = text
        text = reading.read(before)
        if text == before:
            return text, reading.count
    return _broken(text), reading.count + 1


class _Reading:
    """One unit's links, counted."""

    def __init__(self, rules: LinkRules, starts_line: bool) -> None:
        self._rules = rules
        self._starts_line = starts_line
        self.count = 0

    def read(self, text: str) -> str:
        """The text after one round."""
        text = _ENTITY.sub(_decoded, text)
        text = _DEFINITION.sub(self._definition, text)
        text = _INLINE.sub(self._inline, text)
        text = _HANGING.sub(self._hanging, text)
        text = _AUTOLINK.sub(self._autolink, text)
        text = _ADDRESS.sub(self._bare, text)
        return _TAG.sub(self._tag, text)

    def _allows(self, target: str) -> bool:
        allowed = self._rules.allows(target)
        self.count += not allowed
        return allowed

    def _definition(self, match: re.Match[str]) -> str:
        if match.start() == 0 and not self._starts_line and "[" in match["before"]:
            return match.group()
        return match.group() if self._allows(match["target"]) else f"{match['before']} :"

    def _inline(self, match: re.Match[str]) -> str:
        if self._allows(match["target"]):
            return match.group()
        return f"[{match['label']}]" if re.fullmatch(r"\d{1,3}", match["label"]) else match["label"]

    def _hanging(self, match: re.Match[str]) -> str:
        if match["target"] is None:
            return "] ("
        return match.group() if self._allows(match["target"]) else "]"

    def _autolink(self, match: re.Match[str]) -> str:
        return match.group() if self._allows(match["target"]) else _plain(match["target"])

    def _tag(self, match: re.Match[str]) -> str:
        if match["target"] is not None and self._rules.allows(match["target"]):
            return match.group()
        return "‹" + match.group()[1:]

    def _bare(self, match: re.Match[str]) -> str:
        whole = match.group()
        if match["host"] is not None and _names_a_file(match["host"], match["path"] or ""):
            return whole
        address = whole.rstrip(_TRAILING)
        while address.endswith(")") and address.count("(") < address.count(")"):
            address = address[:-1].rstrip(_TRAILING)
        named = address if "://" in address or ":" in address.split(".")[0] else f"https://{address.lstrip('/')}"
        return whole if self._allows(named) else _plain(address) + whole[len(address) :]


def _decoded(match: re.Match[str]) -> str:
    character = html.unescape(match.group())
    return character if _IN_ADDRESSES.fullmatch(character) else match.group()


def _names_a_file(host: str, path: str) -> bool:
    ending = host.rpartition(".")[2].lower()
    if _CODE_LIKE.fullmatch(host) and not path:
        return True
    if _NO_DOMAIN.fullmatch(ending):
        return True
    return _FILES.fullmatch(ending) is not None and path.startswith((":", "#"))


def _plain(address: str) -> str:
    """An address that no program makes a link of."""
    named = re.match(r"[a-z-]+(?=:)", address, re.IGNORECASE)
    if named is not None and named.group().lower() in _GOES:
        return REMOVED
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "", address.lstrip("/")
    if scheme and scheme.lower() not in _LOSES_ITS_SCHEME:
        host, slash, path = rest.partition("/")
        return f"{scheme}[:]//{host.replace('.', '[.]')}{slash}{_disarmed(path)}"
    rest = re.sub(r"(?i)^(?:mailto|tel|sms):", "", rest)
    if "@" in rest.split("/")[0]:
        return rest.split("?")[0].replace("@", "[at]").replace(".", "[.]")
    host, slash, path = rest.partition("/")
    return host.replace(".", "[.]") + slash + _disarmed(path)


_HOSTS: Final = re.compile(rf"(?<![\w@]){_HOST}", re.IGNORECASE)


def _disarmed(path: str) -> str:
    """A path that may hold addresses of its own."""
    return _HOSTS.sub(lambda match: match.group().replace(".", "[.]"), path.replace("://", "[:]//"))


def _broken(text: str) -> str:
    """Text that holds nothing of what a link needs."""
    for needed, instead in (("](", "] ("), ("]:", "] :"), ("&", "& "), ("//", "/ /"), ("@", "[at]")):
        text = text.replace(needed, instead)
    text = re.sub(r"(?i)\b(javascript|vbscript|data|blob|mailto|tel|sms|view-source):", r"\1[:]", text)
    return re.sub(r"<(?=[a-zA-Z/!?])", "‹", re.sub(r"(?<=\w)\.(?=\w)", "[.]", text))


def _parents(host: str) -> Iterable[str]:
    parts = host.split(".")
    return (".".join(parts[index:]) for index in range(1, len(parts)))
