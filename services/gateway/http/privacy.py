"""Routes for what pseudonyms stand for."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import Field

from gateway.http import bodies
from gateway.http.answers import use_cases_of
from gateway.http.identity import CallerOf
from headwater.ingest.v1 import privacy_pb2

router = APIRouter(prefix="/v1/privacy")


class RevealBody(bodies.Request):
    """Pseudonyms, and documents that hold them."""

    document_ids: list[str] = Field(description="1 to 64 documents that you may read.")
    pseudonyms: list[str] = Field(description="1 to 1,000, as they stand in the text, brackets included.")


class RevealedPseudonymBody(bodies.Response):
    """What a pseudonym stands for."""

    pseudonym: str
    value: str
    kind: str


class RevealedBody(bodies.Response):
    """Those pseudonyms that the documents hold, in the order in which they were asked for."""

    revealed: list[RevealedPseudonymBody]


@router.post("/reveal", summary="Say what pseudonyms in documents stand for; scope reveal")
async def reveal(body: RevealBody, request: Request, caller: CallerOf) -> RevealedBody:
    """As PrivacyService.RevealPseudonyms."""
    message = privacy_pb2.RevealPseudonymsRequest(document_ids=body.document_ids, pseudonyms=body.pseudonyms)
    return RevealedBody.of(await use_cases_of(request).privacy.reveal(message, caller))
