"""What passages mention and what documents are named."""

from __future__ import annotations

import time

import pytest

from corpus.entities import MAX_MENTIONS, MAX_NAMES, mentions, names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Her first novel was published by Two Dollar Radio in 2010.", ("two dollar radio",)),
        ("He studied at the University of Bath and left.", ("university of bath",)),
        ("An album by M. Ward, who lives in Portland.", ("m ward", "portland")),
        ("However, Ezer Weizman resigned. Since then The Jetsons ran.", ("ezer weizman", "jetsons")),
        ("Set `max_retries` of HttpClient before os.path.join runs.", ("max_retries", "httpclient", "os path join")),
        ('They sang "wonderland by night" together.', ("wonderland by night",)),
        ("Sergio Agüero’s goals", ("sergio aguero",)),
        ("Kim Philby and Guy Burgess fled.", ("kim philby and guy burgess", "kim philby", "guy burgess")),
        ("Die Firma Rheinmetall AG.", ("firma rheinmetall ag",)),
        ("Роман Александра Пушкина вышел.", ("роман александра пушкина",)),
        ("it rained, e.g. in spring; 2010 3.5", ()),
        ("", ()),
    ],
)
def test_names_in_text_are_mentions(text: str, expected: tuple[str, ...]) -> None:
    found = mentions(text)
    assert [each for each in found if each in expected] == list(expected)
    assert len(found) <= len(expected) + 1  # the first word of a sentence may be one too many
    if not expected:
        assert found == ()


def test_names_do_not_go_on_over_paragraphs_and_punctuation() -> None:
    assert mentions("in Weir\n\nRill, Basin; Tarn") == ("weir", "rill", "basin", "tarn")
    assert mentions("in the Weir\nGateway") == ("weir gateway",)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("The Aristocats", ("aristocats",)),
        ("Laie, Hawaii", ("laie hawaii", "laie")),
        ("Act of War: Direct Action", ("act of war direct action",)),
        ("EMT, the cytoskeleton, and cancer", ("emt the cytoskeleton and cancer",)),
        ("IL-1, IL-4 and IL-12 control the fate of cells", ("il 1 il 4 and il 12 control the fate of cells",)),
        ("Presidential election, 2000 (Israel)", ("presidential election 2000", "presidential election")),
        ("Mark King (musician)", ("mark king",)),
        ("東京", ("東京",)),
        ("client.py", ("client py",)),
        ("2010", ()),
        ("", ()),
        ("x" * 81, ()),
    ],
)
def test_titles_are_names(title: str, expected: tuple[str, ...]) -> None:
    assert names(title) == expected


def test_a_mention_meets_the_name_however_it_is_written() -> None:
    for text in ("with Deltha O'Neal, III", "as Deltha O’Neal’s coach", "for Deltha O'Neal"):
        assert set(names("Deltha O'Neal")) & set(mentions(text)), text


def test_there_is_a_most_of_both() -> None:
    assert len(mentions("; ".join(f"Name{chr(97 + each % 26)}{each}" for each in range(500)))) == MAX_MENTIONS
    assert len(names(*(f"Title {each}" for each in range(50)))) == MAX_NAMES


@pytest.mark.parametrize("part", ["A ", "A" + " " * 50, "a.", '"', '"a', "(", "A. ", "A and ", "A'", "_"])
def test_hostile_text_takes_no_longer_than_other_text(part: str) -> None:
    text = part * (40_000 // len(part))
    began = time.process_time()
    mentions(text)
    names(text)
    assert time.process_time() - began < 2.0
