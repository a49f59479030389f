"""Nouns of cost: what a question used, what that is charged at, and what it came to.

Money is ``Decimal`` throughout, never a float: a price has at most six decimals, so what comes of a whole number of
tokens or searches has at most twelve, and every sum is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final

PRICE_DECIMALS: Final = 6
AMOUNT_DECIMALS: Final = 12
"""Six of a price, and six of a million."""


class Stage(StrEnum):
    """What is charged apart."""

    EMBEDDING = "embedding"
    SEARCH = "search"
    RERANK = "rerank"
    LLM_INPUT = "llm_input"
    LLM_OUTPUT = "llm_output"
    CACHE_SAVINGS = "cache_savings"
    """What caches made unnecessary: no part of the total."""

    @property
    def unit(self) -> Unit:
        """What is counted of it."""
        return Unit.SEARCHES if self in (Stage.SEARCH, Stage.RERANK) else Unit.TOKENS


class Unit(StrEnum):
    """What a quantity is of."""

    TOKENS = "tokens"
    SEARCHES = "searches"


@dataclass(slots=True)
class ModelUse:
    """Tokens of one language model."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(slots=True)
class Account:
    """What one question has used so far. It travels with the question, and whoever works for it notes what he used."""

    embedding_tokens: int = 0
    searches: int = 0
    reranked: int = 0
    models: dict[str, ModelUse] = field(default_factory=dict)
    saved: dict[str, ModelUse] = field(default_factory=dict)

    def embedded(self, tokens: int) -> None:
        """Notes a text of the question that was embedded."""
        self.embedding_tokens += tokens

    def searched(self, *, reranked: bool) -> None:
        """Notes a search."""
        self.searches += 1
        self.reranked += reranked

    def completed(self, model: str, input_tokens: int, output_tokens: int) -> None:
        """Notes a completion, or as much of it as there was."""
        _add(self.models, model, input_tokens, output_tokens)

    def served(self, model: str, input_tokens: int, output_tokens: int) -> None:
        """Notes a completion that was not needed, as a cache had the answer."""
        _add(self.saved, model, input_tokens, output_tokens)


def _add(uses: dict[str, ModelUse], model: str, input_tokens: int, output_tokens: int) -> None:
    use = uses.setdefault(model, ModelUse())
    use.input_tokens += input_tokens
    use.output_tokens += output_tokens


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Prices of a language model per million tokens; None where it is not known."""

    input: Decimal | None = None
    output: Decimal | None = None


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage came to. ``amount`` is None where its price is not known, which is not the same as nothing."""

    stage: Stage
    quantity: int
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class QueryCost:
    """What a question came to, by stage.

    Attributes:
        currency: Of all amounts; empty where no price is known.
        stages: Every stage, in order, also those that were not used.
    """

    currency: str
    stages: tuple[StageCost, ...]

    @property
    def total(self) -> Decimal:
        """Sum of what is known, without savings."""
        known = (each.amount for each in self.stages if each.stage is not Stage.CACHE_SAVINGS)
        return sum((amount for amount in known if amount is not None), Decimal(0))

    @property
    def complete(self) -> bool:
        """Whether the total is everything: each stage that was used has a price. Savings are no part of it."""
        return all(each.amount is not None for each in self.stages if each.stage is not Stage.CACHE_SAVINGS)


@dataclass(frozen=True, slots=True)
class PriceTable:
    """What things cost. Prices of tokens are per million, of searches per thousand; None: not known."""

    currency: str = ""
    embedding: Decimal | None = None
    search: Decimal | None = None
    rerank: Decimal | None = None
    models: Mapping[str, ModelPrice] = field(default_factory=dict)

    def cost_of(self, account: Account) -> QueryCost:
        """What the use comes to. What was not used costs nothing, priced or not."""
        uses = list(account.models.items())
        read, written = self._amounts(account.models)
        saved = _sum([amount for amounts in self._amounts(account.saved) for amount in amounts])
        not_used = sum(use.input_tokens + use.output_tokens for use in account.saved.values())
        return QueryCost(
            self.currency,
            (
                StageCost(Stage.EMBEDDING, account.embedding_tokens, _tokens(account.embedding_tokens, self.embedding)),
                StageCost(Stage.SEARCH, account.searches, _searches(account.searches, self.search)),
                StageCost(Stage.RERANK, account.reranked, _searches(account.reranked, self.rerank)),
                StageCost(Stage.LLM_INPUT, sum(use.input_tokens for _, use in uses), _sum(read)),
                StageCost(Stage.LLM_OUTPUT, sum(use.output_tokens for _, use in uses), _sum(written)),
                StageCost(Stage.CACHE_SAVINGS, not_used, saved),
            ),
        )

    def _amounts(self, models: Mapping[str, ModelUse]) -> tuple[list[Decimal | None], list[Decimal | None]]:
        """What each model's input, and each one's output, comes to."""
        prices = [(use, self.models.get(name, ModelPrice())) for name, use in models.items()]
        return (
            [_tokens(use.input_tokens, price.input) for use, price in prices],
            [_tokens(use.output_tokens, price.output) for use, price in prices],
        )


def _tokens(count: int, per_million: Decimal | None) -> Decimal | None:
    return _amount(count, per_million, 6)


def _searches(count: int, per_thousand: Decimal | None) -> Decimal | None:
    return _amount(count, per_thousand, 3)


def _amount(count: int, price: Decimal | None, power: int) -> Decimal | None:
    if not count:
        return Decimal(0)
    return None if price is None else (price * count).scaleb(-power)


def _sum(amounts: Sequence[Decimal | None]) -> Decimal | None:
    """None as soon as one of them is not known."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


# What is kept of it.


class Grouping(StrEnum):
    """What a report has a row for."""

    STAGE = "stage"
    TENANT = "tenant"
    USER = "user"


@dataclass(frozen=True, slots=True)
class CostQuery:
    """Which costs to report: days from ``since`` up to and with ``until``, in UTC; of one tenant, or of all."""

    since: date
    until: date
    by: Grouping
    tenant_id: str | None


@dataclass(frozen=True, slots=True)
class CostRow:
    """One line of a report: a stage, and of which tenant and user where that is asked for.

    Attributes:
        amount: Sum of what has a price.
        unpriced: Of ``quantity``, how much has none.
        questions: Questions that used the stage.
    """

    tenant_id: str
    subject: str
    stage: Stage
    currency: str
    quantity: int
    unpriced: int
    amount: Decimal
    questions: int


@dataclass(frozen=True, slots=True)
class CostEntry:
    """What a question came to, and for whom it was asked on which day (UTC)."""

    tenant_id: str
    subject: str
    day: date
    cost: QueryCost


@dataclass(frozen=True, slots=True)
class CostReport:
    """Rows in order of tenant, subject and stage."""

    query: CostQuery
    rows: tuple[CostRow, ...]
