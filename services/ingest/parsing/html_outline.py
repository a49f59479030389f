"""An HTML tree as Markdown, without judging what is main content: headings, paragraphs, lists, code, tables."""

from collections.abc import Iterator

from lxml.html import HtmlElement  # type: ignore[import-untyped]

from ingest.parsing.normalise import normalise, one_line

_SKIPPED = {
    "script", "style", "noscript", "template", "nav", "header", "footer", "aside", "form", "button", "svg", "head",
    "iframe", "select", "dialog",
}  # fmt: skip
_BLOCKS = {
    "p", "div", "section", "article", "main", "blockquote", "ul", "ol", "dl", "dt", "dd", "figure", "figcaption",
    "body", "html", "details", "summary", "address", "hr", "br",
}  # fmt: skip
_MAX_DEPTH = 200


def to_markdown(tree: HtmlElement) -> str:
    """Return the visible text of the page as Markdown blocks."""
    body = tree.find("body")
    return normalise("\n\n".join(_blocks(tree if body is None else body, 0)))


def _blocks(element: HtmlElement, depth: int) -> Iterator[str]:
    inline: list[str] = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str) and child.tag not in _SKIPPED and depth < _MAX_DEPTH:
            block = _block(child, depth)
            if block is None:
                inline.append(child.text_content() or "")
            else:
                yield from _paragraph(inline)
                yield from block
        inline.append(child.tail or "")
    yield from _paragraph(inline)


def _block(element: HtmlElement, depth: int) -> Iterator[str] | None:
    """Return the blocks of a block element, None for an inline one."""
    tag = element.tag
    if len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
        text = one_line(element.text_content())
        return iter([f"{'#' * int(tag[1])} {text}"] if text else [])
    if tag == "pre":
        return iter([f"```\n{element.text_content().strip()}\n```"])
    if tag == "table":
        return _table(element)
    if tag == "li":
        text = "\n".join(_blocks(element, depth + 1))
        return iter([f"- {text}"] if text else [])
    if tag in _BLOCKS or any(isinstance(child.tag, str) and child.tag in _BLOCKS for child in element):
        return _blocks(element, depth + 1)
    return None


def _table(element: HtmlElement) -> Iterator[str]:
    rows = []
    for row in element.iter("tr"):
        cells = [one_line(cell.text_content()).replace("|", "\\|") for cell in row if cell.tag in ("td", "th")]
        if any(cells):
            rows.append("| " + " | ".join(cells) + " |")
    if rows:
        columns = rows[0].count(" |")
        yield "\n".join([rows[0], "|" + " --- |" * columns, *rows[1:]])


def _paragraph(parts: list[str]) -> Iterator[str]:
    text = one_line("".join(parts))
    parts.clear()
    if text:
        yield text
