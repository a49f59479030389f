"""Text of header fields and front matter to values with real types."""

import math
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime

from ingest.parsing.model import MetadataScalar, MetadataValue

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?")
_TEXT_DATES = ("%d-%b-%Y", "%d-%B-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%Y/%m/%d")
MAX_METADATA_TEXT_CHARS = 4_000
MAX_METADATA_FIELDS = 200
MAX_METADATA_ITEMS = 500


def parse_datetime(text: str) -> datetime | None:
    """Return an aware datetime for an ISO 8601 or a spelled-out English date, else None; UTC where no zone is given."""
    text = text.strip()
    if _ISO_DATE.fullmatch(text):
        try:
            return _aware(datetime.fromisoformat(text))
        except ValueError:
            return None
    if not 8 <= len(text) <= 20:
        return None
    for pattern in _TEXT_DATES:
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def scalar_from_text(text: str, key: str = "") -> MetadataScalar:
    """Return the value of a header field: datetime, int or text. Versions stay text: 3.10 is not 3.1."""
    text = text.strip()[:MAX_METADATA_TEXT_CHARS]
    if "version" in key:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    return parse_datetime(text) or text


def metadata_value(value: object) -> MetadataValue | None:
    """Return `value`, read by a YAML, TOML or JSON parser or an Office library, as a metadata value, or None.

    Dates become aware datetimes, lists of scalars become tuples; nested mappings are flattened by `flatten`.
    """
    if isinstance(value, list | tuple | set | frozenset):
        items = [scalar for item in list(value)[:MAX_METADATA_ITEMS] if (scalar := _scalar(item)) is not None]
        return tuple(items) if items else None
    return _scalar(value)


def flatten(mapping: object, prefix: str = "") -> Iterable[tuple[str, MetadataValue]]:
    """Yield (dotted key, value) of a parsed mapping, at most `MAX_METADATA_FIELDS`, three levels deep."""
    if not isinstance(mapping, dict):
        return
    for count, (key, value) in enumerate(mapping.items()):
        if count >= MAX_METADATA_FIELDS:
            return
        name = f"{prefix}{key}".strip().lower()
        if isinstance(value, dict):
            if prefix.count(".") < 2:
                yield from flatten(value, f"{name}.")
        elif (converted := metadata_value(value)) is not None:
            yield name, converted


def _scalar(value: object) -> MetadataScalar | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        # Stores hold signed 64-bit integers; anything longer is an identifier.
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return _aware(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, str):
        text = value.strip()[:MAX_METADATA_TEXT_CHARS]
        return (parse_datetime(text) or text) if text else None
    return None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
