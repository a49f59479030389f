"""The change ledger in Elasticsearch when its process dies half-way, or another process gets in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import combinations

import pytest
from tests.contract.corpus_adapters import elasticsearch_installation
from tests.contract.corpus_samples import NOW, change, key
from tests.contract.elasticsearch_faults import FaultyTransport, ItemsApplied, all_applied, faulty, none_applied

from chassis.elasticsearch.client import Store
from chassis.errors import Conflict, DependencyUnavailable
from corpus.adapters.elasticsearch.change_ledger import SPECS, ElasticsearchChangeLedger
from corpus.adapters.elasticsearch.change_ledger_rows import KEPT_VERSIONS
from corpus.domain import ChangeRecord, ChangeState
from corpus.ids import MAX_DOCUMENT_ID_BYTES

pytestmark = pytest.mark.cluster

LATER = NOW + timedelta(hours=1)


@dataclass(frozen=True)
class World:
    """Connections that work, and one that does not. A new ledger on one of them has no memory."""

    sound: Store
    broken: Store
    transport: FaultyTransport

    def ledger(self) -> ElasticsearchChangeLedger:
        return ElasticsearchChangeLedger(self.sound)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with elasticsearch_installation(SPECS) as connect:
        sound = connect()
        async with faulty(sound) as (store, transport):
            yield World(sound, store, transport)


def only(*items: int) -> ItemsApplied:
    """These of a bulk request's items."""

    def applied(of: int) -> Collection[int]:
        return [item for item in items if item < of]

    applied.__name__ = "items_" + "_".join(map(str, items))
    return applied


SUBSETS = [only(*items) for size in range(4) for items in combinations(range(3), size)]


async def until_it_succeeds(
    world: World, fault: ItemsApplied, act: Callable[[ElasticsearchChangeLedger, str], Awaitable[object]]
) -> AsyncIterator[str]:
    """Lets ``act`` fail at its first request, at its second one and so on; yields the tenant it was done for."""
    for request in range(100):
        tenant = f"t{request}"
        await world.ledger().accept(change(f"{tenant}-old", 5, tenant_id=tenant))
        world.transport.fail_at(request, fault)
        try:
            await act(ElasticsearchChangeLedger(world.broken), tenant)
        except DependencyUnavailable:
            yield tenant
        else:
            assert request > 0, "nothing failed"
            return


def new(tenant: str, event_id: str = "new", version: int = 7) -> ChangeRecord:
    return change(f"{tenant}-{event_id}", version, tenant_id=tenant)


async def accept_new(ledger: ElasticsearchChangeLedger, tenant: str) -> ChangeRecord:
    return await ledger.accept(new(tenant))


async def is_recorded(world: World, record: ChangeRecord, of: int) -> None:
    tenant = record.key.tenant_id
    assert await world.ledger().get_many(tenant, [record.event_id]) == {record.event_id: record}
    assert record in await world.ledger().newest(record.key)
    assert await world.ledger().counts(tenant) == {ChangeState.PENDING: of}


