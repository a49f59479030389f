"""Statements over groups. Each function runs in a database thread; a writing one inside a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from chassis.eventlog.coordination import Seat, give_up, take_seats
from chassis.eventlog.engine import LEASE_SECONDS, Member, Standing
from chassis.eventlog.sqlite_records import topic_of

ProcessAlive = Callable[[str], bool]


def look(connection: sqlite3.Connection, member: Member, process: str, now: float, is_alive: ProcessAlive) -> Standing:
    """Joins or renews the lease, drops members whose lease or process ended, takes free seats."""
    topic_id, partitions = topic_of(connection, member.topic)
    group = (topic_id, member.group)
    _ensure_group(connection, group, partitions)
    known = connection.execute(
        "SELECT member_id, process, lease_until FROM members WHERE topic_id = ? AND group_name = ?", group
    ).fetchall()
    gone = [m for m, p, end in known if m != member.member_id and (end <= now or (p != process and not is_alive(p)))]
    joined = all(m != member.member_id for m, _, _ in known)
    connection.executemany(
        "DELETE FROM members WHERE topic_id = ? AND group_name = ? AND member_id = ?", [(*group, m) for m in gone]
    )
    connection.execute(
        "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?)",
        (*group, member.member_id, process, now + LEASE_SECONDS),
    )
    live = {m for m, _, _ in known if m not in gone} | {member.member_id}
    seats = _seats(connection, group)
    _store_changes(connection, group, seats, take_seats(seats, live, member.member_id), force=joined or bool(gone))
    return _standing(connection, group, member)


def release(connection: sqlite3.Connection, member: Member, indexes: frozenset[int]) -> Standing:
    """Gives seats up for their next owners."""
    topic_id, _ = topic_of(connection, member.topic)
    group = (topic_id, member.group)
    seats = _seats(connection, group)
    _store_changes(connection, group, seats, give_up(seats, member.member_id, indexes))
    return _standing(connection, group, member)


def leave(connection: sqlite3.Connection, member: Member) -> None:
    """Ends the membership."""
    topic_id, _ = topic_of(connection, member.topic)
    group = (topic_id, member.group)
    removed = connection.execute(
        "DELETE FROM members WHERE topic_id = ? AND group_name = ? AND member_id = ?", (*group, member.member_id)
    )
    seats = _seats(connection, group)
    after = give_up(seats, member.member_id, seats.keys())
    _store_changes(connection, group, seats, after, force=removed.rowcount > 0)


def commit(
    connection: sqlite3.Connection, member: Member, offsets: Mapping[int, int], fences: Mapping[int, int]
) -> None:
    """Raises committed offsets, of seats still owned under the same fence and never beyond the end of the log."""
    topic_id, _ = topic_of(connection, member.topic)
    connection.executemany(
        "UPDATE seats SET committed = max(committed, min(?, (SELECT next_offset FROM partitions p"
        " WHERE p.topic_id = seats.topic_id AND p.partition = seats.partition)))"
        " WHERE topic_id = ? AND group_name = ? AND partition = ? AND owner = ? AND fence = ?",
        [(offset, topic_id, member.group, i, member.member_id, fences[i]) for i, offset in offsets.items()],
    )


def lag(connection: sqlite3.Connection, topic: str, group: str) -> Mapping[int, int]:
    """Records not committed by partition; those that retention removed are not counted."""
    topic_id, _ = topic_of(connection, topic)
    rows = connection.execute(
        "SELECT p.partition, p.next_offset - max(p.start_offset, coalesce(s.committed, 0))"
        " FROM partitions p"
        " LEFT JOIN seats s ON s.topic_id = p.topic_id AND s.partition = p.partition AND s.group_name = ?"
        " WHERE p.topic_id = ?",
        (group, topic_id),
    )
    return dict(rows.fetchall())


def epoch_of(connection: sqlite3.Connection, topic: str, group: str) -> tuple[int, int]:
    """(topic id, epoch); the epoch of a group that nobody joined is −2, which no member holds."""
    topic_id, _ = topic_of(connection, topic)
    row = connection.execute(
        "SELECT epoch FROM consumer_groups WHERE topic_id = ? AND name = ?", (topic_id, group)
    ).fetchone()
    return topic_id, int(row[0]) if row else -2


def _ensure_group(connection: sqlite3.Connection, group: tuple[int, str], partitions: int) -> None:
    created = connection.execute("INSERT OR IGNORE INTO consumer_groups (topic_id, name) VALUES (?, ?)", group)
    if created.rowcount:
        # A new group begins at offset 0, not at the end: records appended before its first member came are not skipped.
        connection.executemany(
            "INSERT INTO seats (topic_id, group_name, partition) VALUES (?, ?, ?)",
            [(*group, i) for i in range(partitions)],
        )


def _seats(connection: sqlite3.Connection, group: tuple[int, str]) -> dict[int, Seat]:
    rows = connection.execute(
        "SELECT partition, target, owner, fence FROM seats WHERE topic_id = ? AND group_name = ?", group
    )
    return {index: Seat(target, owner, fence) for index, target, owner, fence in rows}


def _store_changes(
    connection: sqlite3.Connection,
    group: tuple[int, str],
    before: Mapping[int, Seat],
    after: Mapping[int, Seat],
    *,
    force: bool = False,
) -> None:
    changed = [(s.target, s.owner, s.fence, *group, i) for i, s in after.items() if s != before[i]]
    connection.executemany(
        "UPDATE seats SET target = ?, owner = ?, fence = ? WHERE topic_id = ? AND group_name = ? AND partition = ?",
        changed,
    )
    if changed or force:
        connection.execute("UPDATE consumer_groups SET epoch = epoch + 1 WHERE topic_id = ? AND name = ?", group)


def _standing(connection: sqlite3.Connection, group: tuple[int, str], member: Member) -> Standing:
    (epoch,) = connection.execute("SELECT epoch FROM consumer_groups WHERE topic_id = ? AND name = ?", group).fetchone()
    rows = connection.execute(
        "SELECT partition, committed FROM seats WHERE topic_id = ? AND group_name = ?", group
    ).fetchall()
    mine = {i: seat for i, seat in _seats(connection, group).items() if seat.owner == member.member_id}
    return Standing(
        epoch=int(epoch),
        fences={i: seat.fence for i, seat in mine.items()},
        leaving=frozenset(i for i, seat in mine.items() if seat.target != member.member_id),
        committed=dict(rows),
    )
