"""Mappings: which document a source's record is about, what it says, and who may read it.

A TOML file with one table per source, read and checked as a whole at the start:

    [sources.articles]
    format = "debezium"
    …
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, field_validator, model_validator

from chassis.endpoints import S3Endpoint
from ingest.sources.templates import Template

Text = Annotated[Template, PlainValidator(Template.parse)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Mapped(_Closed):
    """What the mappings of all formats say.

    Attributes:
        tenant: Whose documents they are.
        document_id: Their ids; it begins with text of its own for each source of a tenant.
        title, uri, doc_type, filename, media_type: As for any document.
        readers: Who may read: ``group:…``, ``user:…``, ``public``. A single field that is a list stands for all its
            elements. Without readers nobody may read.
        security_level: Least clearance that is needed.
        metadata: By name; a single field keeps its type.
    """

    tenant: Text
    document_id: Text
    title: Text | None = None
    uri: Text | None = None
    doc_type: Text | None = None
    filename: Text | None = None
    media_type: Text | None = None
    readers: tuple[Text, ...] = ()
    security_level: int = Field(default=0, ge=0, le=2**31 - 1)
    metadata: dict[str, Text] = Field(default_factory=dict)

    @field_validator("document_id")
    @classmethod
    def _tell_documents_apart(cls, template: Template) -> Template:
        if not template.placeholders:
            raise ValueError("the id needs a field of the record, for instance articles/{id}")
        between, begun = "", False
        for part in template.parts:
            if isinstance(part, str):
                between += part
            elif begun and "/" not in between:
                raise ValueError("fields of an id are separated by '/', as in {region}/{number}")
            else:
                between, begun = "", True
        return template


class Table(_Closed):
    """Whose rows they are, as the envelope's ``source`` says it; what is left out matches all.

    Attributes:
        name: Debezium's ``topic.prefix``.
        db, schema, table: As the connector names them.
    """

    table: str = Field(min_length=1)
    name: str | None = None
    db: str | None = None
    schema_: str | None = Field(default=None, alias="schema")

    def matches(self, source: Mapping[str, object]) -> bool:
        """Whether an envelope with this ``source`` is meant."""
        return all(source.get(key) == wanted for key, wanted in self._said().items())

    def overlaps(self, other: Table) -> bool:
        """Whether an envelope could match both."""
        mine, theirs = self._said(), other._said()
        return all(theirs.get(key, wanted) == wanted for key, wanted in mine.items())

    def _said(self) -> dict[str, str]:
        said = {"table": self.table, "name": self.name, "db": self.db, "schema": self.schema_}
        return {key: value for key, value in said.items() if value is not None}


class DebeziumMapping(Mapped):
    """Rows of a table.

    Attributes:
        match: Which table.
        text: The document's text, made of columns.
        version: Where versions come from: ``lsn`` (PostgreSQL), ``binlog`` (MySQL, MariaDB; one server's), or a column
            that grows with every change of a row, as ``{revision}``.
        epoch: One more each time that the database is replaced by one whose positions begin anew; 0 at first.
    """

    format: Literal["debezium"]
    match: Table
    text: Text
    version: Annotated[str, Field(pattern=r"^(lsn|binlog|\{[^{}]+\})$")] = "lsn"
    epoch: int = Field(default=0, ge=0, le=31)


class CloudEventsMapping(Mapped):
    """Events of one ``source``.

    Attributes:
        source: The attribute ``source``, byte for byte.
        put_types, delete_types: Values of the attribute ``type``; others are refused.
        text: The document's text, made of attributes and fields of ``data``; without it the data is the document.
        version: Of the document, made of attributes or fields of ``data``; a whole number.
    """

    format: Literal["cloudevents"]
    source: str = Field(min_length=1)
    put_types: tuple[str, ...] = Field(min_length=1)
    delete_types: tuple[str, ...] = ()
    text: Text | None = None
    version: Text = Template.parse("{sequence}")

    @model_validator(mode="after")
    def _tell_types_apart(self) -> CloudEventsMapping:
        if set(self.put_types) & set(self.delete_types):
            raise ValueError("a type is among put_types or delete_types, not both")
        return self


class S3Mapping(Mapped):
    """Objects of a bucket, by its notifications. Fields: ``{key}``, ``{bucket}``, ``{size}``, ``{etag}``.

    Attributes:
        bucket: Where the objects are read.
        suffixes: Of the keys that are wanted, for instance ``.pdf``; empty for all.
        sequencer_digits: Hexadecimal digits of the store's sequencers; Amazon's have 18, MinIO's 16.
    """

    format: Literal["s3"]
    bucket: S3Endpoint
    suffixes: tuple[str, ...] = ()
    sequencer_digits: int = Field(default=18, ge=8, le=32)

    @field_validator("bucket")
    @classmethod
    def _name_a_bucket(cls, bucket: S3Endpoint) -> S3Endpoint:
        if not bucket.location:
            raise ValueError("location is missing: s3://bucket or s3://bucket/prefix")
        return bucket

    @property
    def bucket_name(self) -> str:
        """Its name."""
        return self.bucket.location.removeprefix("s3://").partition("/")[0]

    @property
    def whole_bucket(self) -> S3Endpoint:
        """How to reach any of its objects by the whole key."""
        return self.bucket.model_copy(update={"location": f"s3://{self.bucket_name}"})

    @property
    def prefix(self) -> str:
        """What the keys begin with: empty, or something that ends in "/"."""
        prefix = self.bucket.location.removeprefix("s3://").partition("/")[2].strip("/")
        return f"{prefix}/" if prefix else ""


Source = Annotated[DebeziumMapping | CloudEventsMapping | S3Mapping, Field(discriminator="format")]


class Sources(_Closed):
    """All mappings, by name."""

    sources: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")], Source] = Field(min_length=1)

    @model_validator(mode="after")
    def _tell_sources_apart(self) -> Sources:
        for (one_name, one), (other_name, other) in combinations(self.sources.items(), 2):
            if _same_records(one, other):
                raise ValueError(f"{one_name} and {other_name} would both take the same records")
            if _same_documents(one, other):
                raise ValueError(
                    f"{one_name} and {other_name} could write the same documents, and their versions don't compare; "
                    "let their document_id begin differently"
                )
        return self


def load_sources(path: Path) -> Sources:
    """Reads and checks a file of mappings. Raises ValueError that names what is wrong, never a secret."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"the file can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError("the mappings are not TOML") from None
    return parse_sources(text)


def parse_sources(text: str) -> Sources:
    """Checks mappings. Raises ValueError that names what is wrong, never a secret."""
    try:
        return Sources.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        raise ValueError("the mappings are not TOML") from None
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise ValueError("; ".join(_line(problem["loc"], problem["msg"]) for problem in problems)) from None


def _line(location: tuple[int | str, ...], message: str) -> str:
    path = ".".join(str(part) for part in location)
    return f"{path}: {message.removeprefix('Value error, ')}" if path else message.removeprefix("Value error, ")


def _same_records(one: Source, other: Source) -> bool:
    match one, other:
        case DebeziumMapping(), DebeziumMapping():
            return one.match.overlaps(other.match)
        case CloudEventsMapping(), CloudEventsMapping():
            types = {*one.put_types, *one.delete_types} & {*other.put_types, *other.delete_types}
            return one.source == other.source and bool(types)
        case S3Mapping(), S3Mapping():
            nested = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
            return one.bucket_name == other.bucket_name and nested
    return False


def _same_documents(one: Source, other: Source) -> bool:
    fixed = not (one.tenant.placeholders or other.tenant.placeholders)
    if fixed and one.tenant != other.tenant:
        return False
    beginnings = one.document_id.literal_beginning, other.document_id.literal_beginning
    return beginnings[0].startswith(beginnings[1]) or beginnings[1].startswith(beginnings[0])
