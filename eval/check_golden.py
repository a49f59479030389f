"""Checks, without any service, that the sample corpus and the golden set agree with each other.

Texts are read here in the plainest way (files as they are, Office files through markitdown, PDF through pypdfium2)
and not through the ingest service, so that a parser that loses text fails the evaluation and not this check.

Example:
    python -m eval.check_golden
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pypdfium2  # type: ignore[import-untyped]
import yaml
from eval.golden_set import EVAL_DIRECTORY, AnswerableCase, GoldenSet, Passage, load_golden_set, normalise
from markitdown import MarkItDown
from packaging.version import InvalidVersion, Version

ANSWERABLE_COUNT = 60
UNANSWERABLE_COUNT = 10
DOC_TYPES = frozenset(
    ["guide", "reference", "policy", "runbook", "release_notes", "postmortem", "api", "code", "faq", "table"]
)
KINDS = frozenset(["lookup", "howto", "comparison", "multi_hop", "time_sensitive", "table", "code"])
# Characters that a parser of these formats may take away; a quote with one of them could not be found again.
MARKUP = {".md": "*`|", ".rst": "*`|", ".html": "<>"}


class _VisibleText(HTMLParser):
    """Collects the text of a page, without its head, navigation and footer."""

    SKIPPED = frozenset({"head", "nav", "footer", "script", "style"})

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._skipping = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skipping += tag in self.SKIPPED

    def handle_endtag(self, tag: str) -> None:
        self._skipping -= tag in self.SKIPPED

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self.parts.append(data)


@lru_cache(maxsize=128)
def plain_text(path: Path) -> str:
    """Returns the normalised text of a document, as a reader of the file would see it."""
    if path.suffix in {".docx", ".pptx", ".xlsx"}:
        return normalise(MarkItDown().convert(path).text_content)
    if path.suffix == ".pdf":
        with pypdfium2.PdfDocument(path) as pdf:
            return normalise(" ".join(page.get_textpage().get_text_bounded() for page in pdf))
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        page = _VisibleText()
        page.feed(text)
        return normalise(" ".join(page.parts))
    if path.suffix in {".json", ".jsonl"}:
        lines = text.splitlines() if path.suffix == ".jsonl" else [text]
        return normalise(" ".join(leaf for line in lines for leaf in _leaves(json.loads(line))))
    return normalise(text)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield str(value)


def check(golden: GoldenSet, directory: Path = EVAL_DIRECTORY) -> list[str]:
    """Returns every contradiction found, each as one line that names the record; empty when all is well."""
    texts = {document.document_id: plain_text(document.path) for document in golden.documents}
    return [
        *_check_documents(golden, directory),
        *_check_ids(golden),
        *_check_answerable(golden, texts),
        *_check_unanswerable(golden, texts),
        *_check_access(golden, texts),
        *_check_injection(golden, texts),
    ]


def _check_documents(golden: GoldenSet, directory: Path) -> Iterator[str]:
    listed = {document.path for document in golden.documents}
    present = {path for path in (directory / "corpus").iterdir() if path.is_file()}
    yield from (f"{path.name}: in the corpus but not in the manifest" for path in sorted(present - listed))
    yield from (f"{path.name}: in the manifest but not in the corpus" for path in sorted(listed - present))
    for document in golden.documents:
        name = document.document_id
        if document.doc_type not in DOC_TYPES:
            yield f"{name}: unknown doc_type {document.doc_type}"
        yield from (f"{name}: unknown group {group}" for group in document.groups - golden.known_groups)
        for field, value in document.metadata.items():
            declared = golden.metadata_fields.get(field)
            if declared is None or not _has_type(value, declared):
                yield f"{name}: metadata {field}={value!r} is not declared as such ({declared})"
        for field, value in _front_matter(document.path).items():
            stated: Any = {
                "title": document.title,
                "doc_type": document.doc_type,
                "groups": sorted(document.groups),
            }.get(field, document.metadata.get(field))
            if value != stated:
                yield f"{name}: front matter says {field}={value!r}, the manifest {stated!r}"


def _has_type(value: object, declared: str) -> bool:
    if declared == "string_list":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if not isinstance(value, str):
        return False
    try:
        if declared == "timestamp":
            return datetime.fromisoformat(value).tzinfo is not None
        if declared == "version":
            Version(value)
    except (ValueError, InvalidVersion):
        return False
    return True


def _front_matter(path: Path) -> Mapping[str, Any]:
    """Returns the metadata that a Markdown or reStructuredText file states about itself, in the manifest's form."""
    text = path.read_text(encoding="utf-8") if path.suffix in {".md", ".rst"} else ""
    if path.suffix == ".md":
        fields: dict[str, Any] = yaml.load(text.split("---\n")[1], Loader=yaml.BaseLoader)
        return {name: sorted(value) if name == "groups" else value for name, value in fields.items()}
    found: dict[str, Any] = dict(re.findall(r"^:(\w+): (.*)$", text.split("\n\n")[0], re.MULTILINE))
    if "groups" in found:
        found["groups"] = sorted(found["groups"].split())
    return found


