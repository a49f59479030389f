"""What is embedded in front of a chunk: document title and heading path, within a budget."""

from functools import lru_cache

from ingest.chunking.tokens import TokenLengths

_SEPARATOR = " > "
# Characters that open a heading line in some markup; skipped when looking whether a text begins with its heading.
_HEADING_MARKS = "#*=-~^\"'`+_:. \n\t"


class ContextBuilder:
    """Builds bounded contexts for the chunks of one document; results depend on the arguments only."""

    def __init__(self, title: str | None, lengths: TokenLengths, max_tokens: int) -> None:
        self._title = " ".join((title or "").split())
        self._lengths = lengths
        self._max_tokens = max_tokens
        self._bounded = lru_cache(maxsize=4096)(self._bound)

    def build(self, heading_path: tuple[str, ...], text: str) -> str:
        """Return the context for a chunk under `heading_path`; what `text` itself begins with is not repeated."""
        begins = text[:400].lstrip(_HEADING_MARKS)
        title = "" if self._title and begins.startswith(self._title) else self._title
        path = tuple(label for label in heading_path if label != self._title)
        if path and begins.startswith(path[-1]):
            path = path[:-1]
        return self._bounded(title, path)[0]

    def most_tokens(self, heading_path: tuple[str, ...]) -> int:
        """Return the tokens of the longest context that `build` makes for this path or a prefix of it."""
        path = tuple(label for label in heading_path if label != self._title)
        return self._bounded(self._title, path)[1]

    def _bound(self, title: str, path: tuple[str, ...]) -> tuple[str, int]:
        """Drop outer headings first (the innermost says most), then shorten what is left."""
        while True:
            text = "\n".join(part for part in (title, _SEPARATOR.join(path)) if part)
            tokens = self._lengths.length(text) if text else 0
            if tokens <= self._max_tokens:
                return text, tokens
            if len(path) > 1:
                path = path[1:]
            elif path and len(path[0]) > len(title) // 2:
                path = (_shorter(path[0]),) if len(path[0]) > 8 else ()
            else:
                title = _shorter(title)


def _shorter(text: str) -> str:
    """Return about three quarters of `text`, cut at a word where there is one."""
    cut = text[: len(text) * 3 // 4]
    return cut.rsplit(" ", 1)[0] if " " in cut else cut
