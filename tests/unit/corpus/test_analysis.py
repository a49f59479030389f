"""Text analysis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.analysis import analyse, analyse_query


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The running runners ran", ("run", "runner", "ran")),
        ("HttpClient", ("httpclient", "http", "client")),
        ("parseHTTPResponse", ("parsehttpresponse", "pars", "http", "respons")),
        ("max_retries", ("max_retries", "max", "retri")),
        ("__init__", ("init",)),
        ("os.path", ("os.path", "os", "path")),
        ("sha256", ("sha256", "sha", "256")),
        ("v2.10.3 2.10.3", ("v2.10.3", "2.10.3", "2.10.3")),
        ("RFC-7519", ("rfc-7519", "rfc", "7519")),
        ("well-known", ("well", "known")),
        ("C++, C# or F#.", ("c++", "c#", "f#")),
        ("2024-05-01", ("2024-05-01", "2024", "05", "01")),
        ("ﬁle ＡＢＣ", ("file", "abc")),
        ("so\u00adft", ("soft",)),
        ("", ()),
        ("… —!", ()),
    ],
)
def test_english_and_code(text: str, terms: tuple[str, ...]) -> None:
    assert analyse(text) == terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("東京都", ("東京", "京都")),
        ("水", ("水",)),
        ("天気はAPI2です", ("天気", "気は", "api2", "api", "2", "です")),
        ("한국어 문서", ("한국", "국어", "문서")),
        ("ภาษา", ("ภา", "าษ", "ษา")),
    ],
)
def test_scripts_without_spaces_give_pairs(text: str, terms: tuple[str, ...]) -> None:
    assert analyse(text, "zh") == terms
    assert analyse_query(text) == terms


def test_marks_stay_inside_words() -> None:
    assert len(analyse("हिन्दी", "en")) == 1


@pytest.mark.parametrize(
    ("document", "language", "query"),
    [
        ("connections are refused", "en", "connection refusing"),
        ("Die Häuser am Fluss", "de", "Häuser"),
        ("Les élections présidentielles", "fr", "élections"),
        ("l'eau de la rivière", "fr", "eau"),
        ("Los ríos crecidos", "es-MX", "ríos"),
        ("Новости о реках", "ru", "новость"),
        ("東京都の天気", "ja", "京都"),
        ("Języki programowania", "pl", "języki"),
        ("some text", "xx", "text"),
    ],
)
def test_a_query_of_unknown_language_finds_documents_of_any(document: str, language: str, query: str) -> None:
    assert set(analyse(document, language)) & set(analyse_query(query))


@pytest.mark.parametrize(("document", "query"), [("Häuser", "Haus"), ("Haus", "Häuser")])
def test_a_query_of_known_language_is_stemmed_by_it(document: str, query: str) -> None:
    assert set(analyse(document, "de")) & set(analyse_query(query, "de"))
    assert analyse("Häuser", "DE_at") == analyse("Häuser", "de")


def test_stop_words_go_unless_nothing_else_is_there() -> None:
    assert analyse_query("what is the gauge") == ("gaug", "gauge")
    assert analyse_query("what is it") == ("what", "is", "it")
    assert set(analyse("The Who")) & set(analyse_query("the who"))
    assert "the" not in analyse("The gauge")


def test_an_english_query_adds_only_the_words_themselves() -> None:
    assert analyse_query("running gauges", "en") == ("run", "gaug")
    assert set(analyse_query("running gauges")) == {"run", "gaug", "running", "gauges"}


@given(st.text())
def test_no_term_is_empty_or_holds_white_space(text: str) -> None:
    for language in ("", "en", "de", "ja", "xx"):
        for term in (*analyse(text, language), *analyse_query(text, language)):
            assert term
            assert not any(character.isspace() for character in term)


@given(st.text(st.characters(categories=("Lu", "Ll", "Nd")), min_size=1, max_size=8))
def test_a_query_with_a_letter_or_digit_is_never_empty(text: str) -> None:
    assert analyse_query(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_text_means_the_same_whether_or_not_other_text_is_beside_it(text: str) -> None:
    assert analyse(f"{text} gauge é", "xx") == (*analyse(f"{text} gauge", "xx"), "é")


def test_long_tokens_are_cut() -> None:
    assert max(map(len, analyse("x" * 5_000 + " y" + "1a" * 3_000))) <= 128
