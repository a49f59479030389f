"""Personal data in documents: what a tenant wants done with it before anything is chunked, embedded or indexed.

The policy is a table by tenant and document type. With ``redact`` and ``pseudonymise``, text, title, headings and what
the document says of itself hold placeholders from here on: nothing behind this stage ever sees what stood there. With
``pseudonymise`` they tell values apart, and the vault keeps what they stand for. The bytes that were put stay in the
object store as they came. What the caller describes a document with (metadata, title, address) is his own statement;
of it only the title is redacted.
"""

from __future__ import annotations

import operator
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chassis.errors import FailedPrecondition
from corpus.domain import Metadata
from corpus.ids import name_of_tenant
from corpus.privacy.entities import ALL_KINDS, EntityKind
from corpus.privacy.known import KnownValues
from corpus.privacy.pseudonyms import Naming, Pseudonyms
from corpus.privacy.redact import redact, unnumbered
from ingest.parsing.model import MetadataScalar, MetadataValue, ParsedDocument

TAG_FIELD: Final = "personal_data"
"""Metadata field that names the kinds found, for filters."""


class PrivacyMode(StrEnum):
    """What is done with personal data."""

    NONE = "none"
    TAG = "tag"
    """The kinds found are named in the metadata; the text stays."""
    REDACT = "redact"
    """Placeholders take its place, and the kinds are named."""
    PSEUDONYMISE = "pseudonymise"
    """As ``redact``, with the same placeholder for the same value of the tenant; a vault knows what it stands for."""


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: PrivacyMode = PrivacyMode.NONE
    kinds: frozenset[EntityKind] = ALL_KINDS
    doc_types: Mapping[str, PrivacyMode] = Field(default_factory=dict)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    default: _Rule = _Rule()
    tenants: Mapping[str, _Rule] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PrivatePart:
    """A document as it may be indexed. ``kinds`` were found; ``title`` is the one to show; ``pseudonyms`` says what
    those in the text stand for, and is None in another mode."""

    parsed: ParsedDocument
    title: str
    kinds: tuple[str, ...]
    pseudonyms: Mapping[str, str] | None = None

    def tagged(self, metadata: Metadata) -> Metadata:
        """The metadata with the kinds that were found, whatever it said of them before."""
        others = {name: value for name, value in metadata.items() if name != TAG_FIELD}
        return {**others, TAG_FIELD: self.kinds} if self.kinds else others


@dataclass(frozen=True, slots=True)
class PrivacyPolicy:
    """The table, read, with the names that pseudonyms are made by, where there are any."""

    table: _Table = field(default_factory=_Table)
    names: Pseudonyms | None = None

    @property
    def pseudonymises(self) -> bool:
        """Whether the mode ``pseudonymise`` is anywhere in the table."""
        rules = (self.table.default, *self.table.tenants.values())
        return any(PrivacyMode.PSEUDONYMISE in (rule.mode, *rule.doc_types.values()) for rule in rules)

    def mode(self, tenant_id: str, doc_type: str) -> PrivacyMode:
        """What is done with personal data of the tenant's documents of the type."""
        rule = self._rule(tenant_id)
        return rule.doc_types.get(doc_type, rule.mode)

    def applied(self, parsed: ParsedDocument, title: str, tenant_id: str, doc_type: str) -> PrivatePart:
        """The document after the policy. CPU-bound: up to two seconds for a megabyte of text. Pure."""
        mode, kinds = self.mode(tenant_id, doc_type), self._rule(tenant_id).kinds
        if mode is PrivacyMode.NONE:
            return PrivatePart(parsed, title, ())
        if mode is PrivacyMode.PSEUDONYMISE:
            if self.names is None:
                raise FailedPrecondition(
                    "Documents are to be pseudonymised, and there is no key for it: set the vault's keys.",
                    reason="NO_PSEUDONYM_KEY",
                )
            values: dict[str, str] = {}
            return replace(_redacted(parsed, title, kinds, self.names.naming(tenant_id, values)), pseudonyms=values)
        redacted = _redacted(parsed, title, kinds, unnumbered)
        return redacted if mode is PrivacyMode.REDACT else PrivatePart(parsed, title, redacted.kinds)

    def _rule(self, tenant_id: str) -> _Rule:
        # Tenants are named in the table; one that got a name used before has the name with a number for an id.
        return self.table.tenants.get(name_of_tenant(tenant_id), self.table.default)


def load_privacy(path: Path) -> PrivacyPolicy:
    """The policy of a TOML file (docs/privacy.md). Raises ValueError for a file that can't be read or says something
    that is not known: better no service than one that indexes what it should not."""
    try:
        return parse_privacy(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"the file of privacy policies can't be read: {type(error).__name__}") from None


def parse_privacy(text: str) -> PrivacyPolicy:
    """As ``load_privacy``, of the text itself; an empty one leaves everything as it is."""
    try:
        return PrivacyPolicy(_Table.model_validate(tomllib.loads(text)))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"the privacy policies are no TOML: {type(error).__name__}") from None
    except ValidationError as error:
        places = "; ".join(".".join(map(str, item["loc"])) for item in error.errors())
        raise ValueError(f"the privacy policies hold what is not known: {places}") from None


def _redacted(parsed: ParsedDocument, title: str, kinds: frozenset[EntityKind], name: Naming) -> PrivatePart:
    text = redact(parsed.text, kinds, name)
    found = [entity.kind for entity in text.entities]
    short = (title, parsed.title or "", *(part for section in parsed.sections for part in section.heading_path))
    known = KnownValues.of(parsed.text, text.entities, (*short, *map(str, _scalars(parsed.metadata))))

    def plain(value: str) -> str:
        redacted = redact(known.replaced(value, name), kinds, name)
        found.extend(entity.kind for entity in redacted.entities)
        return redacted.text

    def plain_field(label: str, value: MetadataValue) -> MetadataValue:
        if isinstance(value, tuple):
            items = [plain_item(label, item) for item in value]
            return tuple(map(str, items)) if any(map(operator.ne, items, value)) else value
        return plain_item(label, value)

    def plain_item(label: str, item: MetadataScalar) -> MetadataScalar:
        if isinstance(item, bool | datetime):
            return item
        # A field's name says what is in it: a number under "card" is a card's.
        before = f"{label}: "
        value = str(int(item) if isinstance(item, float) and item.is_integer() else item)
        redacted = redact(before + known.replaced(value, name), kinds, name)
        found.extend(entity.kind for entity in redacted.entities)
        after = redacted.text[redacted.position(len(before)) :]
        return item if after == value else after

    ends = [text.position(section.end) for section in parsed.sections]
    if ends:
        ends[-1] = len(text.text)
    starts = [0, *ends[:-1]]
    sections = tuple(
        replace(section, heading_path=tuple(map(plain, section.heading_path)), start=start, end=end)
        for section, start, end in zip(parsed.sections, starts, ends, strict=True)
        # A section that was nothing but the rest of an entity has become part of the one before.
        if end > start
    )
    parsed = replace(
        parsed,
        text=text.text,
        title=None if parsed.title is None else plain(parsed.title),
        metadata={label: plain_field(label, value) for label, value in parsed.metadata.items()},
        sections=sections,
    )
    return PrivatePart(parsed, plain(title), _names(found))


def _scalars(metadata: Mapping[str, MetadataValue]) -> Iterator[MetadataScalar]:
    for value in metadata.values():
        if isinstance(value, tuple):
            yield from value
        else:
            yield value


def _names(kinds: Iterable[EntityKind]) -> tuple[str, ...]:
    return tuple(sorted({str(kind) for kind in kinds}))
