"""Titles out of PDF properties: what converters write there often names the kind of document only."""

import re
from pathlib import PurePosixPath

# fmt: off
_SAYS_NOTHING = frozenset(
    {
        "the", "and", "for", "from", "with", "form", "document", "report", "file", "filed", "filing", "files",
        "period", "ending", "ended", "page", "pages", "untitled", "draft", "final", "version", "copy", "scan",
        "scanned", "print", "output", "annual", "quarterly", "monthly", "word", "powerpoint", "excel", "presentation",
        "pdf", "doc", "docx", "ppt", "pptx", "xls", "xlsx", "indd",
    }
)
# fmt: on
_PROGRAM = re.compile(r"^Microsoft (?:Word|PowerPoint|Excel) - ")
_WORD = re.compile(r"[^\W\d_]{3,}")
_IN_FILE_NAMES = re.compile(r"[\s_]+|(?<=\w)-(?=\w)")


def telling_title(title: str, file_name: str, text: str) -> str:
    """Return `title`, with the file name in front where it names nothing that the text speaks of.

    "Form 10-Q filed on 2022-07-29" is true of a thousand documents; "2022 Q3 AAPL: Form 10-Q filed on 2022-07-29" of
    one.
    """
    title = _PROGRAM.sub("", title)
    known = text.casefold()
    words = (word.casefold() for word in _WORD.findall(title))
    if title.casefold() in known or any(word not in _SAYS_NOTHING and word in known for word in words):
        return title
    name = _IN_FILE_NAMES.sub(" ", PurePosixPath(file_name).stem).strip()
    adds = [word for word in name.casefold().split() if word not in title.casefold()]
    return f"{name}: {title}" if _WORD.search(" ".join(adds)) else title