def _check_ids(golden: GoldenSet) -> Iterator[str]:
    asked = [
        *((case.case_id, case.question) for case in golden.answerable),
        *((case.case_id, case.question) for case in golden.unanswerable),
        *((case.case_id, case.question) for case in golden.access),
        *((case.case_id, case.question) for case in golden.injection),
    ]
    for label, values in {
        "id": [case_id for case_id, _ in asked],
        "question": [question for _, question in asked],
        "document": [document.document_id for document in golden.documents],
    }.items():
        yield from (f"{label} {value!r} is used {n} times" for value, n in Counter(values).items() if n > 1)
    if len(golden.answerable) != ANSWERABLE_COUNT:
        yield f"{len(golden.answerable)} answerable questions, expected {ANSWERABLE_COUNT}"
    if len(golden.unanswerable) != UNANSWERABLE_COUNT:
        yield f"{len(golden.unanswerable)} unanswerable questions, expected {UNANSWERABLE_COUNT}"


def _check_quote(golden: GoldenSet, texts: Mapping[str, str], case_id: str, passage: Passage) -> Iterator[str]:
    text = texts.get(passage.document_id)
    if text is None:
        yield f"{case_id}: no document {passage.document_id}"
        return
    if normalise(passage.quote) not in text:
        yield f"{case_id}: {passage.document_id} does not say {passage.quote!r}"
    path = next(document.path for document in golden.documents if document.document_id == passage.document_id)
    if any(character in passage.quote for character in MARKUP.get(path.suffix, "")):
        yield f"{case_id}: the quote holds markup of {path.suffix}: {passage.quote!r}"


def _check_contains(case_id: str, alternatives: Iterable[tuple[str, ...]], texts: Iterable[str]) -> Iterator[str]:
    joined = " ".join(texts)
    for options in alternatives:
        if not any(option in joined for option in options):
            yield f"{case_id}: none of {options} occurs in an expected document"


def _check_answerable(golden: GoldenSet, texts: Mapping[str, str]) -> Iterator[str]:
    by_id = {document.document_id: document for document in golden.documents}
    for case in golden.answerable:
        if case.kind not in KINDS:
            yield f"{case.case_id}: unknown kind {case.kind}"
        if not case.expected or not case.answer_contains:
            yield f"{case.case_id}: needs at least one passage and one string of the answer"
        for passage in case.expected:
            yield from _check_quote(golden, texts, case.case_id, passage)
            document = by_id.get(passage.document_id)
            if document and not document.readable_by(case.groups):
                yield f"{case.case_id}: its caller may not read {passage.document_id}"
        expected = [texts.get(passage.document_id, "") for passage in case.expected]
        yield from _check_contains(case.case_id, case.answer_contains, expected)
        yield from _check_filter(case, golden.metadata_fields)
    asked = {passage.document_id for case in golden.answerable for passage in case.expected}
    yield from (f"{name}: no question asks for this document" for name in sorted(set(by_id) - asked))


def _check_filter(case: AnswerableCase, declared: Mapping[str, str]) -> Iterator[str]:
    pending: list[Any] = [case.filter] if case.filter else []
    while pending:
        for field, value in pending.pop().items():
            if field in {"$and", "$or"}:
                pending.extend(value)
            elif field == "$not":
                pending.append(value)
            elif field not in declared:
                yield f"{case.case_id}: the filter names the undeclared field {field}"


def _check_unanswerable(golden: GoldenSet, texts: Mapping[str, str]) -> Iterator[str]:
    for case in golden.unanswerable:
        if not case.absent or not case.why:
            yield f"{case.case_id}: needs the words that are absent and the reason why"
        for word in case.absent:
            pattern = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
            yield from (
                f"{case.case_id}: {name} mentions {word!r}" for name, text in texts.items() if pattern.search(text)
            )


def _check_access(golden: GoldenSet, texts: Mapping[str, str]) -> Iterator[str]:
    by_id = {document.document_id: document for document in golden.documents}
    for case in golden.access:
        yield from _check_quote(golden, texts, case.case_id, case.passage)
        document = by_id[case.passage.document_id]
        yield from _check_contains(case.case_id, case.answer_contains, [texts[document.document_id]])
        if not document.readable_by(case.allowed.groups):
            yield f"{case.case_id}: {case.allowed.name} should be able to read {document.document_id}"
        if document.readable_by(case.denied.groups):
            yield f"{case.case_id}: {case.denied.name} should not be able to read {document.document_id}"
        for other in golden.documents:
            if other.readable_by(case.denied.groups) and normalise(case.passage.quote) in texts[other.document_id]:
                yield f"{case.case_id}: {case.denied.name} finds the answer in {other.document_id}"


def _check_injection(golden: GoldenSet, texts: Mapping[str, str]) -> Iterator[str]:
    for case in golden.injection:
        yield from _check_quote(golden, texts, case.case_id, case.passage)
        yield from _check_contains(
            case.case_id, ((word,) for word in case.must_not_contain), [texts[case.passage.document_id]]
        )


def main() -> int:
    """Prints the contradictions found, or one line of counts; returns the exit status."""
    golden = load_golden_set()
    problems = check(golden)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(
            f"{len(golden.documents)} documents, {len(golden.answerable)} answerable and {len(golden.unanswerable)} "
            f"unanswerable questions, {len(golden.access)} access cases: consistent"
        )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