@pytest.mark.parametrize("fault", SUBSETS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("version", [3, 7])
async def test_a_change_whose_acceptance_failed_half_way_is_completed_by_accepting_it_again(
    world: World, fault: ItemsApplied, version: int
) -> None:
    async def accept(ledger: ElasticsearchChangeLedger, tenant: str) -> object:
        return await ledger.accept(new(tenant, version=version))

    async for tenant in until_it_succeeds(world, fault, accept):
        record = new(tenant, version=version)
        assert await world.ledger().accept(record) == record
        await is_recorded(world, record, of=2)
        assert await world.ledger().latest_versions(tenant, ["doc"]) == {"doc": max(5, version)}
        await world.ledger().finish(record.event_id, ChangeState.APPLIED, at=LATER)
        assert await world.ledger().counts(tenant) == {ChangeState.PENDING: 1, ChangeState.APPLIED: 1}


@pytest.mark.parametrize("fault", SUBSETS, ids=lambda fault: fault.__name__)
async def test_what_is_read_after_a_failure_half_way_is_true(world: World, fault: ItemsApplied) -> None:
    async for tenant in until_it_succeeds(world, fault, accept_new):
        newest = [record.version for record in await world.ledger().newest(key(tenant_id=tenant))]
        assert newest in ([5], [7, 5])
        assert await world.ledger().latest_versions(tenant, ["doc"]) in ({"doc": 5}, {"doc": 7})
        for event_id in (f"{tenant}-old", f"{tenant}-new"):
            found = await world.ledger().get_many(tenant, [event_id])
            assert all(record.event_id == event_id for record in found.values())


@pytest.mark.parametrize("fault", SUBSETS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("fingerprint", ["f" * 64, "other"])
async def test_after_a_failure_half_way_two_events_of_one_version_still_agree_on_one_change(
    world: World, fault: ItemsApplied, fingerprint: str
) -> None:
    async for tenant in until_it_succeeds(world, fault, accept_new):
        records = [replace(new(tenant, "second"), fingerprint=fingerprint), new(tenant)]
        known = []
        for record in records:
            try:
                known.append(await world.ledger().accept(record))
            except Conflict as conflict:
                assert conflict.reason == "VERSION_CONFLICT"  # noqa: PT017
        assert len({record.event_id for record in known}) == 1
        assert len(known) == (2 if fingerprint == "f" * 64 else 1)
        await is_recorded(world, known[0], of=2)


@pytest.mark.parametrize("fault", SUBSETS, ids=lambda fault: fault.__name__)
async def test_an_event_id_that_is_taken_leaves_nothing_once_it_was_refused(world: World, fault: ItemsApplied) -> None:
    async def accept_with_a_taken_id(ledger: ElasticsearchChangeLedger, tenant: str) -> None:
        with pytest.raises(Conflict):
            await ledger.accept(new(tenant, "old", 9))

    async for tenant in until_it_succeeds(world, fault, accept_with_a_taken_id):
        await accept_with_a_taken_id(world.ledger(), tenant)
        assert await world.ledger().counts(tenant) == {ChangeState.PENDING: 1}
        assert [record.version for record in await world.ledger().newest(key(tenant_id=tenant))] == [5]
        assert await world.ledger().latest_versions(tenant, ["doc"]) == {"doc": 5}


@pytest.mark.parametrize("fault", [none_applied, all_applied])
async def test_a_change_that_was_finished_in_vain_is_finished_by_the_next_call(
    world: World, fault: ItemsApplied
) -> None:
    async def accept_and_finish(ledger: ElasticsearchChangeLedger, tenant: str) -> None:
        await ledger.finish(f"{tenant}-old", ChangeState.APPLIED, at=LATER)

    async for tenant in until_it_succeeds(world, fault, accept_and_finish):
        await world.ledger().finish(f"{tenant}-old", ChangeState.DEAD_LETTERED, at=LATER)
        [found] = (await world.ledger().get_many(tenant, [f"{tenant}-old"])).values()
        assert found.state in (ChangeState.APPLIED, ChangeState.DEAD_LETTERED)
        await world.ledger().finish(f"{tenant}-old", ChangeState.SUPERSEDED, at=LATER)
        assert await world.ledger().get_many(tenant, [found.event_id]) == {found.event_id: found}


async def test_the_first_of_two_terminal_states_stays_wherever_the_second_comes_in_between(world: World) -> None:
    for request in range(100):
        event_id = f"event-{request}"
        await world.ledger().accept(change(event_id, request + 1))

        async def meanwhile(event_id: str = event_id) -> None:
            await world.ledger().finish(event_id, ChangeState.SUPERSEDED, at=NOW)

        world.transport.interrupt_at(request, meanwhile)
        await ElasticsearchChangeLedger(world.broken).finish(event_id, ChangeState.APPLIED, at=LATER)
        [found] = (await world.ledger().get_many("acme", [event_id])).values()
        if world.transport.requests <= request:
            assert found.state is ChangeState.APPLIED
            break
        assert found.state is ChangeState.SUPERSEDED
    assert request >= 3


async def test_an_event_that_lost_its_version_leaves_nothing(world: World) -> None:
    await world.ledger().accept(change())
    for number in range(3):
        await world.ledger().accept(change(f"again-{number}"))
        with pytest.raises(Conflict):
            await world.ledger().accept(change(f"other-{number}", fingerprint="other"))
    await world.sound.client.indices.refresh(index=world.sound.name("changes"))
    assert (await world.sound.client.count(index=world.sound.name("changes")))["count"] == 3


async def test_concurrent_changes_of_one_document_all_count(world: World) -> None:
    ledgers = [world.ledger() for _ in range(3)]
    versions = range(1, 25)
    await asyncio.gather(*(ledgers[v % 3].accept(change(f"event-{v}", v)) for v in versions))
    assert [record.version for record in await ledgers[0].newest(key(), 100)] == sorted(versions, reverse=True)
    assert await ledgers[1].latest_versions("acme", ["doc"]) == {"doc": 24}


async def test_more_changes_of_one_document_than_are_kept_by_it_are_listed_and_told_apart(world: World) -> None:
    ledger = world.ledger()
    versions = range(1, KEPT_VERSIONS + 6)
    for version in versions:
        await ledger.accept(change(f"event-{version}", version))
    for limit in (1, KEPT_VERSIONS, KEPT_VERSIONS + 1, 1000):
        found = [record.version for record in await ledger.newest(key(), limit)]
        assert found == sorted(versions, reverse=True)[:limit]
    assert (await ledger.accept(change("late", 1))).event_id == "event-1"
    with pytest.raises(Conflict):
        await ledger.accept(change("late", 1, fingerprint="other"))


async def test_the_greatest_versions_are_told_apart(world: World) -> None:
    ledger = world.ledger()
    versions = [2**63 - 1, 2**63 - 2, 2**53 + 1, 2**53]
    for version in reversed(versions):
        await ledger.accept(replace(change(f"event-{version}"), version=version))
        assert await ledger.latest_versions("acme", ["doc"]) == {"doc": version}
    assert [record.version for record in await ledger.newest(key())] == versions


async def test_the_longest_and_oddest_names_are_recorded_as_they_are(world: World) -> None:
    ledger = world.ledger()
    record = change("é" * 300, document_id="標" * (MAX_DOCUMENT_ID_BYTES // 3), message='"\\ \u2028 ' * 10_000)
    assert await ledger.accept(record) == record
    assert await ledger.newest(record.key) == [record]
    assert await ledger.oldest_pending("acme", 1) == [record]


async def test_a_tenant_that_comes_back_starts_anew_also_for_who_remembers_the_old_one(world: World) -> None:
    ledger = world.ledger()
    await ledger.accept(change("old", 9))
    await world.ledger().drop_tenant("acme")
    await ledger.accept(change("new", 1))
    assert await ledger.latest_versions("acme", ["doc"]) == {"doc": 1}
    assert [record.event_id for record in await ledger.newest(key())] == ["new"]
    await ledger.finish("old", ChangeState.APPLIED, at=LATER)
    assert await ledger.counts("acme") == {ChangeState.PENDING: 1}


@pytest.mark.parametrize("fault", [all_applied, none_applied], ids=lambda fault: fault.__name__)
async def test_ageing_that_fails_half_way_hides_nothing_and_is_completed_by_the_next_pass(
    world: World, fault: ItemsApplied
) -> None:
    async def age(ledger: ElasticsearchChangeLedger, tenant: str) -> object:
        await world.ledger().accept(new(tenant, "v3", 3))
        await world.ledger().finish(f"{tenant}-v3", ChangeState.APPLIED, at=NOW)
        return await ledger.age_out(tenant, LATER)

    async for tenant in until_it_succeeds(world, fault, age):
        newest = [record.version for record in await world.ledger().newest(key(tenant_id=tenant))]
        assert newest in ([5, 3], [5])
        assert await world.ledger().latest_versions(tenant, ["doc"]) == {"doc": 5}
        await world.ledger().age_out(tenant, LATER)
        assert [record.version for record in await world.ledger().newest(key(tenant_id=tenant))] == [5]
        assert await world.ledger().counts(tenant) == {ChangeState.PENDING: 1}
        again = new(tenant, "v3", 3)
        assert await world.ledger().accept(again) == again
        assert await world.ledger().find(again.key, 3) == again


@pytest.mark.parametrize("fault", [all_applied, none_applied], ids=lambda fault: fault.__name__)
async def test_a_replay_that_fails_half_way_opens_its_change_once(world: World, fault: ItemsApplied) -> None:
    async def reopen(ledger: ElasticsearchChangeLedger, tenant: str) -> object:
        await world.ledger().finish(f"{tenant}-old", ChangeState.DEAD_LETTERED, at=NOW, reason="WHY")
        return await ledger.reopen(f"{tenant}-old", replay=1)

    async for tenant in until_it_succeeds(world, fault, reopen):
        for _ in range(2):
            known = await world.ledger().reopen(f"{tenant}-old", replay=1)
            assert known is not None
            assert (known.state, known.replays) == (ChangeState.PENDING, 1)
