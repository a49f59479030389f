"""HTML: main content by trafilatura, with a plain walk over the tree where that finds too little."""

import logging
import re

import trafilatura
from lxml import etree  # type: ignore[import-untyped]
from lxml import html as lxml_html

from ingest.parsing.builder import DocumentBuilder
from ingest.parsing.errors import EmptyDocument
from ingest.parsing.html_outline import to_markdown
from ingest.parsing.markdown import MarkdownSections
from ingest.parsing.normalise import normalise, one_line
from ingest.parsing.scalars import scalar_from_text
from ingest.parsing.source import Source

# trafilatura reports pages it finds odd; the text of the page is in those messages.
logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
logging.getLogger("htmldate").setLevel(logging.CRITICAL)

_META_NAMES = {
    "description": "description", "og:description": "description", "author": "author", "article:author": "author",
    "keywords": "keywords", "date": "date", "dc.date": "date", "article:published_time": "date",
    "datepublished": "date", "article:modified_time": "modified", "last-modified": "modified", "og:title": "title",
}  # fmt: skip
# Below this share of the visible text of the page's body, trafilatura took content for boilerplate.
_MIN_SHARE = 0.35


def parse_html(source: Source, build: DocumentBuilder) -> None:
    """Parse an HTML page into `build`.

    Raises:
        EmptyDocument: The page has no text.
    """
    tree = _tree(source.text)
    _read_metadata(tree, build)
    outline = to_markdown(tree)
    found = trafilatura.extract(
        source.text,
        output_format="markdown",
        include_tables=True,
        include_formatting=True,
        include_comments=False,
        favor_recall=True,
        deduplicate=False,
    )
    main = normalise(found or "")
    if _letters(main) < _MIN_SHARE * _letters(outline):
        build.warn("main_content_not_found")
        main = outline
    if not main.strip():
        raise EmptyDocument
    MarkdownSections(build).feed(re.sub(r"\n{3,}", "\n\n", main).strip("\n") + "\n")


def _tree(text: str) -> lxml_html.HtmlElement:
    parser = lxml_html.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, huge_tree=False)
    try:
        tree = lxml_html.document_fromstring(text.encode(), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError) as error:
        raise EmptyDocument from error
    return tree


def _read_metadata(tree: lxml_html.HtmlElement, build: DocumentBuilder) -> None:
    for element in tree.iter("meta"):
        key = (element.get("name") or element.get("property") or element.get("itemprop") or "").lower()
        content = normalise(element.get("content") or "").strip()
        name = _META_NAMES.get(key)
        if name and content and name not in build.metadata:
            build.metadata[name] = scalar_from_text(content) if name in ("date", "modified") else content[:4000]
    title = one_line(normalise(tree.findtext(".//title") or "")) or build.metadata.get("title")
    if isinstance(title, str) and title:
        build.title = title
        build.metadata["title"] = title
    build.language = tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang")


def _letters(text: str) -> int:
    return sum(1 for char in text if char.isalnum())
