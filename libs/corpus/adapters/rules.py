"""Rules that every adapter of a registry or ledger applies in the same way, whatever it stores in."""

from __future__ import annotations

from collections.abc import Mapping

from chassis.errors import Conflict, Defect, FailedPrecondition
from corpus.domain import ChangeRecord, ChangeState, FieldType
from corpus.metadata import validate_declaration


def merged_fields(known: Mapping[str, FieldType], added: Mapping[str, FieldType]) -> dict[str, FieldType]:
    """A tenant's fields after a declaration. Raises FailedPrecondition FIELD_TYPE_CONFLICT, InvalidRequest."""
    for name, field_type in added.items():
        if known.get(name, field_type) is not field_type:
            raise FailedPrecondition(
                f"The field {name} is declared with the type {known[name]}; choose another name.",
                reason="FIELD_TYPE_CONFLICT",
                metadata={"field": name, "type": known[name]},
            )
    return dict(validate_declaration({**known, **added}))


def earlier_record(known: ChangeRecord, record: ChangeRecord) -> ChangeRecord:
    """The known record if ``record`` is the same change. Raises Conflict EVENT_ID_CONFLICT, VERSION_CONFLICT."""
    if (known.key, known.version) != (record.key, record.version):
        raise Conflict("The event id belongs to another change; use a new one.", reason="EVENT_ID_CONFLICT")
    if known.fingerprint != record.fingerprint:
        raise Conflict(
            "This version of the document was accepted before with other content; send a greater version.",
            reason="VERSION_CONFLICT",
            metadata={"version": str(record.version)},
        )
    return known


def require_terminal(state: ChangeState) -> None:
    """Raises Defect for a state that ends nothing."""
    if state is ChangeState.PENDING:
        raise Defect("A change can't be finished as pending.")
