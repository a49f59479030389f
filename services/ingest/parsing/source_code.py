"""Source code: one section per definition, heading path file → class → function, text as written."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingest.parsing.builder import DocumentBuilder
from ingest.parsing.code_languages import language_of_name, language_of_shebang
from ingest.parsing.code_patterns import ATTACHED, DEFINITIONS
from ingest.parsing.model import SectionKind
from ingest.parsing.source import Source


@dataclass(frozen=True, slots=True)
class Definition:
    """A named definition: its first line (decorators and comments above included), nesting depth from 1, and name."""

    line: int
    depth: int
    name: str


def parse_code(source: Source, build: DocumentBuilder) -> None:
    """Parse a source file into `build`; a file that does not parse is one section."""
    language = language_of_name(source.name) or language_of_shebang(source.text) or "unknown"
    build.metadata["language"] = language
    build.language = "en" if language != "unknown" else None
    lines = source.text.splitlines(keepends=True)
    if source.name:
        build.title = source.name
        build.heading(1, source.name)
    position = 0
    for definition in definitions_of(language, source.text, lines):
        if definition.line < position:
            continue
        build.append("".join(lines[position : definition.line]), SectionKind.CODE)
        build.heading(1 + definition.depth, definition.name)
        position = definition.line
    build.append("".join(lines[position:]), SectionKind.CODE)


def definitions_of(language: str, text: str, lines: Sequence[str]) -> list[Definition]:
    """Return the definitions of a file in order: classes and functions, and the members of classes."""
    if language == "python":
        try:
            return list(_python_definitions(ast.parse(text), lines))
        except (SyntaxError, ValueError, RecursionError):
            # Python 2, templates, notebooks with magics: indentation still tells the structure.
            pass
    pattern = DEFINITIONS.get(language)
    return list(_by_indentation(pattern, lines)) if pattern else []


def _python_definitions(node: ast.AST, lines: Sequence[str], depth: int = 1) -> Iterator[Definition]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)]) - 1
            yield Definition(_with_comments(lines, first), depth, child.name)
            if isinstance(child, ast.ClassDef):
                yield from _python_definitions(child, lines, depth + 1)


def _by_indentation(pattern: re.Pattern[str], lines: Sequence[str]) -> Iterator[Definition]:
    """Yield what `pattern` matches at the outermost two levels of nesting, told by indentation."""
    stack: list[int] = []
    for number, line in enumerate(lines):
        match = pattern.match(line)
        if match is None:
            continue
        indent = len(line) - len(line.lstrip())
        while stack and stack[-1] >= indent:
            stack.pop()
        if len(stack) < 2:
            name = next((group for group in match.groups() if group), "").strip()
            if name:
                yield Definition(_with_comments(lines, number), len(stack) + 1, name)
                stack.append(indent)


def _with_comments(lines: Sequence[str], first: int) -> int:
    """Return the line where the comments, decorators or attributes directly above `first` begin."""
    while first > 0 and ATTACHED.match(lines[first - 1]):
        first -= 1
    return first
