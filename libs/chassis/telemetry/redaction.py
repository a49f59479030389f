"""Keeps secrets and content out of logs and printed settings, by the names of the fields that hold them."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final

REDACTED: Final = "**redacted**"
# "keys_dir", "max_tokens" and "key_id" are no secrets: a word must be the last one, or be unmistakable anywhere.
_SECRET_NAME: Final = re.compile(
    r"(^|[_.\-])(token|secret|password|passwd|passphrase|authorization|cookie|credentials?|api[_\-]?key|private[_\-]?key|jwt)$"
    r"|secret|password|x-headwater-identity",
    re.IGNORECASE,
)
_CONTENT_NAMES: Final = frozenset(
    {
        "text",
        "texts",
        "query",
        "question",
        "content",
        "passage",
        "passages",
        "prompt",
        "answer",
        "document_text",
        "body",
    }
)
_USER_IN_URL: Final = re.compile(r"(?<=://)[^/@\s]+@")
_BEARER: Final = re.compile(r"\b(Bearer\s+)\S+", re.IGNORECASE)
_JWT: Final = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*")


def redacted(value: Any, name: str = "") -> Any:
    """A copy of ``value`` in which whatever looks secret, by its key or its form, is replaced."""
    if isinstance(value, Mapping):
        return {key: redacted(item, str(key)) for key, item in value.items()}
    if name and _SECRET_NAME.search(name) and value not in (None, "", False, True):
        return REDACTED
    if isinstance(value, str):
        return _redact_text(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [redacted(item) for item in value]
    return value


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog processor: replaces secrets, and the text of documents and questions by its length."""
    for key in event:
        value = event[key]
        if key in _CONTENT_NAMES and isinstance(value, str | bytes | list | tuple):
            event[key] = f"[{len(value)} withheld]"
        elif isinstance(value, Mapping | list | tuple | str):
            event[key] = redacted(value, key)
    return event


def _redact_text(text: str) -> str:
    if "://" in text:
        text = _USER_IN_URL.sub("", text)
    if "earer" in text:
        text = _BEARER.sub(rf"\g<1>{REDACTED}", text)
    return _JWT.sub(REDACTED, text) if "eyJ" in text else text
