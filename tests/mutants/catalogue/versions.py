"""Protections of the order of versions."""

from __future__ import annotations

from tests.mutants.catalogue.areas import APPLY, CONSUMER, HISTORIES, INGEST, INTERRUPTED
from tests.mutants.mutant import Mutant

VERSIONS = (
    Mutant(
        "heads-compare-memory",
        "a head of a smaller version changes nothing",
        "libs/corpus/adapters/memory/heads.py",
        "if known is not None and known.version > head.version:",
        "if False:",
        ("tests/contract/test_heads.py",),
        (HISTORIES,),
    ),
    Mutant(
        "heads-compare-sqlite",
        "the same, in the statement of the embedded store",
        "libs/corpus/adapters/sqlite/heads.py",
        '+ " WHERE excluded.version >= heads.version"',
        '+ ""',
        ("tests/contract/test_heads.py",),
    ),
    Mutant(
        "stale-event",
        "an event older than the head writes nothing",
        "services/ingest/apply.py",
        "if head is not None and event.version < head.version:",
        "if False:",
        (APPLY,),
        INGEST,
    ),
    Mutant(
        "duplicate-event",
        "another event of the head's own version is a duplicate",
        "services/ingest/apply.py",
        "if head.event_id != event.event_id:",
        "if False:",
        (APPLY, CONSUMER),
        INGEST,
    ),
    Mutant(
        "redelivered-event",
        "an event that was applied is not applied again",
        "services/ingest/apply.py",
        "if head is not None and event.version == head.version:",
        "if False:",
        (APPLY, CONSUMER),
        INGEST,
    ),
    Mutant(
        "late-writers",
        "rows that a late writer touched are aligned with the head",
        "services/ingest/apply.py",
        "        if outcome is PutOutcome.SUPERSEDED:\n            await self._align_rows(head)\n",
        "        if outcome is PutOutcome.SUPERSEDED:\n",
        (INTERRUPTED,),
        INGEST,
    ),
    Mutant(
        "tenant-gone",
        "an event of a tenant that is gone is taken back",
        "services/ingest/apply.py",
        "        if not belongs_to(event, await self.tenants.get(event.key.tenant_id)):\n"
        "            await self._withdraw(event, head)\n",
        "        if False:\n            await self._withdraw(event, head)\n",
        (INTERRUPTED,),
        INGEST,
    ),
    Mutant(
        "gone-when-given-up",
        "who gives up an event of a tenant that is gone takes back what he wrote",
        "services/ingest/apply.py",
        "        if not belongs_to(event, await self.tenants.get(event.key.tenant_id)):\n"
        "            await self.withdraw(event)\n"
        "            return\n"
        "        head = await self.heads.get(event.key)\n",
        "        head = await self.heads.get(event.key)\n",
        (INTERRUPTED,),
        INGEST,
    ),
    Mutant(
        "taken-at-once",
        "who loses access does not keep it while rows are widened for others",
        "services/ingest/apply.py",
        "            if widest != new:\n                await self._take_at_once(head, new)\n",
        "",
        (APPLY,),
        INGEST,
    ),
    Mutant(
        "widened-before",
        "rows are widened before the head says so",
        "services/ingest/apply.py",
        "            await self.rows.set_access(head, widest)\n        # What",
        "        # What",
        ("tests/unit/ingest/test_apply_access.py", APPLY),
        INGEST,
    ),
    Mutant(
        "overtaken-upsert",
        "a change of access waits for the older content in the other lane",
        "services/ingest/handle.py",
        "if self.bulk and await self._is_early(event):",
        "if self.bulk and False:",
        ("tests/unit/ingest/test_lanes.py",),
        INGEST,
    ),
    Mutant(
        "replay-once",
        "a replay opens a dead letter's change once",
        "libs/corpus/adapters/rules.py",
        "if known.state is not ChangeState.DEAD_LETTERED or known.replays >= replay:",
        "if known.state is not ChangeState.DEAD_LETTERED:",
        ("tests/contract/test_change_ledger.py",),
        INGEST,
    ),
    Mutant(
        "rollback-waits",
        "nothing is rolled back while a change is pending",
        "services/ingest/versions/rollback.py",
        "if any(record.state is ChangeState.PENDING for record in records):",
        "if False:",
        ("tests/unit/ingest/test_rollback.py",),
    ),
    Mutant(
        "audit-standing-still",
        "a document that is changing is no difference",
        "services/ingest/audit/examine.py",
        "if document_id in pending or head != again.get(document_id):",
        "if False:",
        ("tests/unit/ingest/test_audit.py",),
    ),
    Mutant(
        "terminal-state",
        "the first end of a change stays",
        "libs/corpus/adapters/memory/change_ledger.py",
        "if known is not None and known.state is ChangeState.PENDING:\n"
        "            self._records[event_id] = replace(\n",
        "if known is not None:\n            self._records[event_id] = replace(\n",
        ("tests/contract/test_change_ledger.py",),
        INGEST,
    ),
    Mutant(
        "sweeper-grace",
        "what a head named a moment ago is not swept",
        "services/ingest/sweep.py",
        "if head is not None and _superseded_at(head, page) > oldest_kept:",
        "if False:",
        ("tests/unit/ingest/test_sweep.py",),
    ),
)
