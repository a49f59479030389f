"""The price table as a TOML file; ``eval/prices.toml`` is one."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from gateway.costs.domain import PRICE_DECIMALS, ModelPrice, PriceTable

_MOST: Final = Decimal(1_000_000)
"""What a million tokens never cost: a price above is a slip of its unit."""
_FIXED: Final = {
    "embedding": "per_million_tokens",
    "search": "per_thousand_searches",
    "rerank": "per_thousand_searches",
}
_MODEL: Final = ("input_per_million_tokens", "output_per_million_tokens")


class PriceTableError(ValueError):
    """The file is no price table. Its message says where."""


def load_prices(path: Path) -> PriceTable:
    """The table in a file. Raises PriceTableError, OSError."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PriceTableError(f"the price table is not TOML: {error}") from None
    return parse_prices(content)


def parse_prices(content: dict[str, Any]) -> PriceTable:
    """The table in a parsed file. Whatever it holds besides is refused: it would be a price that nobody sees. Raises
    PriceTableError."""
    _only(content, ("currency", "models", *_FIXED), "the price table")
    currency = content.get("currency")
    if not isinstance(currency, str) or not (len(currency) == 3 and currency.isascii() and currency.isupper()):
        raise PriceTableError('currency: write its three letters, such as "EUR"')
    fixed = {name: _table(content, name, (unit,)).get(unit) for name, unit in _FIXED.items()}
    models = content.get("models", {})
    if not isinstance(models, dict):
        raise PriceTableError("models: write a table per model")
    prices = {}
    for name in models:
        table = _table(models, name, _MODEL)
        prices[name] = ModelPrice(*(table.get(unit) for unit in _MODEL))
    return PriceTable(currency, fixed["embedding"], fixed["search"], fixed["rerank"], prices)


def _table(content: dict[str, Any], name: str, keys: tuple[str, ...]) -> dict[str, Decimal]:
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise PriceTableError(f"{name}: write a table")
    _only(table, keys, name)
    return {key: _price(value, f"{name}.{key}") for key, value in table.items()}


def _price(value: object, where: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise PriceTableError(f"{where}: write a number")
    price = Decimal(value)
    if not price.is_finite() or not 0 <= price <= _MOST:
        raise PriceTableError(f"{where}: a price is between 0 and {_MOST:,}")
    if price != price.quantize(Decimal(1).scaleb(-PRICE_DECIMALS)):
        raise PriceTableError(f"{where}: a price has at most {PRICE_DECIMALS} decimals")
    return price


def _only(table: dict[str, Any], keys: tuple[str, ...], where: str) -> None:
    unknown = sorted(table.keys() - set(keys))
    if unknown:
        raise PriceTableError(f"{where}: there is no {', '.join(unknown)}; known are {', '.join(keys)}")
