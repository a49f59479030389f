"""Client of Headwater: put documents in, get cited answers out.

from headwater import Client

with Client("127.0.0.1:7700") as client:
    text = b"Everyone has 30 days of paid leave a year."
    client.put_document("handbook", text, filename="handbook.md", readers=["public"])
    client.wait_until_applied()
    print(client.ask("How many days of leave do I have?").text)
"""

from headwater.aio import AsyncClient
from headwater.client import Client
from headwater.errors import (
    ConflictError,
    HeadwaterError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    PreconditionError,
    TimeoutExceededError,
    UnauthenticatedError,
    UnavailableError,
)
from headwater.support import SentenceSupport, SourceConflict, SupportVerdict
from headwater.types import (
    Answer,
    AnswerOutcome,
    Change,
    Citation,
    Document,
    Hit,
    Identity,
    IngestStatus,
    Plan,
    Receipt,
    Refusal,
    SearchResult,
    Stage,
    Tenant,
    Turn,
)

__all__ = [
    "Answer",
    "AnswerOutcome",
    "AsyncClient",
    "Change",
    "Citation",
    "Client",
    "ConflictError",
    "Document",
    "HeadwaterError",
    "Hit",
    "Identity",
    "IngestStatus",
    "InvalidRequestError",
    "NotFoundError",
    "OverloadedError",
    "PermissionDeniedError",
    "Plan",
    "PreconditionError",
    "Receipt",
    "Refusal",
    "SearchResult",
    "SentenceSupport",
    "SourceConflict",
    "Stage",
    "SupportVerdict",
    "Tenant",
    "TimeoutExceededError",
    "Turn",
    "UnauthenticatedError",
    "UnavailableError",
]
