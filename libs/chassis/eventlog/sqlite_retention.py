"""Removing what nobody needs any more, in small steps between appends."""

from __future__ import annotations

import sqlite3

STEP_RECORDS = 1000
"""Records that one step removes: a few milliseconds during which appends wait."""

MIN_DIRTY_RECORDS = 1000
"""A compacted partition is cleaned when more was appended than this and than half of what it holds, so the cost stays
in proportion."""


def clean_one_step(connection: sqlite3.Connection, now_ms: int, retention_ms: int) -> bool:
    """Removes at most ``STEP_RECORDS`` records of one partition; True when there may be more to do.

    Topics with a clean-up policy "delete" lose records older than the retention that *every* group has committed; a
    topic that no group ever read keeps everything. Compacted topics keep the newest record of each key; a tombstone
    goes once it is older than the retention and every group has committed it.
    """
    partitions = connection.execute(
        "SELECT t.topic_id, p.partition, t.compacted, p.next_offset, p.cleaned_to,"
        " coalesce((SELECT min(s.committed) FROM seats s WHERE s.topic_id = t.topic_id"
        " AND s.partition = p.partition), 0)"
        " FROM topics t JOIN partitions p USING (topic_id)"
    ).fetchall()
    for topic_id, partition, compacted, end, cleaned_to, committed in partitions:
        place = (topic_id, partition)
        oldest_ms = now_ms - retention_ms
        step = (
            _compact(connection, place, end, cleaned_to, min(committed, end), oldest_ms)
            if compacted
            else (_expire(connection, place, committed, oldest_ms))
        )
        if step:
            return True
    return False


def _expire(connection: sqlite3.Connection, place: tuple[int, int], committed: int, oldest_ms: int) -> bool:
    rows = connection.execute(
        "SELECT record_offset, timestamp_ms FROM records WHERE topic_id = ? AND partition = ? AND record_offset < ?"
        " ORDER BY record_offset LIMIT ?",
        (*place, committed, STEP_RECORDS),
    ).fetchall()
    old = [offset for offset, timestamp_ms in rows if timestamp_ms < oldest_ms]
    # Only a prefix goes, also when the clock was set back in between.
    first_kept = next((offset for offset, timestamp_ms in rows if timestamp_ms >= oldest_ms), None)
    end = first_kept if first_kept is not None else (old[-1] + 1 if old else 0)
    removed = connection.execute(
        "DELETE FROM records WHERE topic_id = ? AND partition = ? AND record_offset < ?", (*place, end)
    ).rowcount
    if removed:
        connection.execute("UPDATE partitions SET start_offset = ? WHERE topic_id = ? AND partition = ?", (end, *place))
    return removed > 0


def _compact(
    connection: sqlite3.Connection, place: tuple[int, int], end: int, cleaned_to: int, committed: int, oldest_ms: int
) -> bool:
    (held,) = connection.execute("SELECT count(*) FROM records WHERE topic_id = ? AND partition = ?", place).fetchone()
    if end - cleaned_to <= max(MIN_DIRTY_RECORDS, held // 2):
        return False
    removed = connection.execute(
        "DELETE FROM records WHERE topic_id = ?1 AND partition = ?2 AND record_offset IN ("
        " SELECT r.record_offset FROM records r JOIN"
        "  (SELECT key, max(record_offset) AS newest FROM records WHERE topic_id = ?1 AND partition = ?2"
        "  GROUP BY key) USING (key)"
        " WHERE r.topic_id = ?1 AND r.partition = ?2 AND (r.record_offset < newest"
        "  OR (r.value IS NULL AND r.record_offset < ?3 AND r.timestamp_ms < ?4)) LIMIT ?5)",
        (*place, committed, oldest_ms, STEP_RECORDS),
    ).rowcount
    if removed < STEP_RECORDS:
        connection.execute("UPDATE partitions SET cleaned_to = ? WHERE topic_id = ? AND partition = ?", (end, *place))
    return removed > 0
