"""What is embedded in front of a chunk: document title and heading path, bounded.

Pure text, no tokenizer: whoever holds a stored chunk can make the same string again.
"""

from functools import lru_cache

# Most that title and headings may take together, in units of `_units`: about 40 tokens of English, 60 of Chinese.
MAX_CONTEXT_UNITS = 200
_MAX_TITLE_UNITS = 120
_SEPARATOR = " > "
# Characters that open a heading line in some markup; skipped when looking whether a text begins with its heading.
_HEADING_MARKS = "#*=-~^\"'`+_:. \n\t"
_HEAD_CHARS = 400


def context_of(title: str | None, heading_path: tuple[str, ...], text: str) -> str:
    """Return title and headings for a chunk, without what `text` itself begins with; may be empty.

    The title has a line of its own, the headings the next; outer headings go first when there is no room.
    """
    title = " ".join((title or "").split())
    begins = text[:_HEAD_CHARS].lstrip(_HEADING_MARKS)
    path = tuple(label for label in heading_path if label != title)
    if path and begins.startswith(path[-1]):
        path = path[:-1]
    return bounded_context("" if title and begins.startswith(title) else title, path)


@lru_cache(maxsize=4096)
def bounded_context(title: str, path: tuple[str, ...]) -> str:
    """Return title and path in at most `MAX_CONTEXT_UNITS`: the innermost heading says most and stays longest."""
    title = _cut(title, _MAX_TITLE_UNITS)
    room = MAX_CONTEXT_UNITS - _units(title)
    while len(path) > 1 and _units(_SEPARATOR.join(path)) > room:
        path = path[1:]
    return "\n".join(part for part in (title, _cut(_SEPARATOR.join(path), room)) if part)


def contextual_text(title: str | None, heading_path: tuple[str, ...], text: str) -> str:
    """Return what the embedder sees for a chunk: its title and headings, an empty line, its text."""
    context = context_of(title, heading_path, text)
    return f"{context}\n\n{text}" if context else text


def _units(text: str) -> int:
    """Return a size that tokens do not exceed by much: one for ASCII, three for anything else."""
    return len(text) if text.isascii() else sum(1 if char < "\x80" else 3 for char in text)


def _cut(text: str, max_units: int) -> str:
    while _units(text) > max_units:
        shorter = text[: max(1, len(text) * 7 // 8 if len(text) > 8 else len(text) - 1)]
        text = shorter.rsplit(" ", 1)[0] if " " in shorter else shorter
        if len(text) == 1:
            return text
    return text
