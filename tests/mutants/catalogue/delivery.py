"""Protections of delivery: nothing lost, nothing twice, nothing that blocks."""

from __future__ import annotations

from tests.mutants.catalogue.areas import CONSUMER, HISTORIES, INGEST
from tests.mutants.mutant import Mutant

DELIVERY = (
    Mutant(
        "contiguous-prefix",
        "no offset is committed beyond one that is still in work",
        "libs/chassis/eventlog/offsets.py",
        "return self.smallest_first[0] if self.smallest_first else self.next_offset",
        "return self.next_offset",
        ("tests/unit/chassis/test_offsets.py",),
        (CONSUMER, HISTORIES),
    ),
    Mutant(
        "commit-fence",
        "who has lost a partition commits nothing for it",
        "libs/chassis/eventlog/memory.py",
        "if seat.owner == member.member_id and seat.fence == fences[index]:",
        "if True:",
        ("tests/contract/test_event_log_groups.py", "tests/contract/test_event_log_leases.py"),
        ("tests/contract/test_event_log.py", HISTORIES),
    ),
    Mutant(
        "commit-fence-sqlite",
        "the same, in the embedded log",
        "libs/chassis/eventlog/sqlite_groups.py",
        '" WHERE topic_id = ? AND group_name = ? AND partition = ? AND owner = ? AND fence = ?",\n        [(offset,',
        '" WHERE topic_id = ? AND group_name = ? AND partition = ? AND (owner = ? OR 1) AND (fence = ? OR 1)",\n'
        "        [(offset,",
        ("tests/contract/test_event_log_groups.py", "tests/contract/test_event_log_leases.py"),
        ("tests/contract/test_event_log.py", "tests/contract/test_event_log_sqlite.py"),
    ),
    Mutant(
        "order-of-a-document",
        "the changes of one document are handled one after the other",
        "services/ingest/consumer.py",
        "        if before is not None:\n            await asyncio.wait({before})\n",
        "        if before is not None and before.done():\n            await asyncio.wait({before})\n",
        (CONSUMER, "tests/unit/ingest/test_halted_worker.py"),
        INGEST,
    ),
    Mutant(
        "key-of-the-event",
        "an event is of the document that its key names",
        "services/ingest/handle.py",
        "if key_bytes(event.key) != work.record.key:",
        "if False:",
        ("tests/unit/ingest/test_consumer_dead_letters.py",),
        INGEST,
    ),
    Mutant(
        "accepted-once",
        "a change that is repeated is the change that was accepted before",
        "services/ingest/accept.py",
        "if await self.ledger.find(key, version):",
        "if False:",
        ("tests/unit/ingest/test_accept.py",),
        INGEST,
    ),
    Mutant(
        "same-content-unchanged",
        "the same content without a version is no new change",
        "services/ingest/accept.py",
        "if newest is not None and newest.fingerprint == fingerprint(change) and newest.state in _GOOD_STATES:",
        "if False:",
        ("tests/unit/ingest/test_accept.py",),
        INGEST,
    ),
    Mutant(
        "version-conflict",
        "one version is one change",
        "libs/corpus/adapters/rules.py",
        "if known.fingerprint != record.fingerprint:",
        "if False:",
        ("tests/contract/test_change_ledger.py",),
        INGEST,
    ),
    Mutant(
        "bad-event-goes-on",
        "a bad event is a dead letter, and the next one is handled",
        "services/ingest/handle.py",
        "            if disposition_of(error) is not Disposition.DEAD_LETTER:\n",
        "            if True:\n",
        (CONSUMER,),
        INGEST,
    ),
)

REFUSALS = (
    Mutant(
        "rejection-breaker",
        "a deployment that refuses everything halts",
        "services/ingest/rejections.py",
        "if self._halt is None and not self._in_doubt():",
        "if self._halt is None:",
        ("tests/unit/ingest/test_rejections.py",),
    ),
    Mutant(
        "sources-breaker",
        "a wrong mapping does not turn the topic of sources into dead letters",
        "services/ingest/sources/handle.py",
        '            await self.breaker.judge(error, "")\n',
        "            pass\n",
        ("tests/unit/ingest/test_sources_halt.py",),
    ),
    Mutant(
        "halted-deletes",
        "while a worker is halted, deletes and revocations behind the documents that wait are applied",
        "services/ingest/consumer.py",
        "return len(self._running) - len(self._held) + self._held_in_work",
        "return len(self._running)",
        ("tests/unit/ingest/test_halted_worker.py",),
    ),
    Mutant(
        "halted-bounded",
        "a halted worker takes a bounded number of records",
        "services/ingest/consumer.py",
        "if self._stopping or len(self._held) >= MOST_HELD else",
        "if self._stopping else",
        ("tests/unit/ingest/test_halted_worker.py",),
    ),
    Mutant(
        "known-bad-file",
        "a file that is known to be bad is not parsed again",
        "services/ingest/known_bad.py",
        "if known is None or known.reason in _NOT_THE_FILE or (known.reason in _TWICE and known.times < 2):",
        "if True:",
        ("tests/unit/ingest/test_dead_letters.py",),
        ("tests/unit/ingest/test_rejections.py", "tests/unit/ingest/test_dead_letter_faults.py"),
    ),
)
