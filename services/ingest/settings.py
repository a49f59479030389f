"""Settings of the ingest service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, model_validator

from corpus.privacy.pseudonyms import Pseudonyms, read_key
from corpus.privacy.sealing import KeyRing
from corpus.reviews import ReviewReason
from corpus.settings import WriterSettings
from ingest.privacy import PrivacyPolicy, load_privacy, parse_privacy
from ingest.reviews.quality import ReviewAction, ReviewPolicy, parse_stale_days
from ingest.sources.mapping import Sources, load_sources, parse_sources


class IngestSettings(WriterSettings):
    """What the ingest service can be told.

    Attributes:
        role: "api" accepts changes, "worker" applies them, "all" does both in one process.
        embedder_target: Address of the embedder.
        embedding_model: Whose tokenizer counts the chunks' tokens; must be the embedder's model.
        max_document_bytes: Larger documents are refused.
        max_chunks_per_document: Documents with more chunks become dead letters.
        max_documents_in_flight: Changes a worker handles side by side.
        max_bulk_documents_in_flight: Changes of the bulk lane besides; a quarter of them beside live changes.
        parser_processes: Sandboxed parsers at work at once.
        parse_timeout_seconds: Longest one document may be parsed.
        parse_memory_bytes: Most memory one parser may use.
        partitions: Partitions of the change topic when it is created.
        grace_seconds: How long superseded chunks stay, for rollback.
        sweep_every_seconds: Pause between two passes of the sweeper.
        ledger_retention_days: How long ended changes and decided dead letters are listed; longer than the log keeps
            records. Each document's newest change and open dead letters stay.
        tombstone_seconds: How long a deleted document's tombstone stays. Must be longer than the retention of the
            change topics and than any source may take to repeat an old version; see docs/audit.md.
        object_safety_seconds: How long bytes that nothing names stay, and then once more set aside. Must be longer
            than the retention of the change topics.
        audit_every_seconds: Pause between two audits of all tenants in the background; 0 turns them off.
        audit_rows_per_second: How fast they read, over all stores.
        audit_repairs: Whether they mend what they find.
        chunk_target_tokens: Wanted tokens per chunk, of the first generation; later ones are built beside it
            (docs/generations.md).
        shadow_embedder_target: Address of a second embedder, for a generation with another model; empty for none.
        shadow_embedding_model: The second embedder's model, whose tokenizer counts; empty for that of the first.
        generation_documents_per_second: How fast a generation is built, at the most.
        generation_pause_seconds: Pause between two passes that look for what is missing in one.
        verdict_least_queries: Golden queries that a comparison needs.
        verdict_least_overlap: Least share of the first documents that a shadow must have in common.
        verdict_most_hit_loss: How much less its Hit@k may be than the active generation's.
        verdict_most_mrr_loss: How much less its MRR@k may be than the active generation's.
        verdict_most_latency_ratio: How many times as long a search may take, at the 95th percentile.
        sources_file: TOML file of the mappings of sources (docs/sources.md); without mappings their topic stays unread.
        sources: The mappings themselves, in place of a file.
        privacy_file: TOML file that says by tenant and document type what is done with personal data before indexing
            (docs/privacy.md); without it, nothing is.
        privacy: The same text itself, in place of a file.
        vault_keys: Keys that seal what pseudonyms stand for: one a line, 32 bytes in base64, the newest first. Needed
            where the policy pseudonymises, and to read the vault.
        pseudonym_key: Key that pseudonyms are made by, 32 bytes in base64; another one gives other pseudonyms.
        review_empty: What is done with a document in which nearly nothing was found (docs/review.md): nothing ("off"),
            it waits in the review queue ("flag"), or it does and nobody is served it until then ("hold").
        review_unreadable: The same, where what was found is hardly text.
        review_stale: The same, where the document says of itself that it is older than ``review_stale_days``.
        review_stale_days: Days by document type, for instance "manual=365, policy=730", or one number for all; empty:
            nothing is stale.
    """

    service_name: ClassVar[str] = "ingest"
    reads_documents: ClassVar[bool] = True
    """Whether what is configured so needs the keys of pseudonyms, if there is a policy that makes them."""

    role: Literal["api", "worker", "all"] = "all"
    embedder_target: str = "127.0.0.1:7703"
    embedding_model: str = "all-MiniLM-L6-v2"
    max_document_bytes: int = Field(default=64 * 2**20, gt=0)
    max_chunks_per_document: int = Field(default=50_000, gt=0)
    max_documents_in_flight: int = Field(default=32, gt=0)
    max_bulk_documents_in_flight: int = Field(default=16, gt=0)
    parser_processes: int = Field(default=2, gt=0)
    parse_timeout_seconds: float = Field(default=60.0, gt=0)
    parse_memory_bytes: int = Field(default=2**30, gt=0)
    partitions: int = Field(default=12, gt=0)
    grace_seconds: float = Field(default=24 * 3600.0, ge=60)
    sweep_every_seconds: float = Field(default=600.0, gt=0)
    ledger_retention_days: float = Field(default=30.0, gt=0)
    tombstone_seconds: float = Field(default=90 * 24 * 3600.0, ge=24 * 3600)
    object_safety_seconds: float = Field(default=30 * 24 * 3600.0, ge=24 * 3600)
    audit_every_seconds: float = Field(default=3600.0, ge=0)
    audit_rows_per_second: float = Field(default=5_000.0, gt=0)
    audit_repairs: bool = True
    chunk_target_tokens: int = Field(default=200, gt=0)
    shadow_embedder_target: str = ""
    shadow_embedding_model: str = ""
    generation_documents_per_second: float = Field(default=20.0, gt=0)
    generation_pause_seconds: float = Field(default=5.0, gt=0)
    verdict_least_queries: int = Field(default=20, ge=1)
    verdict_least_overlap: float = Field(default=0.4, ge=0, le=1)
    verdict_most_hit_loss: float = Field(default=0.01, ge=0, le=1)
    verdict_most_mrr_loss: float = Field(default=0.02, ge=0, le=1)
    verdict_most_latency_ratio: float = Field(default=1.5, ge=1)
    sources_file: Path | None = None
    sources: SecretStr = SecretStr("")
    privacy_file: Path | None = None
    privacy: str = ""
    vault_keys: SecretStr = SecretStr("")
    pseudonym_key: SecretStr = SecretStr("")
    review_empty: Literal["off", "flag", "hold"] = "flag"
    review_unreadable: Literal["off", "flag", "hold"] = "flag"
    review_stale: Literal["off", "flag", "hold"] = "flag"
    review_stale_days: str = ""

    @model_validator(mode="after")
    def _read_the_mappings(self) -> IngestSettings:
        # A mapping that is wrong stops the service here, and not its records one by one.
        try:
            self.mappings()
        except ValueError as error:
            raise ValueError(f"sources: {error}") from None
        return self

    @model_validator(mode="after")
    def _read_the_privacy_policy(self) -> IngestSettings:
        policy, ring = self.privacy_policy(), self.vault_ring()
        if self.reads_documents and policy.pseudonymises and (policy.names is None or ring is None):
            raise ValueError("a policy that pseudonymises needs vault_keys and pseudonym_key (docs/privacy.md)")
        return self

    @model_validator(mode="after")
    def _read_the_review_policy(self) -> IngestSettings:
        self.review_policy()
        return self

    def review_policy(self) -> ReviewPolicy:
        """Which documents somebody is to look at. Raises ValueError."""
        actions = {
            ReviewReason.EMPTY: ReviewAction(self.review_empty),
            ReviewReason.UNREADABLE: ReviewAction(self.review_unreadable),
            ReviewReason.STALE: ReviewAction(self.review_stale),
        }
        return ReviewPolicy(actions, parse_stale_days(self.review_stale_days))

    def privacy_policy(self) -> PrivacyPolicy:
        """What is done with personal data. Raises ValueError."""
        if self.privacy and self.privacy_file is not None:
            raise ValueError("either a file of privacy policies or the policies themselves, not both")
        policy = load_privacy(self.privacy_file) if self.privacy_file is not None else parse_privacy(self.privacy)
        key = self.pseudonym_key.get_secret_value()
        return replace(policy, names=Pseudonyms(read_key(key))) if key else policy

    def vault_ring(self) -> KeyRing | None:
        """The keys of the vault; None where there are none. Raises ValueError."""
        text = self.vault_keys.get_secret_value()
        return KeyRing.parse(text) if text.strip() else None

    def mappings(self) -> Sources | None:
        """The declared sources. Raises ValueError."""
        text = self.sources.get_secret_value()
        if text and self.sources_file is not None:
            raise ValueError("either a file of mappings or the mappings themselves, not both")
        if self.sources_file is not None:
            return load_sources(self.sources_file)
        return parse_sources(text) if text else None
