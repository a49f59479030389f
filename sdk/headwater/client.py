"""The blocking client: the asyncio client, run on a loop of its own in a background thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from headwater import channel
from headwater.aio import AsyncClient
from headwater.costs import CostGrouping, CostReport
from headwater.dead_letters import DeadLetter, LetterResult, ShownLetter
from headwater.drift import DriftReport
from headwater.feedback import FeedbackReport, RatedAnswer
from headwater.generations import GenerationSettings, GenerationStatus
from headwater.privacy import RevealedPseudonym, VaultKey
from headwater.replays import ReplayedAnswer
from headwater.reviews import Decision, HeldDocument, Review, ReviewChoice
from headwater.stores import AuditReport, KeptVersion, RebuildResult, RolledBack, StageProgress, StoreChoice
from headwater.types import (
    Answer,
    AnswerEvent,
    Change,
    Document,
    Halt,
    Identity,
    IngestStatus,
    LoggedAnswer,
    OpenChange,
    Receipt,
    SearchResult,
    Tenant,
)

T = TypeVar("T")


class Client:
    """Calls a Headwater gateway and waits. Thread-safe; use it as a context manager or call ``close``.

    Arguments and methods are those of ``AsyncClient``, without ``await``.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:7700",
        *,
        token: str | None = None,
        identity: Identity | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="headwater-client", daemon=True)
        self._thread.start()
        self._open: set[str] = set()

        async def connect() -> AsyncClient:
            # grpc.aio binds a channel to the loop that it is made on.
            return AsyncClient(target, token=token, identity=identity, credentials=credentials)

        self._client = self._run(connect())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection and ends the background thread. Idempotent."""
        if self._loop.is_closed():
            return
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def step() -> tuple[bool, T | None]:
            try:
                return True, await anext(items)
            except StopAsyncIteration:
                return False, None

        async def stop() -> None:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

        try:
            while True:
                more, item = self._run(step())
                if not more:
                    return
                yield item  # type: ignore[misc]
        finally:
            self._run(stop())

    def search(
        self, text: str, *, k: int = 10, timeout_seconds: float = channel.READ_SECONDS, **options: Any
    ) -> SearchResult:
        """See ``AsyncClient.search``."""
        return self._run(self._client.search(text, k=k, timeout_seconds=timeout_seconds, **options))

    def search_batch(self, texts: Sequence[str], *, k: int = 10, **options: Any) -> list[SearchResult]:
        """See ``AsyncClient.search_batch``."""
        return self._run(self._client.search_batch(texts, k=k, **options))

    def ask_stream(self, question: str, **options: Any) -> Iterator[AnswerEvent]:
        """See ``AsyncClient.ask_stream``."""
        return self._iterate(self._client.ask_stream(question, **options))

    def ask(self, question: str, **options: Any) -> Answer:
        """See ``AsyncClient.ask``."""
        return self._run(self._client.ask(question, **options))

    def ask_batch(self, questions: Sequence[str], **options: Any) -> list[Answer]:
        """See ``AsyncClient.ask_batch``."""
        return self._run(self._client.ask_batch(questions, **options))

    def get_answer(self, answer_id: str) -> LoggedAnswer:
        """See ``AsyncClient.get_answer``."""
        return self._run(self._client.get_answer(answer_id))

    def send_feedback(self, answer_id: str, *, good: bool, comment: str = "") -> None:
        """See ``AsyncClient.send_feedback``."""
        self._run(self._client.send_feedback(answer_id, good=good, comment=comment))

    def give_feedback(self, answer_id: str, *, good: bool, **said: str) -> None:
        """See ``Feedback.give``."""
        self._run(self._client.feedback.give(answer_id, good=good, **said))

    def feedback_report(self, *, since: datetime | None = None, most: int = 20) -> FeedbackReport:
        """See ``Feedback.report``."""
        return self._run(self._client.feedback.report(since=since, most=most))

    def export_tuning_data(self, *, since: datetime | None = None) -> Iterator[RatedAnswer]:
        """See ``Feedback.export``."""
        return self._iterate(self._client.feedback.export(since=since))

    def put_document(self, document_id: str, content: bytes | Path, **description: Any) -> Receipt:
        """See ``AsyncClient.put_document``."""
        return self._noted(self._run(self._client.put_document(document_id, content, **description)))

    def delete_document(self, document_id: str, *, version: int = 0) -> Receipt:
        """See ``AsyncClient.delete_document``."""
        return self._noted(self._run(self._client.delete_document(document_id, version=version)))

    def set_document_access(
        self, document_id: str, readers: Sequence[str], *, security_level: int = 0, version: int = 0
    ) -> Receipt:
        """See ``AsyncClient.set_document_access``."""
        return self._noted(
            self._run(
                self._client.set_document_access(document_id, readers, security_level=security_level, version=version)
            )
        )

    def get_document(self, document_id: str) -> Document:
        """See ``AsyncClient.get_document``."""
        return self._run(self._client.get_document(document_id))

    def list_documents(self, *, prefix: str = "", include_deleted: bool = False) -> Iterator[Document]:
        """See ``AsyncClient.list_documents``."""
        return self._iterate(self._client.list_documents(prefix=prefix, include_deleted=include_deleted))

    def get_changes(self, event_ids: Sequence[str]) -> list[Change]:
        """See ``AsyncClient.get_changes``."""
        return self._run(self._client.get_changes(event_ids))

    def wait_for_changes(self, event_ids: Collection[str], *, timeout_seconds: float = 60.0) -> dict[str, Change]:
        """See ``AsyncClient.wait_for_changes``."""
        return self._run(self._client.wait_for_changes(event_ids, timeout_seconds=timeout_seconds))

    def wait_until_applied(self, *, timeout_seconds: float = 60.0) -> dict[str, Change]:
        """Waits until everything this client has put, deleted or re-permissioned is in a terminal state, and returns
        those states."""
        changes = self.wait_for_changes(self._open, timeout_seconds=timeout_seconds)
        self._open -= changes.keys()
        return changes

    def ingest_status(self, *, list_limit: int = 0) -> IngestStatus:
        """See ``AsyncClient.ingest_status``."""
        return self._run(self._client.ingest_status(list_limit=list_limit))

    def open_changes(self) -> Iterator[OpenChange]:
        """See ``AsyncClient.open_changes``."""
        return self._iterate(self._client.open_changes())

    def list_dead_letters(self, **which: str) -> Iterator[DeadLetter]:
        """See ``DeadLetters.list``."""
        return self._iterate(self._client.dead_letters.list(**which))

    def get_dead_letter(self, letter_id: str) -> ShownLetter:
        """See ``DeadLetters.get``."""
        return self._run(self._client.dead_letters.get(letter_id))

    def replay_dead_letters(self, letter_ids: Sequence[str] = (), **which: str) -> Sequence[LetterResult]:
        """See ``DeadLetters.replay``."""
        return self._run(self._client.dead_letters.replay(letter_ids, **which))

    def discard_dead_letters(self, why: str, letter_ids: Sequence[str] = (), **which: str) -> Sequence[LetterResult]:
        """See ``DeadLetters.discard``."""
        return self._run(self._client.dead_letters.discard(why, letter_ids, **which))

    def forget_known_bad(self, letter_ids: Sequence[str]) -> int:
        """See ``DeadLetters.forget``."""
        return self._run(self._client.dead_letters.forget(letter_ids))

    def resume_ingestion(self) -> Sequence[Halt]:
        """See ``DeadLetters.resume``."""
        return self._run(self._client.dead_letters.resume())

    def audit_stores(self, tenant_id: str, *, repair: bool = False) -> Iterator[StageProgress | AuditReport]:
        """See ``Stores.audit``."""
        return self._iterate(self._client.stores.audit(tenant_id, repair=repair))

    def rebuild_store(
        self, tenant_id: str, store: StoreChoice, *, drop: bool = False
    ) -> Iterator[StageProgress | RebuildResult]:
        """See ``Stores.rebuild``."""
        return self._iterate(self._client.stores.rebuild(tenant_id, store, drop=drop))

    def document_versions(self, document_id: str) -> list[KeptVersion]:
        """See ``Stores.versions``."""
        return self._run(self._client.stores.versions(document_id))

    def roll_back_document(self, document_id: str, to_version: int = 0) -> RolledBack:
        """See ``Stores.roll_back``."""
        made = self._run(self._client.stores.roll_back(document_id, to_version))
        self._noted(made.receipt)
        return made

    def hold_document(self, document_id: str, reason: str = "") -> HeldDocument:
        """See ``Reviews.hold``."""
        return self._run(self._client.reviews.hold(document_id, reason))

    def release_document(self, document_id: str, *, document_version: int = 0) -> None:
        """See ``Reviews.release``."""
        self._run(self._client.reviews.release(document_id, document_version=document_version))

    def holds(self) -> Iterator[HeldDocument]:
        """See ``Reviews.holds``."""
        return self._iterate(self._client.reviews.holds())

    def reviews(self, state: ReviewChoice | None = "open") -> Iterator[Review]:
        """See ``Reviews.list``."""
        return self._iterate(self._client.reviews.list(state))

    def decide_review(self, review_id: str, decision: Decision, note: str = "") -> Review:
        """See ``Reviews.decide``."""
        return self._run(self._client.reviews.decide(review_id, decision, note))

    def generation_status(self) -> GenerationStatus:
        """See ``Generations.status``."""
        return self._run(self._client.generations.status())

    def create_generation(self, *, chunk_target_tokens: int = 0, second_embedder: bool = False) -> GenerationSettings:
        """See ``Generations.create``."""
        wanted = self._client.generations.create(
            chunk_target_tokens=chunk_target_tokens, second_embedder=second_embedder
        )
        return self._run(wanted)

    def promote_generation(self, name: str, *, force: bool = False, reason: str = "") -> GenerationSettings:
        """See ``Generations.promote``."""
        return self._run(self._client.generations.promote(name, force=force, reason=reason))

    def roll_back_generation(self, *, force: bool = False) -> GenerationSettings:
        """See ``Generations.roll_back``."""
        return self._run(self._client.generations.roll_back(force=force))

    def drop_generation(self, name: str) -> None:
        """See ``Generations.drop``."""
        self._run(self._client.generations.drop(name))

    def replay_answer(self, answer_id: str, *, question: str = "") -> ReplayedAnswer:
        """See ``Replays.replay``."""
        return self._run(self._client.replays.replay(answer_id, question=question))

    def drift_report(self) -> DriftReport:
        """See ``Drift.report``."""
        return self._run(self._client.drift.report())

    def take_drift_reference(self) -> DriftReport:
        """See ``Drift.take_reference``."""
        return self._run(self._client.drift.take_reference())

    def cost_report(self, by: CostGrouping = "stage", **which: Any) -> CostReport:
        """See ``Costs.report``."""
        return self._run(self._client.costs.report(by, **which))

    def reveal_pseudonyms(self, document_ids: Sequence[str], pseudonyms: Sequence[str]) -> list[RevealedPseudonym]:
        """See ``Privacy.reveal``."""
        return self._run(self._client.privacy.reveal(document_ids, pseudonyms))

    def vault_keys(self) -> list[VaultKey]:
        """See ``Privacy.keys``."""
        return self._run(self._client.privacy.keys())

    def rotate_vault(self) -> int:
        """See ``Privacy.rotate``."""
        return self._run(self._client.privacy.rotate())

    def create_tenant(self, tenant_id: str, fields: Mapping[str, str] | None = None) -> Tenant:
        """See ``AsyncClient.create_tenant``."""
        return self._run(self._client.create_tenant(tenant_id, fields))

    def delete_tenant(self, tenant_id: str) -> None:
        """See ``AsyncClient.delete_tenant``."""
        self._run(self._client.delete_tenant(tenant_id))

    def list_tenants(self) -> list[Tenant]:
        """See ``AsyncClient.list_tenants``."""
        return self._run(self._client.list_tenants())

    def _noted(self, receipt: Receipt) -> Receipt:
        if not receipt.unchanged:
            self._open.add(receipt.event_id)
        return receipt
