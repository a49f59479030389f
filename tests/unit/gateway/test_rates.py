"""Rate limits of users, tenants and client addresses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.gateway.fakes import ALICE, BOB

from chassis.errors import InvalidRequest, Overloaded
from chassis.peer import Peer, called_by, host_of
from gateway.addresses import UNKNOWN, client_address, networks_of
from gateway.rates import RateLimits, Spending

SECOND = 1_000_000_000
FOREIGNER = replace(ALICE, tenant_id="other")


class Ticks:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.ns = 7 * SECOND

    def __call__(self) -> int:
        return self.ns


def limits(clock: Ticks, user: str = "1000/second", tenant: str = "", address: str = "", size: int = 100) -> RateLimits:
    kinds = dict.fromkeys(Spending, user)
    return RateLimits(
        kinds,
        tenants=dict.fromkeys(Spending, tenant),
        addresses=dict.fromkeys(Spending, address),
        proxies=networks_of("10.0.0.0/8 ::1"),
        max_buckets=size,
        clock=clock,
    )


def refused(rates: RateLimits, amount: int = 1, caller: object = ALICE) -> Overloaded:
    with pytest.raises(Overloaded) as caught:
        rates.spend(Spending.ASK, caller, amount)  # type: ignore[arg-type]
    return caught.value


def test_a_bucket_admits_its_burst_then_one_more_each_interval() -> None:
    clock = Ticks()
    rates = limits(clock, "4/2 seconds")
    for _ in range(4):
        rates.spend(Spending.ASK, ALICE)

    assert refused(rates).retry_after_seconds == 0.5
    clock.ns += SECOND // 2 - 1
    refused(rates)
    clock.ns += 1
    rates.spend(Spending.ASK, ALICE)
    refused(rates)


def test_a_long_pause_fills_a_bucket_and_no_more() -> None:
    clock = Ticks()
    rates = limits(clock, "4/2 seconds")
    rates.spend(Spending.ASK, ALICE)
    clock.ns += 3600 * SECOND
    rates.spend(Spending.ASK, ALICE, 4)
    refused(rates)


def test_a_refused_batch_is_not_counted() -> None:
    rates = limits(Ticks(), "4/second")
    rates.spend(Spending.ASK, ALICE, 3)
    refused(rates, 2)
    rates.spend(Spending.ASK, ALICE, 1)


def test_a_batch_that_no_wait_would_admit_is_no_question_of_waiting() -> None:
    with pytest.raises(InvalidRequest) as caught:
        limits(Ticks(), "4/second").spend(Spending.ASK, ALICE, 5)
    assert caught.value.reason == "BATCH_OVER_RATE"


def test_of_several_rates_the_strictest_holds() -> None:
    clock = Ticks()
    rates = limits(clock, "2/second; 3/hour")
    rates.spend(Spending.ASK, ALICE, 2)
    clock.ns += SECOND
    rates.spend(Spending.ASK, ALICE)
    assert refused(rates).metadata["limit"] == "3 per 1 hour"


def test_kinds_of_calls_are_counted_apart() -> None:
    rates = limits(Ticks(), "1/hour")
    for spending in Spending:
        rates.spend(spending, ALICE)


def test_users_of_a_tenant_share_its_limit_and_other_tenants_do_not() -> None:
    rates = limits(Ticks(), tenant="2/minute")
    rates.spend(Spending.ASK, ALICE)
    rates.spend(Spending.ASK, BOB)

    refusal = refused(rates)
    assert (refusal.reason, refusal.metadata["limit_of"]) == ("TENANT_RATE_LIMITED", "tenant")
    assert refusal.retry_after_seconds == 30
    rates.spend(Spending.ASK, FOREIGNER)


def test_a_user_who_is_refused_takes_nothing_from_his_tenant() -> None:
    rates = limits(Ticks(), "1/minute", tenant="2/minute")
    rates.spend(Spending.ASK, ALICE)
    for _ in range(5):
        assert refused(rates).reason == "RATE_LIMITED"
    rates.spend(Spending.ASK, BOB)


def test_an_address_has_one_limit_whoever_calls_from_it() -> None:
    rates = limits(Ticks(), address="1/minute")
    with called_by(Peer("192.0.2.1")):
        rates.spend(Spending.ASK, ALICE)
        assert refused(rates, caller=FOREIGNER).reason == "ADDRESS_RATE_LIMITED"
    with called_by(Peer("192.0.2.2")):
        rates.spend(Spending.ASK, ALICE)


def test_calls_without_an_address_share_one_limit() -> None:
    rates = limits(Ticks(), address="1/minute")
    rates.spend(Spending.ASK, ALICE)
    assert refused(rates, caller=BOB).reason == "ADDRESS_RATE_LIMITED"


def test_memory_stays_bounded_and_a_flood_of_addresses_forgets_no_user() -> None:
    rates = limits(Ticks(), "1/hour", address="1/hour", size=10)
    with called_by(Peer("192.0.2.250")):
        rates.spend(Spending.ASK, ALICE)
    for number in range(200):
        with called_by(Peer(f"192.0.2.{number}")):
            rates.spend(Spending.ASK, replace(BOB, subject=f"bob-{number % 9}", tenant_id=f"t{number % 3}"), 0)

    assert all(len(buckets) <= 10 for buckets in rates._buckets.values())
    assert refused(rates).reason == "RATE_LIMITED"


@pytest.mark.parametrize(
    ("host", "forwarded", "found"),
    [
        ("192.0.2.1", (), "192.0.2.1"),
        ("192.0.2.1", ("198.51.100.9",), "192.0.2.1"),  # no proxy of ours: its word counts for nothing
        ("10.1.2.3", ("198.51.100.9",), "198.51.100.9"),
        ("10.1.2.3", ("1.1.1.1, 198.51.100.9",), "198.51.100.9"),  # what the client wrote itself comes first
        ("10.1.2.3", ("1.1.1.1", "198.51.100.9, 10.9.9.9"), "198.51.100.9"),
        ("10.1.2.3", ("nonsense",), "10.1.2.3"),
        ("::1", ("2001:db8:1:2:3::4",), "2001:db8:1:2::/64"),
        ("10.1.2.3", ("198.51.100.9:5678",), "198.51.100.9"),
        ("10.1.2.3", ("198.51.100.9:5678, 10.9.9.9:80",), "198.51.100.9"),
        ("10.1.2.3", ("[2001:db8::1]:443",), "2001:db8::/64"),
        ("10.1.2.3", ("[2001:db8::1]",), "2001:db8::/64"),
        ("10.1.2.3", ("2001:db8::1:443",), "2001:db8::/64"),
        ("10.1.2.3", ("198.51.100.9:",), "10.1.2.3"),
        ("10.1.2.3", ("198.51.100.9:http",), "10.1.2.3"),
        ("10.1.2.3", ("198.51.100.9:123456",), "10.1.2.3"),
        ("10.1.2.3", ("[2001:db8::1",), "10.1.2.3"),
        ("10.1.2.3", ("[2001:db8::1]443",), "10.1.2.3"),
        ("::ffff:192.0.2.7", (), "192.0.2.7"),
        ("2001:db8::1%eth0", (), "2001:db8::/64"),
        ("", ("198.51.100.9",), UNKNOWN),
        ("testclient", (), UNKNOWN),
    ],
)
def test_only_proxies_of_ours_say_who_is_behind_them(host: str, forwarded: tuple[str, ...], found: str) -> None:
    assert client_address(Peer(host, forwarded), networks_of("10.0.0.0/8 ::1")) == found


def test_grpc_names_of_peers_are_read() -> None:
    assert host_of("ipv4:192.0.2.1:50051") == "192.0.2.1"
    assert host_of("ipv6:%5B2001:db8::1%5D:443") == "2001:db8::1"
    assert host_of("unix:/run/x") == ""
