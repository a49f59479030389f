"""What bodies of the HTTP edge have in common."""

from __future__ import annotations

from typing import Annotated, Self

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from pydantic import BaseModel, BeforeValidator, ConfigDict


class Request(BaseModel):
    """What is sent: unknown fields are refused, for they are mistakes."""

    model_config = ConfigDict(extra="forbid")


class Response(BaseModel):
    """What is answered."""

    @classmethod
    def of(cls, message: Message) -> Self:
        """The same content as a protobuf message."""
        return cls.model_validate(
            MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        )


def short_name(value: object) -> object:
    """The last word of an enum's name: ANSWER_OUTCOME_ANSWERED is "answered"."""
    for prefix in (
        "ANSWER_OUTCOME_",
        "QUESTION_CLASS_",
        "SUPPORT_VERDICT_",
        "ACCEPT_OUTCOME_",
        "CHANGE_STATE_",
        "CHANGE_KIND_",
        "OPEN_CAUSE_",
        "DOCUMENT_STATE_",
        "FIELD_TYPE_",
        "FEEDBACK_REASON_",
        "RATING_",
        "REPLAY_VERDICT_",
        "DRIFT_STATE_",
    ):
        if isinstance(value, str) and value.startswith(prefix):
            return value.removeprefix(prefix).lower()
    return value


Name = Annotated[str, BeforeValidator(short_name)]


class StageBody(Response):
    """How long a stage took."""

    stage: str
    milliseconds: float
