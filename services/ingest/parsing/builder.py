"""Collects text and headings in reading order and turns them into tiling sections."""

from ingest.parsing.errors import EmptyDocument, OutputTooLarge
from ingest.parsing.model import MetadataValue, ParsedDocument, Section, SectionKind
from ingest.parsing.normalise import one_line

# A heading is a label: longer ones are paragraphs in disguise and would eat the embedding window.
MAX_HEADING_CHARS = 200


class DocumentBuilder:
    """Builds one `ParsedDocument`; parsers call `heading` and `append` in reading order.

    `append` takes normalised text verbatim: the canonical text is the concatenation of everything appended.
    """

    def __init__(self, max_chars: int) -> None:
        self.title: str | None = None
        self.language: str | None = None
        self.metadata: dict[str, MetadataValue] = {}
        self.format: str = ""
        self._warnings: dict[str, None] = {}
        self._max_chars = max_chars
        self._parts: list[str] = []
        self._length = 0
        # (heading path, start, page, kind): a section ends where the next one starts.
        self._sections: list[tuple[tuple[str, ...], int, int | None, SectionKind]] = []
        self._headings: list[tuple[int, str]] = []
        self._opens = True

    @property
    def length(self) -> int:
        """Code points appended so far."""
        return self._length

    @property
    def depth(self) -> int:
        """Number of headings that are open."""
        return len(self._headings)

    def text(self) -> str:
        """Return the canonical text so far."""
        return "".join(self._parts)

    def warn(self, identifier: str) -> None:
        """Record a stable warning identifier once."""
        self._warnings[identifier] = None

    def heading(self, level: int, title: str) -> None:
        """Open a heading of `level` (1 is outermost); the next `append` starts its section with the heading text."""
        while self._headings and self._headings[-1][0] >= level:
            self._headings.pop()
        label = one_line(title)[:MAX_HEADING_CHARS].rstrip()
        if label:
            self._headings.append((level, label))
        self._opens = True

    def append(self, text: str, kind: SectionKind = SectionKind.TEXT, page: int | None = None) -> None:
        """Add `text` as it is. Blank text never makes a section of its own.

        Raises:
            OutputTooLarge: The text is now longer than the limit.
        """
        if not text or (not self._sections and text.isspace()):
            return
        if self._length + len(text) > self._max_chars:
            raise OutputTooLarge
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        if self._sections and (text.isspace() or self._continues(kind, page)):
            return
        path = tuple(label for _, label in self._headings)
        self._sections.append((path, start, page, kind))
        self._opens = False

    def block(self, text: str, kind: SectionKind = SectionKind.TEXT, page: int | None = None) -> None:
        """Append `text` followed by a blank line."""
        stripped = text.strip("\n").rstrip()
        if stripped:
            self.append(stripped + "\n\n", kind, page)

    def _continues(self, kind: SectionKind, page: int | None) -> bool:
        # Two tables in a row stay two sections: each is kept whole on its own.
        if self._opens or kind is SectionKind.TABLE:
            return False
        _, _, last_page, last_kind = self._sections[-1]
        return last_kind is kind and last_page == page

    def finish(self, language: str) -> ParsedDocument:
        """Return the document.

        Raises:
            EmptyDocument: Nothing but white space was appended.
        """
        if not self._sections:
            raise EmptyDocument
        ends = [*(start for _, start, _, _ in self._sections[1:]), self._length]
        title = one_line(self.title)[:MAX_HEADING_CHARS] if self.title else None
        return ParsedDocument(
            text=self.text(),
            title=title or None,
            language=language,
            metadata=dict(self.metadata),
            sections=tuple(
                Section(path, start, end, page, kind)
                for (path, start, page, kind), end in zip(self._sections, ends, strict=True)
            ),
            format=self.format,
            warnings=tuple(self._warnings),
        )
