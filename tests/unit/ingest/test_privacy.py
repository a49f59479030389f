"""Personal data in documents: tagged or redacted before anything is indexed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.ingest.applying import APPLIED
from tests.unit.ingest.world import TENANT, World

from ingest.index import IndexDocument
from ingest.parsing.model import MetadataValue, ParsedDocument, Section
from ingest.privacy import PrivacyMode, PrivacyPolicy, load_privacy
from ingest.settings import IngestSettings

TEXT = "Ask anna@example.org.\nHer card is 4111 1111 1111 1111.\nThe pump is green."


def policy_of(tmp_path: Path, toml: str) -> PrivacyPolicy:
    path = tmp_path / "privacy.toml"
    path.write_text(toml)
    return load_privacy(path)


def with_policy(world: World, policy: PrivacyPolicy) -> None:
    assert isinstance(world.apply.index, IndexDocument)
    world.apply = replace(world.apply, index=replace(world.apply.index, privacy=policy))


def plain_document(text: str, metadata: Mapping[str, MetadataValue] | None = None) -> ParsedDocument:
    return ParsedDocument(text, None, "en", metadata or {}, (Section((), 0, len(text)),), "text")


async def test_a_redacted_document_is_stored_searched_and_titled_without_personal_data(tmp_path: Path) -> None:
    async with World() as world:
        with_policy(world, policy_of(tmp_path, '[default]\nmode = "redact"'))
        event = await world.upsert("guide", 5, TEXT, title="For anna@example.org")
        assert await world.apply.apply(event) == APPLIED
        head = await world.head("guide")
        assert head is not None
        assert head.title == "For [EMAIL]"
        assert head.metadata["personal_data"] == ("card", "email")
        assert await world.text("guide") == "Ask [EMAIL].\nHer card is [CARD].\nThe pump is green."


async def test_a_tagged_document_keeps_its_text_and_names_the_kinds(tmp_path: Path) -> None:
    async with World() as world:
        with_policy(world, policy_of(tmp_path, f'[tenants.{TENANT}]\nmode = "tag"\nkinds = ["email"]'))
        await world.apply.apply(await world.upsert("guide", 5, TEXT))
        head = await world.head("guide")
        assert head is not None
        assert head.metadata["personal_data"] == ("email",)
        assert await world.text("guide") == TEXT


async def test_without_a_policy_nothing_is_looked_for() -> None:
    async with World() as world:
        await world.apply.apply(await world.upsert("guide", 5, TEXT))
        head = await world.head("guide")
        assert head is not None
        assert "personal_data" not in head.metadata


def test_a_document_type_has_a_mode_of_its_own_and_a_tenant_its_own_table(tmp_path: Path) -> None:
    policy = policy_of(
        tmp_path,
        '[default]\nmode = "tag"\n[tenants.acme]\nmode = "none"\ndoc_types = { contract = "redact" }\n',
    )

    assert policy.mode("other", "contract") is PrivacyMode.TAG
    assert policy.mode("acme", "contract") is PrivacyMode.REDACT
    assert policy.mode("acme", "manual") is PrivacyMode.NONE


def test_a_tenant_that_got_a_used_name_has_the_policy_of_the_name(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, '[tenants.acme]\nmode = "redact"')

    assert policy.mode("acme_1", "") is PrivacyMode.REDACT
    assert policy.applied(plain_document("a@b.example"), "", "acme_2", "").parsed.text == "[EMAIL]"


def test_metadata_is_judged_by_the_names_of_its_fields(tmp_path: Path) -> None:
    given = {
        "card": 4111111111111111,
        "owner_phone": 4515986,
        "ssn": "078051120",
        "phones": (4515986, 4515987),
        "fax": 4515986.0,
        "pages": 4515986,
        "draft": True,
        "note": "a pump",
    }
    policy = policy_of(tmp_path, '[default]\nmode = "redact"')

    private = policy.applied(plain_document("nothing", given), "", "acme", "")

    assert private.parsed.metadata == {
        "card": "[CARD]",
        "owner_phone": "[PHONE]",
        "ssn": "[SSN]",
        "phones": ("[PHONE]", "[PHONE]"),
        "fax": "[PHONE]",
        "pages": 4515986,
        "draft": True,
        "note": "a pump",
    }
    assert private.kinds == ("card", "phone", "ssn")


def test_what_the_text_tells_is_hidden_in_headings_titles_and_metadata_too(tmp_path: Path) -> None:
    text = "Phone: 4515986"
    section = Section(("Anna 4515986", "No. 45159867"), 0, len(text))
    parsed = ParsedDocument(text, "4515986", "en", {"note": "4515986"}, (section,), "text")

    private = policy_of(tmp_path, '[default]\nmode = "redact"').applied(parsed, "Of 4515986", "acme", "")

    assert private.title == "Of [PHONE]"
    assert private.parsed.title == "[PHONE]"
    assert private.parsed.metadata == {"note": "[PHONE]"}
    assert private.parsed.sections[0].heading_path == ("Anna [PHONE]", "No. 45159867")


def test_tags_name_what_headings_and_metadata_hold(tmp_path: Path) -> None:
    parsed = replace(plain_document("text", {"by": "a@b.example"}), sections=(Section(("At 192.0.2.17",), 0, 4),))

    private = policy_of(tmp_path, '[default]\nmode = "tag"').applied(parsed, "", "acme", "")

    assert private.kinds == ("email", "ip")
    assert private.parsed == parsed


@pytest.mark.parametrize(
    ("text", "tags"), [("---\npersonal_data: [ssn]\n---\n# A pump\n", None), (TEXT, ("card", "email"))]
)
async def test_a_document_does_not_say_itself_what_was_found(tmp_path: Path, text: str, tags: object) -> None:
    async with World() as world:
        with_policy(world, policy_of(tmp_path, '[default]\nmode = "tag"'))
        event = await world.upsert("guide", 5, text, metadata={"personal_data": "iban"})
        assert await world.apply.apply(event) == APPLIED
        head = await world.head("guide")
        assert head is not None
        assert head.metadata.get("personal_data") == tags


@pytest.mark.parametrize("toml", ['[default]\nmode = "redcat"', "[defaults]", "mode = ", '[default]\nkinds = ["mail"]'])
def test_a_policy_that_is_not_understood_stops_the_service(tmp_path: Path, toml: str) -> None:
    path = tmp_path / "privacy.toml"
    path.write_text(toml)

    with pytest.raises(ValidationError, match="privacy policies"):
        IngestSettings(privacy_file=path)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a@b.example", " word ", "192.0.2.17", "4111111111111111\n", ". ", "x"]), min_size=1))
def test_sections_of_a_redacted_document_still_tile_its_text(pieces: list[str]) -> None:
    text, sections = "".join(pieces), []
    for piece in pieces:
        start = sections[-1].end if sections else 0
        sections.append(Section((piece,), start, start + len(piece)))
    parsed = ParsedDocument(text, None, "en", {}, tuple(sections), "text")
    policy = PrivacyPolicy().table.model_copy(
        update={"default": PrivacyPolicy().table.default.model_copy(update={"mode": PrivacyMode.REDACT})}
    )

    private = PrivacyPolicy(policy).applied(parsed, "", "acme", "").parsed

    assert "".join(private.text[section.start : section.end] for section in private.sections) == private.text
    assert "a@b.example" not in "".join(heading for section in private.sections for heading in section.heading_path)
