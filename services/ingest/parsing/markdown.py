"""Markdown: headings, fenced code and tables over the source text, front matter as metadata.

The source stays the canonical text, so a citation shows what the author wrote
(rules and underlines are shortened). The block rules are those of
CommonMark 0.31 (§4.2 ATX headings, §4.3 setext headings, §4.5 fenced code) and of GitHub's tables.
"""

import re

from ingest.parsing.builder import DocumentBuilder
from ingest.parsing.front_matter import split_front_matter
from ingest.parsing.model import SectionKind
from ingest.parsing.normalise import shorten_rules
from ingest.parsing.source import Source

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^`]*)$")
_DELIMITER_ROW = re.compile(r" {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
# Lines that cannot be the text of a setext heading: quotes, list items, tables, thematic breaks, indented code.
_NOT_A_PARAGRAPH = re.compile(r"(?: {4}|\t| {0,3}(?:>|[-+*][ \t]|\d{1,9}[.)][ \t]|\||(?:[-*_][ \t]*){3,}$))")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|!?\[([^\]]*)\]\[[^\]]*\]")
_EMPHASIS = re.compile(r"(\*\*|__|\*|`|~~)(?=\S)(.+?)(?<=\S)\1")
_ATTRIBUTES = re.compile(r"[ \t]*\{[#.][^}]*\}$")

_RULE_STARTS = ("-", "=", "*", "_", "~")


def parse_markdown(source: Source, build: DocumentBuilder) -> None:
    """Parse a Markdown file into `build`."""
    metadata, body, well_formed = split_front_matter(source.text)
    if not well_formed:
        build.warn("front_matter_ignored")
    build.metadata.update(metadata)
    title = metadata.get("title")
    if isinstance(title, str):
        build.title = title
    language = metadata.get("lang", metadata.get("language"))
    if isinstance(language, str):
        build.language = language
    MarkdownSections(build).feed(body)


def plain_inline(text: str) -> str:
    """Return heading text without links, emphasis, code marks and attribute lists."""
    text = _ATTRIBUTES.sub("", text)
    text = _LINK.sub(lambda match: match[1] or match[2] or "", text)
    return _EMPHASIS.sub(r"\2", text).strip()


class MarkdownSections:
    """Feeds Markdown text into a builder; `page` marks everything that follows, for slides and sheets."""

    def __init__(self, build: DocumentBuilder, page: int | None = None, base_level: int = 0) -> None:
        self._build = build
        self._page = page
        self._base_level = base_level

    def feed(self, text: str) -> None:
        """Append the whole of `text`, opening headings on the way."""
        lines = text.splitlines(keepends=True)
        index = 0
        while index < len(lines):
            index = self._step(lines, index)

    def _step(self, lines: list[str], index: int) -> int:
        line = lines[index]
        bare = line.rstrip("\n")
        if fence := _FENCE.match(bare):
            return self._take(lines, index, _fence_end(lines, index, fence[1]), SectionKind.CODE)
        if "|" in bare and _is_table(lines, index):
            return self._take(lines, index, _table_end(lines, index), SectionKind.TABLE)
        if bare.lstrip(" ").startswith("#") and (atx := _ATX.match(bare)):
            self._open(len(atx[1]), atx[2] or "")
        elif (end := _setext_end(lines, index)) is not None:
            underline = lines[end - 1].strip()
            self._open(1 if underline[0] == "=" else 2, " ".join(part.strip() for part in lines[index : end - 1]))
            return self._take(lines, index, end, SectionKind.TEXT)
        elif bare.lstrip().startswith("<!--") and "-->" not in bare:
            return self._take(lines, index, _comment_end(lines, index), SectionKind.TEXT)
        return self._take(lines, index, index + 1, SectionKind.TEXT)

    def _open(self, level: int, heading: str) -> None:
        label = plain_inline(heading)
        self._build.heading(self._base_level + level, label)
        if self._build.title is None and label:
            self._build.title = label

    def _take(self, lines: list[str], start: int, end: int, kind: SectionKind) -> int:
        text = "".join(lines[start:end])
        # Single lines are the many: only what may hold a rule is looked at.
        ruled = kind is SectionKind.TABLE or (kind is SectionKind.TEXT and text.lstrip()[:1] in _RULE_STARTS)
        self._build.append(
            shorten_rules(text) if ruled or (end - start > 1 and kind is SectionKind.TEXT) else text, kind, self._page
        )
        return end


def _fence_end(lines: list[str], start: int, fence: str) -> int:
    closing = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$")
    for index in range(start + 1, len(lines)):
        if closing.match(lines[index].rstrip("\n")):
            return index + 1
    return len(lines)


def _is_table(lines: list[str], index: int) -> bool:
    if index + 1 >= len(lines):
        return False
    delimiter = lines[index + 1].rstrip("\n")
    return "-" in delimiter and "|" in delimiter and _DELIMITER_ROW.match(delimiter) is not None


def _table_end(lines: list[str], start: int) -> int:
    index = start + 2
    while index < len(lines) and "|" in lines[index] and lines[index].strip():
        index += 1
    return index


def _comment_end(lines: list[str], start: int) -> int:
    for index in range(start, len(lines)):
        if "-->" in lines[index]:
            return index + 1
    return start + 1


def _setext_end(lines: list[str], start: int) -> int | None:
    """Return the line after the underline if a setext heading of one to three lines begins at `start`."""
    if start > 0 and lines[start - 1].strip() and not _ATX.match(lines[start - 1].rstrip("\n")):
        # Inside a paragraph whose first lines were taken already.
        return None
    for index in range(start, min(start + 4, len(lines))):
        bare = lines[index].rstrip("\n")
        if index > start and _SETEXT.match(bare):
            return index + 1
        if not bare.strip() or _NOT_A_PARAGRAPH.match(bare) or _FENCE.match(bare) or _ATX.match(bare):
            return None
    return None
