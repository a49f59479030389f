"""The one way in which this package talks to Elasticsearch: connection, errors, bulk requests, indexes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from elasticsearch import ApiError, AsyncElasticsearch, TransportError

from chassis.errors import DependencyUnavailable, FailedPrecondition, InvalidRequest, Overloaded
from corpus.endpoints import ElasticsearchEndpoint

REQUEST_SECONDS: Final = 30.0
"""Longest one request may take. What a caller has time for is less as a rule, and enforced by whoever calls."""

_RETRY_AFTER_SECONDS: Final = 1.0
_BUSY: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Store:
    """A connection, and the names that belong to this installation. Shared by all adapters of a process."""

    client: AsyncElasticsearch
    endpoint: ElasticsearchEndpoint

    def index(self, name: str) -> str:
        """Name of an index (or alias) of this installation, such as ``headwater-heads``."""
        return f"{self.endpoint.prefix}-{name}"

    async def close(self) -> None:
        """Closes the connections. Idempotent."""
        await self.client.close()


def open_store(endpoint: ElasticsearchEndpoint) -> Store:
    """Connects at the first request. Requests are not repeated here: who calls knows what may be repeated."""
    options: dict[str, Any] = {"request_timeout": REQUEST_SECONDS, "max_retries": 0, "retry_on_timeout": False}
    if endpoint.api_key.get_secret_value():
        options["api_key"] = endpoint.api_key.get_secret_value()
    if endpoint.ca_file is not None:
        options["ca_certs"] = str(endpoint.ca_file)
    urls = [url.strip() for url in endpoint.url.split(",")]
    return Store(AsyncElasticsearch(urls, **options), endpoint)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turns what the client raises into the error tree. A write that raised has an unknown outcome."""
    try:
        yield
    except ApiError as error:
        raise _mapped(error) from error
    except TransportError as error:
        raise _unavailable() from error


def _mapped(error: ApiError) -> Exception:
    if error.status_code == 429:
        return Overloaded(
            "Elasticsearch has more work than room for: retry later.",
            reason="ELASTICSEARCH_BUSY",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )
    if error.status_code in _BUSY or error.status_code >= 500:
        return _unavailable()
    if error.status_code == 404:
        return FailedPrecondition(
            "An index of this installation is missing; run 'headwater admin init'.", reason="INDEX_MISSING"
        )
    if error.status_code in (401, 403):
        return DependencyUnavailable(
            "Elasticsearch refuses this service's credentials; check them.",
            reason="ELASTICSEARCH_FORBIDS",
            retry_after_seconds=10.0,
        )
    return FailedPrecondition("Elasticsearch refuses a request; run 'headwater admin check'.", reason="INDEX_MISMATCH")


def _unavailable() -> DependencyUnavailable:
    return DependencyUnavailable(
        "Elasticsearch can't be reached or fails: retry later.",
        reason="ELASTICSEARCH_UNAVAILABLE",
        retry_after_seconds=_RETRY_AFTER_SECONDS,
    )


@dataclass(frozen=True, slots=True)
class BulkItem:
    """How one operation of a bulk request ended."""

    status: int
    error_type: str = ""

    @property
    def done(self) -> bool:
        """Whether it was written, or there was nothing to delete."""
        return self.status < 300 or self.status == 404

    @property
    def conflict(self) -> bool:
        """Whether something newer is there."""
        return self.status == 409


async def bulk(store: Store, operations: Sequence[Mapping[str, Any]], *, refresh: str | bool = False) -> list[BulkItem]:
    """Sends one bulk request and looks at every item.

    Args:
        store: The connection.
        operations: Actions and documents in the alternating form of the bulk API.
        refresh: ``"wait_for"`` or True where the caller's next search must see the writes.

    Returns:
        One item per action. Conflicts are among them; every other failure is raised: Overloaded or
        DependencyUnavailable when any item may be sent again, InvalidRequest DOCUMENT_UNMAPPABLE when an item itself
        was refused.
    """
    if not operations:
        return []
    with store_errors():
        response = await store.client.bulk(operations=operations, refresh=refresh)  # type: ignore[arg-type]
    items = [_item(next(iter(each.values()))) for each in response["items"]]
    for item in items:
        if item.status == 429:
            raise Overloaded(
                "Elasticsearch has more work than room for: retry later.",
                reason="ELASTICSEARCH_BUSY",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        if item.status >= 500:
            raise _unavailable()
    for item in items:
        if not item.done and not item.conflict:
            raise InvalidRequest(
                "Elasticsearch can't index a row as it is.",
                reason="DOCUMENT_UNMAPPABLE",
                metadata={"error": item.error_type},
            )
    return items


def _item(raw: Mapping[str, Any]) -> BulkItem:
    error = raw.get("error")
    return BulkItem(int(raw["status"]), str(error.get("type", "")) if isinstance(error, Mapping) else "")


async def ensure_index(store: Store, name: str, mappings: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Creates an index unless it is there. Idempotent; what exists is not changed (``headwater admin check`` compares).
    ``mappings`` should say ``"dynamic": "strict"``."""
    own = {"number_of_shards": store.endpoint.shards, "number_of_replicas": store.endpoint.replicas}
    try:
        with store_errors():
            await store.client.indices.create(index=name, mappings=dict(mappings), settings={**own, **settings})
    except FailedPrecondition as error:
        cause = error.__cause__
        if not (isinstance(cause, ApiError) and cause.error == "resource_already_exists_exception"):
            raise
