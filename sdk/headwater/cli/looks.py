"""Looks at a folder whose files come and go, and whose file system may."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headwater.cli.sources import Source, in_folder

Stamp = tuple[int, int, int]
"""Size, time of the last change in ns, and inode of a file."""


@dataclass(slots=True)
class Looker:
    """Looks at a folder again and again.

    Where a file system is not mounted yet or any more an empty folder is there, which must not delete everything: an
    empty folder is believed where files were seen before, or with ``allow_empty``.
    """

    folder: Path
    root: str
    allow_empty: bool
    _seen_at: tuple[int, int] | None = None
    """File system and inode of the folder when it last held files."""

    def look(self, *, is_empty_right: bool) -> tuple[list[tuple[Source, Stamp]], dict[str, OSError]] | None:
        """The folder's files, and by id prefix what in it can't be looked at. None for what may be somewhere else's
        emptiness. ``is_empty_right``: an empty folder would change nothing. Blocks."""
        try:
            place = self._place()
            files, unread = self._files()
            if self._place() != place:
                return None
        except OSError:
            return None
        if self._seen_at is not None and place[0] != self._seen_at[0]:
            return None
        if files:
            self._seen_at = place
        elif not (is_empty_right or place == self._seen_at or self.allow_empty):
            return None
        return files, unread

    def _place(self) -> tuple[int, int]:
        status = self.folder.stat()
        return status.st_dev, status.st_ino

    def _files(self) -> tuple[list[tuple[Source, Stamp]], dict[str, OSError]]:
        found, unread = [], dict[str, OSError]()
        for source in in_folder(self.folder, self.root, [], unread):
            try:
                status = Path(str(source.content)).stat()
            except FileNotFoundError:
                continue  # gone again
            except OSError as error:
                unread[source.document_id] = error
                continue
            found.append((source, (status.st_size, status.st_mtime_ns, status.st_ino)))
        return found, unread
