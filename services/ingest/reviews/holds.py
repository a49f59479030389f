"""Use cases: a document on hold, and released (docs/review.md).

A hold is no change of the document: it has a version of its own, beside the head, so that no upsert, delete or access
change that is under way at the same time can undo it, and no source's numbers are used up. It is written in this order:

    1  announce   replicas ask the authority from here on, also when the writer dies in the next moment
    2  write      the commit point: whoever asks the authority is told
    3  publish    replicas ask once more and go on by themselves; kept on the feed for a rebuild of the heads

A call that failed has an unknown outcome; repeating it does what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from chassis.clock import Clock, HybridLogicalClock
from chassis.errors import FailedPrecondition, InvalidRequest, NotFound
from chassis.identity import Caller, Scope
from chassis.telemetry.metrics import INGEST_HOLDS
from corpus.access import access_tokens
from corpus.domain import DocumentKey, Head, HeadState, Hold
from corpus.ports import Heads, PutOutcome, Tenants
from ingest.ports import HeadFeed

MAX_REASON_CHARACTERS = 300
MAX_PAGE = 1000
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class HeldDocument:
    """A hold with the document that it is of; ``head`` is None while no version was applied."""

    hold: Hold
    head: Head | None


@dataclass(frozen=True, slots=True)
class HoldDocuments:
    """Use cases of reviewers, and of the rules that hold by themselves. Idempotent."""

    tenants: Tenants
    heads: Heads
    feed: HeadFeed
    versions: HybridLogicalClock
    clock: Clock

    async def hold(self, caller: Caller, document_id: str, reason: str = "") -> HeldDocument:
        """Keeps the document out of everything that is served. Raises InvalidRequest REASON_TOO_LONG, NotFound,
        PermissionDenied, DependencyUnavailable."""
        require_reviewer(caller)
        if len(reason) > MAX_REASON_CHARACTERS:
            raise InvalidRequest(
                f"A reason has at most {MAX_REASON_CHARACTERS} characters: shorten it.", reason="REASON_TOO_LONG"
            )
        head = await self.document(caller, document_id)
        key = head.key if head is not None else DocumentKey(await self.tenant_id(caller), document_id)
        return HeldDocument(await self.impose(key, caller.subject, reason), head)

    async def release(self, caller: Caller, document_id: str, version: int = 0) -> None:
        """Ends the hold; with ``version`` only of the document at this version. Raises NotFound, PermissionDenied,
        FailedPrecondition DOCUMENT_CHANGED, DependencyUnavailable."""
        require_reviewer(caller)
        head = await self.document(caller, document_id)
        if version and (head is None or head.version != version):
            raise FailedPrecondition(
                "The document has another version by now: look at that one, then release it.",
                reason="DOCUMENT_CHANGED",
                metadata={"version": str(head.version if head is not None else 0)},
            )
        await self.lift(DocumentKey(await self.tenant_id(caller), document_id), caller.subject)

    async def list(self, caller: Caller, after: str, page_size: int) -> tuple[Sequence[HeldDocument], str]:
        """One page of what is on hold and the caller may know of, and the id to go on after ("" at the end)."""
        require_reviewer(caller)
        tenant_id = await self.tenant_id(caller)
        limit = min(page_size or 100, MAX_PAGE)
        known: list[HeldDocument] = []
        # Neither the token nor the length of a page may tell of holds that the caller may not know of.
        while True:
            page = await self.heads.holds(tenant_id, after=after, limit=MAX_PAGE)
            heads = await self.heads.get_many(tenant_id, [hold.key.document_id for hold in page])
            held = [HeldDocument(hold, heads.get(hold.key.document_id)) for hold in page]
            known += [each for each in held if may_know(caller, each.head, self.clock.now())]
            if len(known) > limit:
                return known[:limit], known[limit - 1].hold.key.document_id
            if len(page) < MAX_PAGE:
                return known, ""
            after = page[-1].key.document_id

    async def impose(self, key: DocumentKey, by: str, reason: str) -> Hold:
        """Holds the document, whoever asks for it; one that is held already keeps its first reason, except that a
        person takes over what a rule holds."""
        return await self._say(Hold(key, 0, True, self.clock.now(), by, reason))

    async def lift(self, key: DocumentKey, by: str) -> None:
        """Releases the document, whoever asks for it. What was never held stays as it is."""
        if await self.heads.hold(key) is not None:
            await self._say(Hold(key, 0, False, self.clock.now(), by))

    async def document(self, caller: Caller, document_id: str) -> Head | None:
        """The document's head; None while no version was applied. Raises NotFound UNKNOWN_DOCUMENT unless the caller
        may know of it."""
        head = await self.heads.get(DocumentKey(await self.tenant_id(caller), document_id))
        if not may_know(caller, head, self.clock.now()):
            raise NotFound("There is no document with this id that you may see.", reason="UNKNOWN_DOCUMENT")
        return head

    async def tenant_id(self, caller: Caller) -> str:
        """Of the caller's tenant. Raises NotFound UNKNOWN_TENANT."""
        tenant = await self.tenants.named(caller.tenant_id)
        if tenant is None:
            raise NotFound(
                "This tenant does not exist; an administrator creates it with CreateTenant.", reason="UNKNOWN_TENANT"
            )
        return tenant.tenant_id

    async def _say(self, wanted: Hold) -> Hold:
        while True:
            known = await self.heads.hold(wanted.key)
            news = known is None or known.held != wanted.held or _takes_over(wanted, known)
            said = replace(wanted, version=self._next(known)) if known is None or news else known
            await self.feed.announce_hold(said, known)
            if await self.heads.set_hold(said) is PutOutcome.SUPERSEDED:
                continue  # somebody else said something in the same moment; this comes after it
            await self._publish(said)
            if news:
                INGEST_HOLDS.add(action="held" if said.held else "released", by=_kind_of(said.by))
                _log.info("hold_changed", held=said.held, version=said.version, by=_kind_of(said.by))
            return said

    async def _publish(self, said: Hold) -> None:
        """Again while something newer is there: whoever stood still in between must not leave the last word behind."""
        while True:
            await self.feed.keep_hold(said)
            now = await self.heads.hold(said.key)
            if now is None or now == said:
                return
            said = now

    def _next(self, known: Hold | None) -> int:
        return max(self.versions.next(), known.version + 1) if known is not None else self.versions.next()


def require_reviewer(caller: Caller) -> None:
    """Raises PermissionDenied without the scope review or admin."""
    if Scope.ADMIN not in caller.scopes:
        caller.require(Scope.REVIEW)


def may_know(caller: Caller, head: Head | None, now: datetime) -> bool:
    """Whether the caller may know that there is the document, held or not: writers manage all documents of the tenant,
    others know of those that they may read."""
    if Scope.WRITE in caller.scopes:
        return True
    return (
        head is not None
        and head.state is HeadState.LIVE
        and (head.expires_at is None or head.expires_at > now)
        and head.access.security_level <= caller.clearance
        and not head.access.tokens.isdisjoint(access_tokens(head.key.tenant_id, caller.principals))
    )


def _takes_over(wanted: Hold, known: Hold) -> bool:
    # Otherwise a decision about what the rule found would end what a person said after it.
    return wanted.held and _kind_of(wanted.by) == "person" and _kind_of(known.by) == "rule"


def _kind_of(by: str) -> str:
    return "rule" if by.startswith("rule:") else "person"
