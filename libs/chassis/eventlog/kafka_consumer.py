"""A member of a Kafka consumer group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition, errors
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from chassis.errors import Defect, FailedPrecondition
from chassis.eventlog.kafka_cluster import KafkaCluster
from chassis.eventlog.kafka_connection import asking, kafka_errors
from chassis.eventlog.kafka_intake import FETCH_OPTIONS, Intake, has_died, stop_quietly
from chassis.eventlog.port import Partition, Record, RevokedCallback

REBALANCE_MS = 60_000
"""How long the others wait for a member that has to give up its partitions."""

MAX_POLL_INTERVAL_MS = 30_000
"""Without a poll for so long a member leaves the group by itself: the port's 20 s and a margin for a busy machine."""

REVOKE_SECONDS = 50.0
"""For the callback; the rebalance goes on without this member soon after."""

START_SECONDS = REBALANCE_MS / 1000 + 15.0
"""Joining a group waits for the slowest member of it."""

COMMIT_SECONDS = 10.0
STOP_SECONDS = 10.0
_log = logging.getLogger(__name__)


class KafkaConsumer:
    """One member of a group; see ``chassis.eventlog.port.Consumer``.

    Group membership is Kafka's classic protocol with the sticky assignor and eager rebalancing: whenever members come
    or go, every member gives up *all* its partitions, most of which it gets back a moment later; ``on_revoked`` is told
    of all of them, from a task of the client. Kafka's name of the group is "<group>.<topic>", because members of one
    group have to read the same topics.
    """

    def __init__(self, cluster: KafkaCluster, topic: str, group: str, session_seconds: float) -> None:
        self._cluster = cluster
        self._topic = topic
        self._name = cluster.prefix + topic
        self._group_id = group_id(cluster.prefix, topic, group)
        self._session_ms = round(session_seconds * 1000)
        self._inner: AIOKafkaConsumer | None = None
        self._intake = Intake(topic, self._name)
        self._on_revoked: RevokedCallback | None = None
        self._assigned: frozenset[int] = frozenset()
        self._committed: dict[int, int] = {}
        self._paused: set[int] = set()
        self._revoking = False
        self._failure: Defect | None = None
        self._committing = asyncio.Lock()
        self._leaving: set[asyncio.Task[bool]] = set()
        self._started = False
        self._stopped = False

    async def start(self, on_revoked: RevokedCallback | None = None) -> None:
        """Joins the group and waits until its members have agreed on their partitions."""
        self._require_not_stopped()
        self._on_revoked = on_revoked
        await self._open()
        self._started = True

    async def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        """Next records; see the port. While the brokers can't be reached, there are none."""
        self._require_not_stopped()
        if not self._started:
            raise FailedPrecondition("Start the consumer before polling.", reason="CONSUMER_NOT_STARTED")
        if self._failure is not None:
            raise self._failure
        if self._inner is None:
            await self._open()
        inner = self._inner
        assert inner is not None
        with kafka_errors():
            try:
                if has_died(inner):
                    raise errors.KafkaError("The client's fetching task has ended.")
                return await self._intake.take(inner, self._wanted, max_records, timeout_seconds)
            except RuntimeError as error:  # KafkaError, and what ``kafka_errors`` says of others
                _log.warning("a Kafka consumer begins anew after %s", type(error).__name__)
                await self._begin_anew()
                raise

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commits for partitions of this member; see the port."""
        async with asking(COMMIT_SECONDS), self._committing:
            inner = self._inner
            mine = {p.index: offset for p, offset in offsets.items() if self._owns(p)}
            if inner is None or not mine:
                return
            try:
                await self._commit(inner, mine)
            except (errors.CommitFailedError, errors.IllegalStateError):
                # Not this member's any more, or not in this generation of the group: its successor decides.
                _log.info("a commit came too late for %d partitions", len(mine))

    async def seek_to_committed(self, partition: Partition) -> None:
        """Goes back to the committed offset. Nothing happens when the partition is not assigned."""
        inner = self._inner
        if inner is None or not self._owns(partition):
            return
        place = TopicPartition(self._name, partition.index)
        async with asking():
            committed = await inner.committed(place)
            try:
                if committed is None:
                    await inner.seek_to_beginning(place)
                else:
                    inner.seek(place, committed)
            except errors.IllegalStateError:
                return  # revoked meanwhile: it begins at the committed offset anyway
        self._intake.drop({partition.index})

    def pause(self, partitions: Collection[Partition]) -> None:
        """Hands out nothing of the partitions; see the port."""
        self._paused.update(p.index for p in partitions if p.topic == self._topic)

    def resume(self, partitions: Collection[Partition]) -> None:
        """Undoes ``pause``."""
        self._paused.difference_update(p.index for p in partitions if p.topic == self._topic)

    def assignment(self) -> frozenset[Partition]:
        """Partitions of this member; none during a rebalance."""
        return self._partitions(self._assigned)

    async def lag(self) -> Mapping[Partition, int]:
        """Records not committed by the group, without being a member."""
        lag = await self._cluster.lag(self._topic, self._group_id)
        return {Partition(self._topic, index): count for index, count in lag.items()}

    async def stop(self) -> None:
        """Leaves the group without committing."""
        if self._stopped:
            return
        self._stopped = True
        self._assigned = frozenset()
        await self._intake.close()
        self._let_go()
        if self._leaving:
            await asyncio.wait(set(self._leaving))

    async def _open(self) -> None:
        # Asks first: the client would wait for a topic that nobody created.
        await self._cluster.partition_count(self._topic)
        # The assignor keeps what it knows of its consumer in its class.
        assignor = type("OwnStickyAssignor", (StickyPartitionAssignor,), {})
        inner = AIOKafkaConsumer(
            group_id=self._group_id,
            # A committed offset that is no more: everything that is there comes again, and nothing is skipped.
            auto_offset_reset="earliest",
            partition_assignment_strategy=(assignor,),
            session_timeout_ms=self._session_ms,
            rebalance_timeout_ms=REBALANCE_MS,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
            **FETCH_OPTIONS,
            **self._cluster.options,
        )
        inner.subscribe([self._name], listener=_Listener(self, inner))
        self._inner = inner
        try:
            async with asking(START_SECONDS):
                await inner.start()
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        """Leaves the group in the background: nobody has to wait for it, and no cancellation interrupts it."""
        inner, self._inner = self._inner, None
        if inner is not None:
            task = asyncio.get_running_loop().create_task(stop_quietly(inner, STOP_SECONDS))
            self._leaving.add(task)
            task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[bool]) -> None:
        self._leaving.discard(task)
        if task.cancelled() or not task.result():
            _log.warning("a consumer could not leave its group; its session will end by itself")

    async def _begin_anew(self) -> None:
        """After an error that the client does not get over by itself: out of the group, and in again at the next
        poll."""
        inner = self._inner
        self._let_go()
        if inner is not None:
            await self._revoke(inner)
        await self._intake.close()

    async def _commit(self, inner: AIOKafkaConsumer, offsets: Mapping[int, int]) -> None:
        places = {index: TopicPartition(self._name, index) for index in offsets}
        # 1. What is committed, once per assignment: while it lasts, nobody else commits.
        unknown = [index for index in offsets if index not in self._committed]
        for index, known in zip(
            unknown, await asyncio.gather(*(inner.committed(places[i]) for i in unknown)), strict=True
        ):
            self._committed[index] = known or 0
        offsets = {i: offset for i, offset in offsets.items() if places[i] in inner.assignment()}
        # 2. Nothing beyond the end, because Kafka would take it and later records would be skipped.
        beyond = [places[i] for i, offset in offsets.items() if offset > (inner.highwater(places[i]) or 0)]
        ends = await inner.end_offsets(beyond) if beyond else {}
        wanted = {i: min(offset, ends.get(places[i], offset)) for i, offset in offsets.items()}
        # 3. Forward only.
        forward = {i: offset for i, offset in wanted.items() if offset > self._committed.get(i, 0)}
        if forward:
            await inner.commit({places[i]: offset for i, offset in forward.items()})
            self._committed.update(forward)

    async def _revoke(self, inner: AIOKafkaConsumer) -> None:
        """Tells whoever works on the partitions; they stay this member's until that has returned."""
        going = self._assigned
        if not going or self._revoking:
            return
        self._revoking = True
        self._intake.drop()
        try:
            if self._on_revoked is not None:
                async with asyncio.timeout(REVOKE_SECONDS):
                    await self._on_revoked(self._partitions(going))
        except TimeoutError:
            _log.error("giving up partitions took too long; the group goes on without this member")
        except Exception as error:
            # The client would write this to its log and go on, with the work on these partitions still under way.
            self._failure = Defect("Giving up partitions failed.", reason="REVOCATION_FAILED")
            self._failure.__cause__ = error
        finally:
            self._revoking = False
            self._assigned = frozenset()
            self._committed.clear()

    def _assign(self, indexes: frozenset[int]) -> None:
        self._intake.drop()
        self._committed.clear()
        self._paused &= indexes
        self._assigned = indexes

    def _wanted(self) -> Collection[int]:
        return () if self._revoking else self._assigned - self._paused

    def _partitions(self, indexes: Collection[int]) -> frozenset[Partition]:
        return frozenset(Partition(self._topic, index) for index in indexes)

    def _owns(self, partition: Partition) -> bool:
        return partition.topic == self._topic and partition.index in self._assigned

    def _require_not_stopped(self) -> None:
        if self._stopped:
            raise FailedPrecondition("The consumer has been stopped; create another one.", reason="CONSUMER_STOPPED")


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Called by the client's own task; ignores a client that was replaced."""

    def __init__(self, consumer: KafkaConsumer, inner: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._inner = inner

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        if revoked and self._consumer._inner is self._inner:
            await self._consumer._revoke(self._inner)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        if self._consumer._inner is self._inner:
            self._consumer._assign(frozenset(place.partition for place in assigned))


def group_id(prefix: str, topic: str, group: str) -> str:
    """Kafka's name of a group."""
    return f"{prefix}{group}.{topic}"
