"""Settings of the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from chassis.addresses import Address, is_loopback, keeps_secrets
from chassis.endpoints import ElasticsearchEndpoint, RedisEndpoint
from chassis.settings import ServiceSettings, require_endpoints
from gateway.addresses import Networks, networks_of
from gateway.costs.budgets import tenant_budgets
from gateway.costs.prices import load_prices
from gateway.rates import rates_of

_KINDS: Final = ("ask", "search", "write", "read")
_USER_RATES: Final = tuple(f"rate_{kind}" for kind in _KINDS)
_RATES: Final = (*_USER_RATES, *(f"rate_{of}_{kind}" for of in ("tenant", "address") for kind in _KINDS))


class GatewaySettings(ServiceSettings):
    """What the gateway can be told, besides what every service can.

    Attributes:
        http_listen: Address of the HTTP edge, ``host:port``; empty for none.
        retriever_target, embedder_target, ingest_target: The services, ``host:port``.
        elasticsearch: Where the cluster profile keeps the answer log and costs.
        answers_file: The embedded profile's answer log; ``data_dir/answers.sqlite`` when not set.
        answer_retention_days: How long answers are kept, with their records.
        answer_text: Whether the answer log keeps question and answer, or their digests alone; see docs/replay.md.
        answer_record: Whether it keeps what each answer was made of, so that ``headwater replay`` can make it again.
        jwt_issuer: The ``iss`` that tokens must carry; empty accepts no token at all.
        jwt_audience: The ``aud`` that tokens must carry.
        jwt_jwks: Where the issuer's public keys are: a file, or an https URL (http on loopback).
        jwt_leeway_seconds: What clocks may differ by.
        jwt_refresh_seconds: How often keys behind a URL are fetched again.
        jwt_tenant_claim, jwt_subject_claim, jwt_groups_claim, jwt_clearance_claim, jwt_scopes_claim: Names of the
            claims; dots step into nested objects. Scopes are a list or words separated by blanks; those that are not
            ours are ignored.
        rate_ask, rate_search, rate_write, rate_read: Requests per caller, as ``<count>/<n> <unit>``; several with
            semicolons between them. A batch counts as its entries.
        rate_tenant_ask, rate_tenant_search, rate_tenant_write, rate_tenant_read: The same of all callers of a tenant
            together; empty for no limit.
        rate_address_ask, rate_address_search, rate_address_write, rate_address_read: The same of one client address
            (of IPv6, one /64); empty for no limit.
        rate_proxies: Networks of proxies whose ``X-Forwarded-For`` says from which address a call came, separated by
            blanks.
        token_budget_day: Tokens of language models that a tenant may use in a day, UTC; 0 for no limit.
        token_budget_tenants: Days' budgets of tenants that have their own, as ``name=tokens`` separated by blanks.
        token_budget_in_flight: Tokens of a tenant's calls of language models under way at once; 0 for no limit.
        over_budget: Whether a question over its token budget is refused, or answered extractively.
        prices: TOML file of what things cost; without one, costs are not known. See docs/cost.md.
        cost_retention_days: How long costs are kept.
        cost_metric_tenants: Tenants that cost metrics name; all others are one.
        ask_k, ask_max_per_document: Passages retrieved for a question.
        context_tokens, context_blocks: Bounds of what a generator reads.
        context_prune: Whether a language model is spared sentences that have nothing to do with the question where not
            all passages fit; see docs/generation.md.
        context_repeats: Whether it is given a sentence again that an earlier passage says.
        min_similarity, min_score: Retrieval weaker than this is an abstention; see ``service.AnswerPolicy``.
        search_seconds, ask_seconds, write_seconds, upload_seconds: Limits of calls whose callers set none.
        embed_seconds: Limit of the sentence vectors of one question; without them, words decide.
        sentence_cache_bytes: Memory for vectors of sentences that are read again and again; 0 remembers none.
        generator: Who writes the answers.
        openai_*: The OpenAI-compatible endpoint: base URL that ends in /v1, model, API key, limits.
        openai_second_*: Another endpoint, which writes where the first one fails before its first word; without a base
            URL there is none. Limits are the first one's.
        openai_redact: Whether they get placeholders for personal data in question and passages (docs/privacy.md).
        mask_questions: Whether the answer log and traces keep questions without personal data.
        guard_question_score: Score of prompt injection from which a question is refused; 2 refuses none.
        guard_sources: Whether sentences of sources that are instructions to a machine are kept from the generator.
        guard_output: Whether answers lose links to foreign hosts, and calls of tools are refused.
        verify: What happens to a sentence of an answer that its citations do not carry (docs/verification.md).
        verify_embeddings: Whether closeness in meaning counts besides words; one call of the embedder for answers that
            do more than quote.
        find_conflicts: Whether sources of an answer that give different values are named in it.
        answer_link_hosts: Hosts that every answer may link to, besides those of its sources' own addresses,
            separated by blanks; ``*.example.org`` stands for what lies below, ``*`` for all.
        understand_with: Who classifies, rewrites and takes apart questions: rules, or the OpenAI-compatible endpoint.
        understand_seconds: Limit of the endpoint for that; after it, rules decide.
        understand_vocabulary: TOML file that declares collections and filter fields by tenant; see
            docs/understanding.md.
        understand_rewrite, understand_classify, understand_filters, understand_route, understand_decompose,
            understand_depth, understand_expand, understand_clarify: Whether the stage runs.
        understand_route_confidence: From which on only the collections of a question's route are searched; over 1 for
            never.
        understand_freshness_weight: Share of a passage's score that ages where the question is about now; see
            the retriever's freshness_weight.
        cache_answers: Whether an answer is served again to the same reader for the same words; see docs/caches.md.
        cache_similar: Whether also for words that mean the same.
        cache_similarity: Cosine of two questions from which on they may mean the same.
        cache_seconds: How long an answer is served at most; what is new is not in it.
        cache_bytes: Memory for answers where there is no Redis.
        redis: Cache of answers and, in the cluster profile, token budgets that replicas share; without a URL each has
            its own.
        drift_window: Answers that are compared with the reference, which the first so many are unless
            ``headwater drift reference`` takes another; 0 watches nothing. See docs/drift.md.
        drift_reference: File of the reference. When not set, ``data_dir/drift.json`` in the embedded profile; elsewhere
            it is forgotten with the process.
        max_body_bytes: Largest HTTP body that is not a document.
        max_upload_bytes: Largest document over HTTP; the ingest service has a limit of its own.
        body_idle_seconds: Longest pause inside a request body.
    """

    service_name: ClassVar[str] = "gateway"

    http_listen: str = "127.0.0.1:0"
    retriever_target: str = "127.0.0.1:50052"
    embedder_target: str = "127.0.0.1:50051"
    ingest_target: str = "127.0.0.1:50054"

    elasticsearch: ElasticsearchEndpoint = ElasticsearchEndpoint()
    answers_file: Path | None = None
    answer_retention_days: float = Field(default=30.0, gt=0)
    answer_text: Literal["full", "hashes"] = "full"
    answer_record: bool = True

    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_jwks: str = ""
    jwt_leeway_seconds: float = Field(default=10.0, ge=0, le=120)
    jwt_refresh_seconds: float = Field(default=900.0, ge=10)
    jwt_tenant_claim: str = "tenant"
    jwt_subject_claim: str = "sub"
    jwt_groups_claim: str = "groups"
    jwt_clearance_claim: str = "clearance"
    jwt_scopes_claim: str = "scope"

    rate_ask: str = "200/10 seconds"
    rate_search: str = "5000/10 seconds"
    rate_write: str = "20000/10 seconds"
    rate_read: str = "5000/10 seconds"
    rate_tenant_ask: str = "1000/10 seconds"
    rate_tenant_search: str = "25000/10 seconds"
    rate_tenant_write: str = "100000/10 seconds"
    rate_tenant_read: str = "25000/10 seconds"
    rate_address_ask: str = ""
    rate_address_search: str = ""
    rate_address_write: str = ""
    rate_address_read: str = ""
    rate_proxies: str = ""

    token_budget_day: int = Field(default=0, ge=0)
    token_budget_tenants: str = ""
    token_budget_in_flight: int = Field(default=0, ge=0)
    over_budget: Literal["refuse", "extractive"] = "refuse"
    prices: Path | None = None
    cost_retention_days: float = Field(default=400.0, gt=0)
    cost_metric_tenants: int = Field(default=50, ge=0, le=1000)

    ask_k: int = Field(default=12, ge=1, le=200)
    ask_max_per_document: int = Field(default=5, ge=0, le=200)
    context_tokens: int = Field(default=3000, ge=100, le=128_000)
    context_blocks: int = Field(default=12, ge=1, le=50)
    context_prune: bool = False
    context_repeats: bool = True
    min_similarity: float = Field(default=0.12, ge=0, le=1)
    min_score: float = Field(default=0.0, ge=0, le=1)
    search_seconds: float = Field(default=5.0, gt=0)
    ask_seconds: float = Field(default=60.0, gt=0)
    write_seconds: float = Field(default=60.0, gt=0)
    upload_seconds: float = Field(default=600.0, gt=0)
    embed_seconds: float = Field(default=3.0, gt=0)
    sentence_cache_bytes: int = Field(default=16 * 1024 * 1024, ge=0)

    generator: Literal["extractive", "openai"] = "extractive"
    openai_base_url: str = ""
    openai_model: str = ""
    openai_api_key: SecretStr = SecretStr("")
    openai_connect_seconds: float = Field(default=5.0, gt=0)
    openai_token_seconds: float = Field(default=20.0, gt=0)
    openai_total_seconds: float = Field(default=45.0, gt=0)
    openai_max_tokens: int = Field(default=700, ge=16)
    openai_temperature: float = Field(default=0.0, ge=0, le=2)
    openai_attempts: int = Field(default=3, ge=1, le=10)
    openai_second_base_url: str = ""
    openai_second_model: str = ""
    openai_second_api_key: SecretStr = SecretStr("")
    openai_redact: bool = False
    mask_questions: bool = True

    guard_question_score: float = Field(default=0.9, gt=0, le=2)
    guard_sources: bool = True
    guard_output: bool = True
    answer_link_hosts: str = ""
    verify: Literal["off", "flag", "drop"] = "drop"
    verify_embeddings: bool = True
    find_conflicts: bool = True

    understand_with: Literal["rules", "openai"] = "rules"
    understand_seconds: float = Field(default=3.0, gt=0)
    understand_vocabulary: Path | None = None
    understand_rewrite: bool = True
    understand_classify: bool = True
    understand_filters: bool = True
    understand_route: bool = True
    understand_decompose: bool = False
    understand_depth: bool = False
    understand_expand: bool = False
    understand_clarify: bool = True
    understand_route_confidence: float = Field(default=2.0, gt=0, le=2)
    understand_freshness_weight: float = Field(default=0.0, ge=0, le=1)

    cache_answers: bool = False
    cache_similar: bool = False
    cache_similarity: float = Field(default=0.9, ge=0, le=1)
    cache_seconds: float = Field(default=300.0, gt=0)
    cache_bytes: int = Field(default=32 * 1024 * 1024, ge=0)
    redis: RedisEndpoint = RedisEndpoint()

    drift_window: int = Field(default=500, ge=0, le=100_000)
    drift_reference: Path | None = None

    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    max_upload_bytes: int = Field(default=256 * 1024 * 1024, ge=1024)
    body_idle_seconds: float = Field(default=30.0, gt=0)

    @property
    def link_hosts(self) -> frozenset[str]:
        """The hosts of ``answer_link_hosts``."""
        return frozenset(self.answer_link_hosts.lower().split())

    def shaping_answers(self) -> dict[str, object]:
        """Settings that decide what an answer says, none of them a secret."""
        shaping = (
            "ask_",
            "context_",
            "min_",
            "generator",
            "openai_",
            "guard_",
            "answer_link",
            "understand_",
            "verify",
            "find_",
            "over_",
        )
        chosen = {name for name in type(self).model_fields if name.startswith(shaping)}
        chosen -= {"openai_api_key", "openai_second_api_key"}
        return self.model_dump(mode="json", include=chosen)

    @property
    def answers_path(self) -> Path:
        """Where the answer log is."""
        return self.answers_file or self.data_dir / "answers.sqlite"

    @property
    def trusted_proxies(self) -> Networks:
        """The networks of ``rate_proxies``."""
        return networks_of(self.rate_proxies)

    @property
    def tenant_budgets(self) -> Mapping[str, int]:
        """The days' budgets of ``token_budget_tenants``."""
        return tenant_budgets(self.token_budget_tenants)

    @field_validator(*_RATES)
    @classmethod
    def _is_a_rate(cls, value: str, info: ValidationInfo) -> str:
        try:
            rates = rates_of(value)
        except ValueError:
            raise ValueError('a rate must look like "200/10 seconds" or "20/minute"') from None
        if not rates and info.field_name in _USER_RATES:
            raise ValueError("every user has a limit: name a rate")
        return value

    @field_validator("prices")
    @classmethod
    def _is_a_price_table(cls, value: Path | None) -> Path | None:
        try:
            if value is not None:
                load_prices(value)
        except OSError:
            raise ValueError("the price table can't be read") from None
        return value

    @field_validator("rate_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        try:
            networks_of(value)
        except ValueError:
            raise ValueError("write addresses or networks such as 10.0.0.0/8, separated by blanks") from None
        return value

    @field_validator("token_budget_tenants")
    @classmethod
    def _are_budgets(cls, value: str) -> str:
        tenant_budgets(value)
        return value

    @field_validator("jwt_jwks", "openai_base_url", "openai_second_base_url")
    @classmethod
    def _is_safe_to_fetch(cls, value: str) -> str:
        if urlsplit(value).scheme in ("http", "https") and not keeps_secrets(value):
            raise ValueError("use https; plain http is accepted on loopback only")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> GatewaySettings:
        require_endpoints(self, {"elasticsearch": ("url",)})
        if self.jwt_issuer and not (self.jwt_audience and self.jwt_jwks):
            raise ValueError("jwt_issuer needs jwt_audience and jwt_jwks as well: tokens are checked against all three")
        if self.generator == "openai" and not (self.openai_base_url and self.openai_model):
            raise ValueError('generator "openai" needs openai_base_url and openai_model')
        if bool(self.openai_second_base_url) != bool(self.openai_second_model):
            raise ValueError("openai_second_base_url and openai_second_model need each other")
        if self.understand_with == "openai" and not (self.openai_base_url and self.openai_model):
            raise ValueError('understand_with "openai" needs openai_base_url and openai_model')
        if self.http_listen and self.development and not is_loopback(Address.parse(self.http_listen).host):
            raise ValueError(
                "http_listen: development mode binds to loopback only; use 127.0.0.1 or turn development off"
            )
        return self
