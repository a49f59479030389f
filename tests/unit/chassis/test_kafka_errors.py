"""What Kafka's client raises, in our terms."""

from __future__ import annotations

import pytest
from aiokafka import errors

from chassis.errors import DependencyUnavailable, FailedPrecondition, HeadwaterError, InvalidRequest, Overloaded
from chassis.eventlog.kafka_connection import kafka_errors


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (errors.KafkaConnectionError(), DependencyUnavailable),
        (errors.KafkaError("unexpected"), DependencyUnavailable),
        # What uvloop says to a write after a reset, which the client lets through.
        (RuntimeError("unable to perform operation; the handler is closed"), DependencyUnavailable),
        (ConnectionResetError(), DependencyUnavailable),
        (TimeoutError(), DependencyUnavailable),
        (errors.TopicAuthorizationFailedError(), FailedPrecondition),
        (errors.MessageSizeTooLargeError(), InvalidRequest),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_every_error_of_the_client_says_whether_to_wait_or_to_give_up(
    raised: Exception, expected: type[HeadwaterError]
) -> None:
    with pytest.raises(expected), kafka_errors():
        raise raised


def test_a_throttled_client_is_told_when_to_come_back() -> None:
    with pytest.raises(Overloaded) as caught, kafka_errors():
        raise errors.QuotaViolationError
    assert caught.value.retry_after_seconds
