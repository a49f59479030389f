"""The one way in which this package connects to Elasticsearch, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from elasticsearch import ApiError, AsyncElasticsearch, TransportError

from chassis.endpoints import ElasticsearchEndpoint
from chassis.errors import DependencyUnavailable, FailedPrecondition, HeadwaterError, Overloaded

REQUEST_SECONDS: Final = 30.0
"""Longest one request may take. What a caller has time for is less as a rule, and enforced by whoever calls."""

_RETRY_AFTER_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Store:
    """A connection, and the names that belong to this installation. Shared by all adapters of a process."""

    client: AsyncElasticsearch
    endpoint: ElasticsearchEndpoint

    def name(self, alias: str) -> str:
        """Full name of an alias of this installation, such as ``headwater-heads``."""
        return f"{self.endpoint.prefix}-{alias}"

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
    """Turns what the client raises into the error tree. A write that raised has an unknown outcome. Status codes with
    a meaning of their own (a conflict, a document that is not there) are for the caller to take out before, with
    ``client.options(ignore_status=…)``."""
    try:
        yield
    except ApiError as error:
        raise error_of(error.status_code, error.error) from error
    except TransportError as error:
        raise unavailable() from error


def error_of(status: int, error_type: str) -> HeadwaterError:
    """What a status code of a request, or of one item of a bulk request, means."""
    if status == 429:
        return Overloaded(
            "Elasticsearch has more work than room for: retry later.",
            reason="ELASTICSEARCH_BUSY",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )
    if status >= 500 or status == 408:
        return unavailable()
    if error_type == "index_not_found_exception":
        return FailedPrecondition(
            "An index of this installation is missing; run 'headwater admin init'.", reason="INDEX_MISSING"
        )
    if status in (401, 403):
        return DependencyUnavailable(
            "Elasticsearch refuses this service's credentials, or to write; check its credentials and disk space.",
            reason="ELASTICSEARCH_FORBIDS",
            retry_after_seconds=10.0,
        )
    return FailedPrecondition(
        "Elasticsearch refuses a request; run 'headwater admin check'.",
        reason="INDEX_MISMATCH",
        metadata={"error": error_type},
    )


def unavailable() -> DependencyUnavailable:
    """Elasticsearch can't be reached, or fails."""
    return DependencyUnavailable(
        "Elasticsearch can't be reached or fails: retry later.",
        reason="ELASTICSEARCH_UNAVAILABLE",
        retry_after_seconds=_RETRY_AFTER_SECONDS,
    )
