"""What an operator declares about a tenant's corpus: collections with descriptions, filter fields with their values.

Stages know nothing of a corpus but this file, so that no stage can tell a caller of a document that he may not read.
What is declared can show in any answer of the tenant: nothing secret belongs here. The tenant ``*`` stands for all that
have no table of their own.

    [[tenants.acme.collections]]
    name = "people"
    description = "Leave, travel, expenses and pay."
    doc_types = ["policy"]
    examples = ["How much holiday can I carry over?"]

    [tenants.acme.fields.product]
    names = ["product"]
    values = { "rill-q2" = ["Rill Q2", "Q2"], "weir-g3" = ["Weir G3"] }
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

ANY_TENANT: Final = "*"
_BUILT_IN: Final = {"doc_type": ("doc type", "document type"), "language": ("language",)}

Word = Annotated[str, Field(min_length=1, max_length=200)]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Collection(_Declared):
    """Documents of some types that belong together.

    Attributes:
        description: What they are about; its words decide, with the name's and the examples'.
        doc_types: Their document types.
        examples: Questions that belong there.
    """

    name: Word
    description: str = ""
    doc_types: tuple[Word, ...] = Field(min_length=1)
    examples: tuple[str, ...] = ()


class FilterField(_Declared):
    """A metadata field that questions may speak of; it must be declared for the tenant, or built in.

    Attributes:
        type: What its values are; values of versions need not be listed.
        names: Words it goes by in questions.
        values: Each value with the words it goes by, besides itself.
    """

    type: Literal["string", "version"] = "string"
    names: tuple[Word, ...] = ()
    values: Mapping[Word, tuple[Word, ...]] = Field(default_factory=dict)


class TenantVocabulary(_Declared):
    """What is declared for one tenant.

    Attributes:
        date_field: The timestamp field that dates in a question are about.
    """

    collections: tuple[Collection, ...] = ()
    fields: Mapping[Word, FilterField] = Field(default_factory=dict)
    date_field: str = "updated_at"

    def filter_fields(self) -> Mapping[str, FilterField]:
        """The declared fields; those that are built in know the words they go by."""
        return {
            name: field if field.names else field.model_copy(update={"names": _BUILT_IN.get(name, (name,))})
            for name, field in self.fields.items()
        }


class Vocabulary(_Declared):
    """What is declared, by tenant."""

    tenants: Mapping[str, TenantVocabulary] = Field(default_factory=dict)

    def of(self, tenant_id: str) -> TenantVocabulary:
        """What is declared for a tenant; nothing is declared for most."""
        return self.tenants.get(tenant_id) or self.tenants.get(ANY_TENANT) or TenantVocabulary()

    @staticmethod
    def load(path: Path | None) -> Vocabulary:
        """Reads the file; no path declares nothing.

        Raises:
            ValueError: It can't be read, is not TOML, or holds what has no place there; the message says where.
        """
        if path is None:
            return Vocabulary()
        try:
            return Vocabulary.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from None
        except ValidationError as error:
            places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ValueError(f"{path}: {places}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: {error}") from None
