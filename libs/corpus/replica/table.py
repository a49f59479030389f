"""Heads in memory, bounded in size, with what repeats between them held once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Literal, TypeAlias, TypeVar

from corpus.domain import AccessPolicy, DocumentKey, PublishedHead

T = TypeVar("T")


class Unknown(Enum):
    """Tells "nothing is known" from None, "there is no head"."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
Entry: TypeAlias = PublishedHead | Literal[Unknown.UNKNOWN] | None

_MAX_LIST: Final = 1_024
"""Tokens. Heads with longer access lists are not kept: one may take as much room as 30,000 others."""
_TOKENS_PER_HEAD: Final = 4
"""Of all distinct access lists together; lists are shared by many documents as a rule."""
_MAX_ABSENT: Final = 10_000
"""Documents known not to exist. Callers may name any id, so these have a bound of their own and put out no head."""
_MAX_SHARED: Final = 100_000
"""Names and tokens. Beyond it sharing begins anew: what is in use stays, only duplicates come about."""
_EVICTED_SHARE: Final = 0.01
_NOTHING: Final[Mapping[str, PublishedHead]] = {}


@dataclass(slots=True)
class _SharedPolicy:
    policy: AccessPolicy
    heads: int = 0


class HeadTable:
    """Heads by tenant and document."""

    def __init__(self, max_heads: int) -> None:
        self._max_heads = max_heads
        self._tenants: dict[str, dict[str, PublishedHead]] = {}
        self._size = 0
        self._absent: dict[tuple[str, str], None] = {}
        self._policies: dict[AccessPolicy, _SharedPolicy] = {}
        self._policy_tokens = 0
        self._shared: dict[str, str] = {}

    def __len__(self) -> int:
        return self._size

    def is_full(self) -> bool:
        """Whether another head would put out some."""
        return self._size >= self._max_heads

    def get(self, tenant_id: str, document_id: str) -> Entry:
        """The head, None when there is none, UNKNOWN when only the authority knows."""
        return self.get_many(tenant_id, (document_id,))[document_id]

    def get_many(self, tenant_id: str, document_ids: Iterable[str]) -> dict[str, Entry]:
        """What ``get`` gives for each."""
        heads = self._tenants.get(tenant_id, _NOTHING)
        absent = self._absent
        return {each: heads.get(each) or (None if (tenant_id, each) in absent else UNKNOWN) for each in document_ids}

    def put(self, tenant_id: str, document_id: str, head: PublishedHead | None) -> None:
        """Replaces what is known of the document."""
        self.forget(tenant_id, document_id)
        if head is None:
            if len(self._absent) >= _MAX_ABSENT:
                del self._absent[next(iter(self._absent))]
            self._absent[tenant_id, document_id] = None
        elif len(head.access.tokens) <= _MAX_LIST:
            name = self._one(tenant_id)
            kept = replace(
                head,
                key=DocumentKey(name, document_id),
                # As a rule the two are equal, and one number then.
                chunks_version=head.version if head.chunks_version == head.version else head.chunks_version,
                access=self._sharing(head.access),
                generation=self._one(head.generation),
            )
            self._tenants.setdefault(name, {})[document_id] = kept
            self._size += 1
            self._make_room()

    def forget(self, tenant_id: str, document_id: str) -> None:
        """Nothing is known of the document afterwards. Idempotent."""
        self._absent.pop((tenant_id, document_id), None)
        heads = self._tenants.get(tenant_id)
        if heads is not None and document_id in heads:
            self._remove(heads, document_id)

    def forget_tenant(self, tenant_id: str) -> None:
        """Nothing is known of the tenant's documents afterwards. Idempotent."""
        heads = self._tenants.pop(tenant_id, {})
        for document_id in list(heads):
            self._remove(heads, document_id)
        self._absent.clear()

    def clear(self) -> None:
        """Nothing is known afterwards."""
        self._tenants.clear()
        self._absent.clear()
        self._policies.clear()
        self._shared.clear()
        self._size = self._policy_tokens = 0

    def _remove(self, heads: dict[str, PublishedHead], document_id: str) -> None:
        access = heads.pop(document_id).access
        self._size -= 1
        shared = self._policies[access]
        shared.heads -= 1
        if not shared.heads:
            del self._policies[access]
            self._policy_tokens -= len(access.tokens)

    def _sharing(self, access: AccessPolicy) -> AccessPolicy:
        """The equal policy that other heads have."""
        shared = self._policies.get(access)
        if shared is None:
            policy = AccessPolicy(frozenset(map(self._one, access.tokens)), access.security_level)
            shared = self._policies[policy] = _SharedPolicy(policy)
            self._policy_tokens += len(policy.tokens)
        shared.heads += 1
        return shared.policy

    def _one(self, text: str) -> str:
        if len(self._shared) >= _MAX_SHARED:
            self._shared.clear()
        return self._shared.setdefault(text, text)

    def _make_room(self) -> None:
        """Puts out heads of the tenant that has most, oldest first: a large one puts out none of a small one. Some at
        once, because finding that tenant takes time."""
        while self._size > self._max_heads or self._policy_tokens > self._max_heads * _TOKENS_PER_HEAD:
            heads = max(self._tenants.values(), key=len)
            for document_id in list(itertools.islice(heads, max(1, int(self._max_heads * _EVICTED_SHARE)))):
                self._remove(heads, document_id)
