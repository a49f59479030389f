"""reStructuredText: titles by underline, literal blocks, tables and directives over the source text.

Rules as in the docutils reStructuredText specification: a title's level is the order in which its adornment
(character, with or without overline) first appears. Comments are dropped and rules are shortened;
everything else stays as written.
"""

import re

from ingest.parsing.builder import DocumentBuilder
from ingest.parsing.model import SectionKind
from ingest.parsing.normalise import shorten_rules
from ingest.parsing.rst_fields import read_header_fields
from ingest.parsing.source import Source

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*$")
_SIMPLE_TABLE = re.compile(r"[ \t]*=+(?: +=+)+[ \t]*$")
_GRID_TABLE = re.compile(r"[ \t]*\+-[-+]*\+[ \t]*$")
_DIRECTIVE = re.compile(r"([ \t]*)\.\. +([\w:+.-]+?)::(?:[ \t]|$)")
# Targets, footnotes, citations and substitutions are explicit markup too, and they are content.
_EXPLICIT_CONTENT = re.compile(r"\.\. +(?:_|\[|\|)")
_CODE_DIRECTIVES = {"code", "code-block", "sourcecode", "highlight", "parsed-literal", "doctest", "literalinclude"}
_TABLE_DIRECTIVES = {"table", "list-table", "csv-table"}
_ROLE = re.compile(r":[\w:+.-]+:`([^`<]*?)(?:\s*<[^>]*>)?`")


def parse_rst(source: Source, build: DocumentBuilder) -> None:
    """Parse a reStructuredText file into `build`; header fields (PEP headers, docinfo) become metadata."""
    build.metadata.update(read_header_fields(source.text))
    title = build.metadata.get("title")
    if isinstance(title, str):
        build.title = title
    _RstSections(build, source.text.splitlines(keepends=True)).run()


def plain_inline(text: str) -> str:
    """Return title text without roles and inline literals."""
    return _ROLE.sub(r"\1", text).replace("``", "").replace("`", "").strip()


class _RstSections:
    def __init__(self, build: DocumentBuilder, lines: list[str]) -> None:
        self._build = build
        self._lines = lines
        self._bare = [line.rstrip() for line in lines]
        self._levels: dict[tuple[str, bool], int] = {}

    def run(self) -> None:
        index = 0
        while index < len(self._lines):
            index = self._step(index)

    def _step(self, index: int) -> int:
        bare = self._bare[index]
        if not bare:
            return self._take(index, index + 1)
        if (title_end := self._title_end(index)) is not None:
            return self._take(index, title_end, ruled=True)
        if _SIMPLE_TABLE.match(bare):
            return self._take(index, self._simple_table_end(index), SectionKind.TABLE, ruled=True)
        if _GRID_TABLE.match(bare):
            return self._take(index, self._grid_table_end(index), SectionKind.TABLE, ruled=True)
        if directive := _DIRECTIVE.match(bare):
            return self._directive(index, directive)
        if bare == ".." or (bare.startswith(".. ") and not _EXPLICIT_CONTENT.match(bare)):
            return self._skip_comment(index)
        if bare.endswith("::"):
            return self._literal_block(index)
        return self._take(index, index + 1)

    def _take(self, start: int, end: int, kind: SectionKind = SectionKind.TEXT, ruled: bool = False) -> int:
        text = "".join(self._lines[start:end])
        self._build.append(shorten_rules(text) if ruled else text, kind)
        return end

    def _title_end(self, index: int) -> int | None:
        """Open a heading if a title starts here; return the line after it."""
        bare = self._bare
        if index > 0 and bare[index - 1] and not _ADORNMENT.match(bare[index - 1]):
            return None
        if self._is_adornment(index) and index + 2 < len(bare) and bare[index + 1] and bare[index] == bare[index + 2]:
            if len(bare[index]) >= len(bare[index + 1].strip()):
                self._open(bare[index + 1], bare[index][0], overlined=True)
                return index + 3
            return None
        text = bare[index]
        if (
            text[0].isspace()
            or self._is_adornment(index)
            or index + 1 >= len(bare)
            or not self._is_adornment(index + 1)
        ):
            return None
        # docutils accepts a short underline with a warning from four characters on.
        if len(bare[index + 1]) < min(len(text), 4):
            return None
        self._open(text, bare[index + 1][0], overlined=False)
        return index + 2

    def _is_adornment(self, index: int) -> bool:
        bare = self._bare[index]
        return len(bare) >= 2 and bare not in ("::", "..") and _ADORNMENT.match(bare) is not None

    def _open(self, text: str, char: str, overlined: bool) -> None:
        level = self._levels.setdefault((char, overlined), len(self._levels) + 1)
        label = plain_inline(text)
        self._build.heading(level, label)
        if self._build.title is None and label:
            self._build.title = label

    def _simple_table_end(self, start: int) -> int:
        """A simple table ends at the second border after its head, or the first one followed by a blank line."""
        borders = 1
        for index in range(start + 1, len(self._bare)):
            if _SIMPLE_TABLE.match(self._bare[index]):
                borders += 1
                last = index + 1 >= len(self._bare) or not self._bare[index + 1]
                if borders >= 3 or last:
                    return index + 1
        return start + 1

    def _grid_table_end(self, start: int) -> int:
        index = start
        while index < len(self._bare) and self._bare[index].lstrip()[:1] in ("+", "|"):
            index += 1
        return index

    def _directive(self, index: int, directive: re.Match[str]) -> int:
        name = directive[2].rsplit(":", 1)[-1].lower()
        if name in _CODE_DIRECTIVES or name in _TABLE_DIRECTIVES:
            kind = SectionKind.CODE if name in _CODE_DIRECTIVES else SectionKind.TABLE
            return self._take(index, self._indented_end(index, len(directive[1])), kind, kind is SectionKind.TABLE)
        # Notes, warnings, versions: their body is prose and goes through the ordinary rules.
        return self._take(index, index + 1)

    def _literal_block(self, index: int) -> int:
        self._take(index, index + 1)
        indent = _indent(self._bare[index])
        end = self._indented_end(index, indent)
        if end > index + 1:
            return self._take(index + 1, end, SectionKind.CODE)
        return end

    def _skip_comment(self, index: int) -> int:
        return self._indented_end(index, 0)

    def _indented_end(self, start: int, indent: int) -> int:
        """Return the line after the block that is indented deeper than `indent`, without trailing blank lines."""
        end = start + 1
        for index in range(start + 1, len(self._bare)):
            if self._bare[index]:
                if _indent(self._bare[index]) <= indent:
                    break
                end = index + 1
        return end


def _indent(line: str) -> int:
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip())
