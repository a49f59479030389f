"""The sample corpus and the golden set agree with each other, and the check would notice if they did not."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import pytest
from eval.check_golden import check
from eval.golden_set import EVAL_DIRECTORY, GoldenSet, Passage, load_golden_set
from eval.make_binary_documents import build_all


@pytest.fixture(scope="module")
def golden() -> GoldenSet:
    return load_golden_set()


def test_every_quote_stands_in_its_document_and_every_count_is_right(golden: GoldenSet) -> None:
    assert check(golden) == []


def test_the_corpus_has_every_format_that_ingest_promises(golden: GoldenSet) -> None:
    suffixes = {document.path.suffix for document in golden.documents}
    assert suffixes >= {
        ".md",
        ".rst",
        ".txt",
        ".html",
        ".pdf",
        ".docx",
        ".pptx",
        ".xlsx",
        ".csv",
        ".json",
        ".jsonl",
        ".py",
    }


def test_a_quote_that_no_document_says_is_noticed(golden: GoldenSet) -> None:
    first = replace(golden.answerable[0], expected=(Passage("product-overview", "The probe sings at dusk."),))
    assert any("does not say" in line for line in check(replace(golden, answerable=(first, *golden.answerable[1:]))))


def test_a_question_of_a_caller_who_may_not_read_the_answer_is_noticed(golden: GoldenSet) -> None:
    stripped = tuple(replace(case, groups=frozenset()) for case in golden.answerable)
    assert any("may not read salary-bands-2026" in line for line in check(replace(golden, answerable=stripped)))


def test_an_unanswerable_question_whose_fact_exists_is_noticed(golden: GoldenSet) -> None:
    first = replace(golden.unanswerable[0], absent=("turbidity",))
    assert any(
        "mentions 'turbidity'" in line
        for line in check(replace(golden, unanswerable=(first, *golden.unanswerable[1:])))
    )


def test_an_access_case_whose_denied_caller_may_read_the_document_is_noticed(golden: GoldenSet) -> None:
    first = replace(golden.access[0], denied=golden.access[0].allowed)
    assert any("should not be able" in line for line in check(replace(golden, access=(first, *golden.access[1:]))))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_committed_binary_documents_are_those_that_the_sources_build() -> None:
    for name, built in build_all().items():
        committed = (EVAL_DIRECTORY / "corpus" / name).read_bytes()
        # Compressed bytes depend on the zlib of the machine, the members do not.
        assert _members(built) == _members(committed), name


def _members(content: bytes) -> dict[str, bytes]:
    if content.startswith(b"%PDF"):
        return {"": content}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
