"""How a Kafka cluster is reached, and what its client's errors mean here."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiokafka import errors

from chassis.endpoints import KafkaEndpoint
from chassis.errors import DependencyUnavailable, FailedPrecondition, InvalidRequest, Overloaded

REQUEST_MS = 15_000
"""One request to one broker, after which it is sent again: longer than any healthy broker takes."""

ASK_SECONDS = 15.0
"""One question to the cluster with its retries, for instance for the ends of a topic."""

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""Largest record: events hold references to documents, not their bytes; what is large is a list of readers."""

_REFUSED = (
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.ClusterAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.SaslAuthenticationFailed,
    errors.TopicAuthorizationFailedError,
    errors.UnsupportedSaslMechanismError,
)
_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError, errors.RecordTooLargeError)


def client_options(endpoint: KafkaEndpoint) -> dict[str, Any]:
    """What every client of the cluster is constructed with. Reads the CA file."""
    options: dict[str, Any] = {
        "bootstrap_servers": endpoint.bootstrap_servers,
        "security_protocol": endpoint.security_protocol,
        "request_timeout_ms": REQUEST_MS,
        # Leaders move; who asks a broker that is one no more is told at once, so this is only the slow path.
        "metadata_max_age_ms": 60_000,
    }
    if endpoint.security_protocol.endswith("SSL"):
        options["ssl_context"] = ssl.create_default_context(cafile=endpoint.ca_file)
    if endpoint.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = endpoint.sasl_mechanism
        options["sasl_plain_username"] = endpoint.username
        options["sasl_plain_password"] = endpoint.password.get_secret_value()
    return options


@contextmanager
def kafka_errors() -> Iterator[None]:
    """Translates what the client raises. Whatever is not known to be the caller's fault is an unavailable dependency:
    an event is never dropped because of a broker's unexpected answer."""
    try:
        yield
    except _REFUSED as error:
        raise FailedPrecondition(
            "Kafka refuses this service; check its credentials and its access control lists.",
            reason="KAFKA_ACCESS_DENIED",
            metadata={"error": type(error).__name__},
        ) from error
    except _TOO_LARGE as error:
        raise record_too_large() from error
    except errors.QuotaViolationError as error:
        raise Overloaded("Kafka throttles this service.", reason="KAFKA_QUOTA", retry_after_seconds=1.0) from error
    except (RuntimeError, errors.ConsumerStoppedError, errors.IllegalOperation, OSError, TimeoutError) as error:
        # KafkaError is a RuntimeError. A bare one is uvloop's word for a write to a connection that was reset a moment
        # ago; the client lets it through.
        raise unavailable(type(error).__name__) from error


@asynccontextmanager
async def asking(seconds: float = ASK_SECONDS) -> AsyncIterator[None]:
    """``kafka_errors`` with a deadline for what is awaited inside."""
    with kafka_errors():
        async with asyncio.timeout(seconds):
            yield


def unavailable(cause: str) -> DependencyUnavailable:
    """The error of a cluster that does not answer as it should."""
    return DependencyUnavailable(
        "Kafka can't be reached or fails; try again later.",
        reason="KAFKA_UNAVAILABLE",
        metadata={"error": cause},
        retry_after_seconds=1.0,
    )


def record_too_large() -> InvalidRequest:
    """The error of a record that no broker would take."""
    return InvalidRequest(
        f"The event is larger than {MAX_RECORD_BYTES} bytes.",
        reason="RECORD_TOO_LARGE",
        metadata={"limit_bytes": str(MAX_RECORD_BYTES)},
    )
