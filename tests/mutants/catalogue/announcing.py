"""Protections of readers whose heads are a replica's (docs/adr/0009)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_ANNOUNCE = "tests/unit/ingest/test_announce.py"
_REPLICA = "tests/unit/corpus/test_replica_announcements.py"
_AREA = ("tests/simulation/test_replica_histories.py",)

ANNOUNCING = (
    Mutant(
        "announced-before",
        "a live head that is replaced is announced first",
        "services/ingest/apply.py",
        '        """Writes the head, announced before if it takes the place of ``over``."""\n'
        "        await self._announce(event, head, over=over)\n",
        '        """Writes the head, announced before if it takes the place of ``over``."""\n',
        (_ANNOUNCE,),
        _AREA,
    ),
    Mutant(
        "announced-ends",
        "an event that will never be applied is called off",
        "services/ingest/handle.py",
        "            await self.apply.call_off(work.event)\n",
        "            pass\n",
        (_ANNOUNCE,),
        _AREA,
    ),
    Mutant(
        "announced-doubt",
        "what is announced is not served from memory",
        "libs/corpus/replica/heads.py",
        "        known.update(dict.fromkeys(self._announced.among(tenant_id, document_ids), UNKNOWN))\n",
        "",
        (_REPLICA,),
        _AREA,
    ),
    Mutant(
        "announced-kept",
        "an answer about what is announced is not kept",
        "libs/corpus/replica/heads.py",
        "                if self._announced.end_by(tenant_id, each, 0 if head is None else head.version):\n",
        "                if True:\n",
        (_REPLICA,),
        _AREA,
    ),
    Mutant(
        "aged-announced",
        "a tombstone is announced before it is forgotten",
        "services/ingest/expire.py",
        "        await self.feed.announce(announced)\n",
        "",
        ("tests/unit/ingest/test_expire.py",),
    ),
    Mutant(
        "rebuilt-from-heads",
        "an announcement is not taken for the end of a head by a rebuild",
        "services/ingest/rebuild_heads.py",
        "        if record.value and decode_announcement(record.value) is not None:\n            return\n",
        "",
        ("tests/unit/ingest/test_rebuild.py",),
    ),
)
