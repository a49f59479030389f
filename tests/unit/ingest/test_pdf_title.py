"""Titles that PDF properties give."""

import pytest

from ingest.parsing.pdf_title import telling_title

FILING = "Apple Inc. filed its quarterly report on Form 10-Q."


@pytest.mark.parametrize(
    ("title", "file_name", "text", "expected"),
    [
        ("Form 10-Q filed on 2022-07-29", "2022_Q3_AAPL.pdf", FILING, "2022 Q3 AAPL: Form 10-Q filed on 2022-07-29"),
        ("Form 10-Q of Apple", "2022_Q3_AAPL.pdf", FILING, "Form 10-Q of Apple"),
        ("Annual report 2023", "scan7.pdf", "ANNUAL REPORT 2023\n\nSales grew.", "Annual report 2023"),
        ("Annual Report 2023", "annual-report_2023.pdf", "Sales grew.", "Annual Report 2023"),
        ("Microsoft Word - pump manual.doc", "a.pdf", "The pump has a valve.", "pump manual.doc"),
        ("Final version 2", "7.pdf", "The pump has a valve.", "Final version 2"),
    ],
)
def test_a_title_that_names_nothing_in_the_text_gets_the_file_name_in_front(
    title: str, file_name: str, text: str, expected: str
) -> None:
    assert telling_title(title, file_name, text) == expected
