"""Programming language of a file by its name or its first line."""

import re
from pathlib import PurePosixPath

_BY_EXTENSION = {
    "py": "python", "pyi": "python", "js": "javascript", "mjs": "javascript", "cjs": "javascript",
    "jsx": "javascript", "ts": "typescript", "tsx": "typescript", "go": "go", "rs": "rust", "java": "java",
    "kt": "kotlin", "scala": "scala", "c": "c", "h": "c", "cc": "cpp", "cpp": "cpp", "cxx": "cpp", "hpp": "cpp",
    "hh": "cpp", "cs": "csharp", "swift": "swift", "php": "php", "rb": "ruby", "sh": "shell", "bash": "shell",
    "zsh": "shell", "sql": "sql", "yaml": "yaml", "yml": "yaml", "toml": "toml", "ini": "ini", "cfg": "ini",
    "proto": "protobuf", "lua": "lua", "pl": "perl", "r": "r", "css": "css", "scss": "css", "tf": "terraform",
    "xml": "xml", "graphql": "graphql",
}  # fmt: skip
_BY_NAME = {"makefile": "make", "dockerfile": "docker", "rakefile": "ruby", "gemfile": "ruby", "jenkinsfile": "groovy"}
_INTERPRETERS = {"python": "python", "node": "javascript", "ruby": "ruby", "perl": "perl", "bash": "shell",
                 "sh": "shell", "zsh": "shell"}  # fmt: skip
_SHEBANG = re.compile(r"#![ \t]*\S*?/(?:env[ \t]+(?:-S[ \t]+)?)?([a-z]+)[\d.]*(?:[ \t]|$)", re.M)


def language_of_name(filename: str) -> str | None:
    """Return the language that the file name says, or None."""
    path = PurePosixPath(filename)
    return _BY_EXTENSION.get(path.suffix.lstrip(".").lower()) or _BY_NAME.get(path.name.lower())


def language_of_shebang(text: str) -> str | None:
    """Return the language of a `#!` line, or None."""
    match = _SHEBANG.match(text)
    return _INTERPRETERS.get(match[1]) if match else None
