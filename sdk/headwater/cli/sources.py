"""What ``ingest`` is given, as documents: files, folders, globs, URLs of files, standard input."""

from __future__ import annotations

import glob
import mimetypes
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from headwater.cli.problems import EXIT_NOT_FOUND, CommandError

MEDIA_SUFFIXES = frozenset(
    {
        *(
            ".png",
            ".jpg",
            ".jpeg",
            ".gif",
            ".webp",
            ".ico",
            ".svg",
            ".bmp",
            ".tiff",
            ".mp3",
            ".mp4",
            ".mov",
            ".avi",
            ".wav",
        ),
        *(
            ".woff",
            ".woff2",
            ".ttf",
            ".otf",
            ".zip",
            ".gz",
            ".bz2",
            ".xz",
            ".tar",
            ".7z",
            ".rar",
            ".exe",
            ".dll",
            ".so",
        ),
        *(".dylib", ".o", ".a", ".class", ".jar", ".pyc", ".wasm", ".bin", ".iso", ".db", ".sqlite", ".lock"),
    }
)
"""Files that hold no text; skipped inside folders and said so. Named one by one they are sent, and refused with a
reason."""
_TEMPORARY = re.compile(
    # Backups and locks of editors, vim's "4913", JetBrains' safe write, LibreOffice and Word, browsers' downloads.
    r".*~|#.*#|~\$.*|4913|.*\.(sw[a-z]|tmp|temp|part|partial|crdownload|download|bak)|.*___jb_(tmp|old)___",
    re.IGNORECASE,
)
URL_SECONDS = 60.0
NAME_REFUSED = "INVALID_DOCUMENT_ID"
"""Why a file is refused whose name is no UTF-8, as the service says it of other names that are no ids."""


@dataclass(frozen=True, slots=True)
class Source:
    """One document to be sent. ``content`` is bytes, or the file to read them from."""

    document_id: str
    content: bytes | Path
    filename: str
    media_type: str
    uri: str


@dataclass(frozen=True, slots=True)
class Found:
    """What the arguments stand for. ``prefixes``: id prefixes of the folders, for ``--sync``. ``unread``: id prefixes
    of what is in them and can't be looked at, with why."""

    sources: tuple[Source, ...]
    prefixes: tuple[str, ...]
    skipped: tuple[str, ...]
    unread: Mapping[str, OSError]


def find(arguments: list[str], id_prefix: str = "") -> Found:
    """Resolves the arguments.

    Ids: a file's is its name, a file's in a folder is "folder/path/inside", a URL's is its last part, standard
    input's is "stdin"; ``id_prefix`` is put in front. Raises CommandError when something is missing or can't be
    fetched.
    """
    sources: dict[str, Source] = {}
    prefixes: list[str] = []
    skipped: list[str] = []
    unread: dict[str, OSError] = {}
    for argument in arguments:
        if argument == "-":
            made = [Source(f"{id_prefix}stdin", sys.stdin.buffer.read(), "stdin.txt", "text/plain", "")]
        elif argument.startswith(("http://", "https://")):
            made = [_from_url(argument, id_prefix)]
        else:
            made = []
            for path in _paths(argument):
                if path.is_dir():
                    root = f"{id_prefix}{path.resolve().name}/"
                    prefixes.append(root)
                    made.extend(in_folder(path, root, skipped, unread))
                else:
                    made.append(_from_file(path, f"{id_prefix}{path.name}"))
        for source in made:
            if source.document_id in sources:
                raise CommandError(
                    f"Two documents would get the id {source.document_id}.",
                    hint="Ingest them with different --id-prefix.",
                )
            sources[source.document_id] = source
    return Found(tuple(sources.values()), tuple(prefixes), tuple(skipped), unread)


def _paths(argument: str) -> list[Path]:
    path = Path(argument).expanduser()
    if path.exists():
        return [path]
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
    if not matches:
        raise CommandError(f"There is no file, folder or match for {argument}.", exit_code=EXIT_NOT_FOUND)
    return matches


def is_wanted(inside: Path) -> bool:
    """Whether a file at this path inside a folder is looked at: not hidden, and not what an editor, an office program
    or a download keeps while it works."""
    if any(_is_hidden(part) for part in inside.parts):
        return False
    return not _TEMPORARY.fullmatch(inside.name)


def printable(name: str) -> str:
    """The name with an escape for each byte that is no UTF-8, which can neither be sent nor shown."""
    return name.encode(errors="backslashreplace").decode()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def in_folder(folder: Path, root: str, skipped: list[str], unread: dict[str, OSError]) -> Iterator[Source]:
    """The folder's files, in the order of their names. Those without text are added to ``skipped``, and to ``unread``
    the id prefixes of what can't be looked at: nobody knows which files are there."""
    for path in sorted(_walk(folder, root, unread)):
        inside = path.relative_to(folder)
        if not is_wanted(inside):
            continue
        try:
            if not path.is_file():
                continue
        except OSError as error:
            unread[f"{root}{inside.as_posix()}"] = error
            continue
        if path.suffix.lower() in MEDIA_SUFFIXES:
            skipped.append(printable(str(inside)))
            continue
        yield _from_file(path, f"{root}{inside.as_posix()}")


def _walk(folder: Path, root: str, unread: dict[str, OSError]) -> list[Path]:
    """What is in the folder and the folders inside. pathlib's own search says nothing of those it may not read."""

    def note(error: OSError) -> None:
        inside = Path(error.filename or folder).relative_to(folder).as_posix()
        unread[root if inside == "." else f"{root}{inside}/"] = error

    paths: list[Path] = []
    for parent, directories, names in os.walk(folder, onerror=note):
        directories[:] = [name for name in directories if not _is_hidden(name)]
        paths += [Path(parent, name) for name in names]
    return paths


def _from_file(path: Path, document_id: str) -> Source:
    return Source(document_id, path, path.name, mimetypes.guess_type(path.name)[0] or "", path.resolve().as_uri())


def _from_url(url: str, id_prefix: str) -> Source:
    import httpx  # a quarter of a second that only URLs are worth

    try:
        reply = httpx.get(url, follow_redirects=True, timeout=URL_SECONDS)
        reply.raise_for_status()
    except httpx.HTTPError as error:
        raise CommandError(f"{url} can't be fetched: {error}", exit_code=EXIT_NOT_FOUND) from None
    name = unquote(Path(urlsplit(url).path).name) or urlsplit(url).netloc
    media_type = reply.headers.get("content-type", "").split(";")[0]
    return Source(f"{id_prefix}{name}", reply.content, name, media_type, url)
