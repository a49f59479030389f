"""A mapping that can't be right is refused at the start, with its name and what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chassis.settings import ConfigurationError, print_config, read_settings
from ingest.settings import IngestSettings
from ingest.sources.mapping import load_sources
from ingest.sources.templates import Template

ARTICLES = """
[sources.articles]
format = "debezium"
match = { table = "articles" }
tenant = "acme"
document_id = "articles/{id}"
text = "{body}"
"""
WIKI = """
[sources.wiki]
format = "cloudevents"
source = "/wiki"
put_types = ["put"]
tenant = "acme"
document_id = "wiki/{subject}"
"""


def problem(tmp_path: Path, text: str) -> str:
    file = tmp_path / "sources.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r".") as caught:
        load_sources(file)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "sources: Field required"),
        ("[sources]", "at least 1 item"),
        ("[sources", "not TOML"),
        (ARTICLES.replace('"debezium"', '"csv"'), "sources.articles"),
        (ARTICLES + 'reader = ["public"]', "reader: Extra inputs are not permitted"),
        (ARTICLES.replace('tenant = "acme"', ""), "tenant: Field required"),
        (ARTICLES.replace("{body}", "{body"), "a brace stands alone"),
        (ARTICLES.replace("articles/{id}", "articles"), "the id needs a field"),
        (ARTICLES.replace("articles/{id}", "articles/{region}{id}"), "separated by '/'"),
        (ARTICLES.replace("articles/{id}", "articles/{region}-{id}"), "separated by '/'"),
        (ARTICLES + 'version = "ts_ms"', "version"),
        (ARTICLES + ARTICLES.replace("sources.articles", "sources.more").replace("articles/", "more/"), "same records"),
        (ARTICLES + WIKI.replace("wiki/{subject}", "{subject}"), "same documents"),
        (ARTICLES + WIKI.replace("wiki/{subject}", "articles/wiki/{subject}"), "same documents"),
        (WIKI + 'delete_types = ["put"]', "not both"),
        (WIKI.replace("put_types", "delete_types"), "put_types: Field required"),
    ],
)
def test_a_mapping_that_cant_be_right_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in problem(tmp_path, text)


def test_sources_of_different_tenants_may_use_the_same_ids(tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    file.write_text(ARTICLES + WIKI.replace("wiki/{subject}", "{subject}").replace("acme", "other"))
    assert set(load_sources(file).sources) == {"articles", "wiki"}


def test_the_service_does_not_start_with_a_bad_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sources.toml"
    file.write_text(ARTICLES.replace("{body}", "{"))
    monkeypatch.setenv("HEADWATER_INGEST_SOURCES_FILE", str(file))
    with pytest.raises(ConfigurationError, match=r"sources.*articles.*brace"):
        read_settings(IngestSettings)
    monkeypatch.setenv("HEADWATER_INGEST_SOURCES_FILE", str(tmp_path / "missing.toml"))
    with pytest.raises(ConfigurationError, match="can't be read"):
        read_settings(IngestSettings)


def test_mappings_may_be_given_without_a_file_and_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_INGEST_SOURCES", ARTICLES)
    settings = read_settings(IngestSettings)
    mappings = settings.mappings()
    assert mappings is not None
    assert set(mappings.sources) == {"articles"}
    assert "articles" not in print_config(settings)
    monkeypatch.setenv("HEADWATER_INGEST_SOURCES_FILE", "sources.toml")
    with pytest.raises(ConfigurationError, match="not both"):
        read_settings(IngestSettings)


def test_a_bad_mapping_is_explained_without_its_values(tmp_path: Path) -> None:
    s3 = """
[sources.s3]
format = "s3"
bucket = { location = "s3://b", secret_access_key = ["hush"] }
tenant = "acme"
document_id = "s3/{key}"
"""
    assert "hush" not in problem(tmp_path, s3)


def test_two_rows_never_share_an_id() -> None:
    template = Template.parse("orders/{region}/{number}")
    rows = [{"region": "a/b", "number": "c"}, {"region": "a", "number": "b/c"}, {"region": "a%2Fb", "number": "c"}]
    assert len({template.identifier(row) for row in rows}) == 3


def test_braces_can_be_written() -> None:
    assert Template.parse("{{{a}}} {b.c}").text({"a": 1, "b": {"c": "x"}}) == "{1} x"


def test_the_examples_of_the_page_about_sources_can_be_used_as_they_are(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "sources.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "sources.toml"
    file.write_text("\n".join(blocks), encoding="utf-8")
    assert {mapping.format for mapping in load_sources(file).sources.values()} == {"debezium", "cloudevents", "s3"}
