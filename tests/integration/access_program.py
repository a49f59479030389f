"""A random program over the platform, and the oracle that says what each of its steps may show.

Every document and version carries a word of its own; a word in anything that a caller gets without being allowed to
read the document is a leak (docs/security.md)."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.integration.doors import ASKS, LOOKS, SEARCHES
from tests.integration.platform_world import PlatformWorld

from chassis.identity import Caller, Scope
from chassis.rpc.client import call
from corpus.domain import ChangeState, DocumentKey
from headwater.retrieval.v1 import retrieval_pb2
from ingest.domain import Change, Delete, DocumentChange, Draft, SetAccess, StoredContent, Upsert, content_key

STEPS = 40
TENANTS = ("acme", "acme-2")
SUBJECTS = ("bob@x", "Bob@X", "b\N{CYRILLIC SMALL LETTER O}b@x", "ann", "caf\u00e9", "cafe\u0301")
GROUPS = ("eng", "eng-admins", "Eng", "\N{CYRILLIC SMALL LETTER IE}ng", "eng ", "eng,eng-admins", "public", "user:ann")
TOPICS = ("turbine", "reservoir", "spillway", "penstock", "transformer")
READING = frozenset({Scope.READ})


@dataclass
class Known:
    """What the oracle knows of a document."""

    version: int
    live: bool
    principals: frozenset[str]
    level: int
    expires_at: datetime | None
    word: str
    topic: str

    def readable_by(self, caller: Caller, now: datetime) -> bool:
        if not self.live or (self.expires_at is not None and self.expires_at <= now):
            return False
        if self.level > caller.clearance:
            return False
        names = [f"user:{caller.subject}", *[f"group:{group}" for group in caller.groups]]
        return "public" in self.principals or any(name in self.principals for name in names)


@dataclass
class Program:
    """One run: the platform, the oracle, and everything that was ever handed out."""

    platform: PlatformWorld
    dice: random.Random
    known: dict[tuple[str, str], Known] = field(default_factory=dict)
    words: dict[str, tuple[str, str]] = field(default_factory=dict)
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    keys: dict[tuple[str, str, int, str], str] = field(default_factory=dict)
    """(tenant, document, chunks version, chunk id) → the word in its text."""
    answers: list[tuple[str, Caller]] = field(default_factory=list)
    doors: Counter[str] = field(default_factory=Counter)
    """What was shown, by door."""
    refusals: set[bytes] = field(default_factory=set)
    """Of documents that somebody may not read or that are not there, without their names."""
    cited: int = 0

    def readable_words(self, caller: Caller) -> set[str]:
        now = self.platform.clock.now()
        return {
            each.word
            for (tenant, _), each in self.known.items()
            if tenant == caller.tenant_id and each.readable_by(caller, now)
        }

    def assert_no_leak(self, caller: Caller, shown: str | bytes, what: str) -> None:
        raw = shown if isinstance(shown, bytes) else shown.encode()
        allowed = self.readable_words(caller)
        leaked = [word for word in self.words if word not in allowed and word.encode() in raw]
        assert not leaked, f"{what} showed {leaked} to {caller}"

    # -- changes ------------------------------------------------------------------------------------------------------

    async def change(self) -> None:
        tenant = self.dice.choice(TENANTS)
        document = f"doc-{self.dice.randrange(6)}"
        known = self.known.get((tenant, document))
        kind = self.dice.choice(("upsert", "upsert", "access", "access", "delete", "stale", "time"))
        if kind == "time":
            self.platform.clock.advance(self.dice.choice((30.0, 400.0)))
        elif kind == "upsert" or known is None:
            await self.upsert(tenant, document, may_expire=True)
        elif kind == "stale":
            stale = max(known.version - self.dice.randrange(1, 3), 0)
            state = await self.send(tenant, document, stale, SetAccess(("public",), 0))
            assert state is ChangeState.SUPERSEDED
        elif kind == "delete":
            await self.send(tenant, document, known.version + 1, Delete())
            known.version, known.live = known.version + 1, False
        else:
            principals, level = self.some_principals(), self.some_level()
            await self.send(tenant, document, known.version + 1, SetAccess(tuple(principals), level))
            known.version, known.principals, known.level = known.version + 1, principals, level

    async def upsert(self, tenant: str, document: str, *, may_expire: bool = False) -> None:
        before = self.known.get((tenant, document))
        version = (before.version if before else 0) + 2
        keep = before is not None and before.live and self.dice.random() < 0.3
        word = before.word if before is not None and keep else f"zq{self.dice.getrandbits(64):016x}"
        topic = before.topic if before is not None and keep else self.dice.choice(TOPICS)
        self.words[word] = (tenant, document)
        principals, level = self.some_principals(), self.some_level()
        soon = self.platform.clock.now() + timedelta(seconds=self.dice.choice((60, 600)))
        expires_at = soon if may_expire and self.dice.random() < 0.25 else None
        fillers = " ".join(f"{self.dice.getrandbits(40):010x}" for _ in range(12))
        text = f"The maintenance code of the {topic} is {word}.\nInventory of {fillers} belongs to {word}.\n"
        if before is not None and keep:
            text = self.texts[(tenant, document)]
        self.texts[(tenant, document)] = text
        data = text.encode()
        sha256 = hashlib.sha256(data).hexdigest()
        content = StoredContent(content_key(tenant, sha256), sha256, len(data))
        await self.platform.ingest.stores.objects.put(content.object_key, data)
        draft = Draft(
            document,
            version,
            filename=f"{word}.txt",
            title=f"Sheet {word}",
            uri=f"https://sheets.example/{word}",
            principals=tuple(principals),
            security_level=level,
            expires_at=expires_at,
        )
        await self.send(tenant, document, version, Upsert(draft, content))
        self.known[(tenant, document)] = Known(version, True, principals, level, expires_at, word, topic)

    async def send(self, tenant: str, document: str, version: int, change: Change) -> ChangeState:
        key = DocumentKey(tenant, document)
        name = f"{tenant}/{document}@{version}-{self.dice.getrandbits(32)}"
        event = DocumentChange(name, key, version, self.platform.clock.now(), change)
        outcome = await self.platform.ingest.apply.apply(event)
        return outcome.state

    def some_principals(self) -> frozenset[str]:
        everyone = ["public", *[f"user:{name}" for name in SUBJECTS], *[f"group:{name}" for name in GROUPS]]
        return frozenset(self.dice.sample(everyone, self.dice.choice((0, 1, 1, 2, 3))))

    def some_level(self) -> int:
        return self.dice.choice((0, 0, 0, 1, 3))

    def some_caller(self) -> Caller:
        groups = frozenset(self.dice.sample(GROUPS, self.dice.choice((0, 1, 2))))
        if self.dice.random() < 0.05:
            groups |= {f"team-{number}" for number in range(5_000)}
        return Caller(
            self.dice.choice(TENANTS), self.dice.choice(SUBJECTS), groups, self.dice.choice((0, 0, 1, 2, 3)), READING
        )

    # -- reads --------------------------------------------------------------------------------------------------------

    async def search(self) -> None:
        caller, door = self.some_caller(), self.dice.choice(SEARCHES)
        text = self.dice.choice(("maintenance code", "inventory", *self.words))
        shown = await self.platform.doors.search(door, text, caller)
        assert shown.ok, shown.raw
        assert not shown.degraded
        found = {document for document, *_ in shown.hits}
        self.doors[f"search by {door}"] += len(found)
        self.note_keys(caller, shown.hits)
        self.assert_no_leak(caller, shown.raw, f"a search by {door}")
        assert shown.dropped == 0, "the count of what a reader may not see"
        if text == "maintenance code":
            assert found == self.readable(caller)

    def readable(self, caller: Caller) -> set[str]:
        """Ids of the caller's documents."""
        now = self.platform.clock.now()
        return {
            document
            for (tenant, document), each in self.known.items()
            if tenant == caller.tenant_id and each.readable_by(caller, now)
        }

    def note_keys(self, caller: Caller, hits: Iterable[tuple[str, int, str, str]]) -> None:
        for document, version, chunk, text in hits:
            word = next(word for word in self.words if word in text)
            self.keys[(caller.tenant_id, document, version, chunk)] = word

    async def resolve(self) -> None:
        """Every citation that was ever handed out, a foreign tenant's too, asked for by somebody."""
        caller = self.some_caller()
        asked = self.dice.sample(sorted(self.keys), min(len(self.keys), 60))
        if not asked:
            return
        request = retrieval_pb2.ResolveCitationsRequest(
            keys=[
                retrieval_pb2.CitationKey(document_id=document, chunks_version=version, chunk_id=chunk)
                for _, document, version, chunk in asked
            ]
        )
        response = await call(self.platform.stub.ResolveCitations, request, timeout_seconds=20, as_caller=caller)
        self.assert_no_leak(caller, response.SerializeToString(), "a citation")
        allowed = self.readable_words(caller)
        for (tenant, _, _, _), shown, word in zip(
            asked, response.citations, [self.keys[key] for key in asked], strict=True
        ):
            if shown.readable:
                assert tenant == caller.tenant_id
                assert word in allowed

    async def look(self) -> None:
        caller, door = self.some_caller(), self.dice.choice(LOOKS)
        doors, readable = self.platform.doors, self.readable(caller)
        listed = await doors.list(door, caller)
        assert listed.documents == readable
        self.doors[f"list by {door}"] += len(readable)
        self.assert_no_leak(caller, listed.raw, f"a list by {door}")
        for document in [f"doc-{number}" for number in range(7)]:
            shown = await doors.get(door, document, caller)
            self.assert_no_leak(caller, shown.raw, f"a document by {door}")
            if document in readable:
                assert shown.documents == {document}
                assert shown.changes == 0
            else:
                assert not shown.ok
                self.refusals.add(re.sub(rb"[0-9a-f]{32}", b"", shown.raw.replace(document.encode(), b"")))
        counts = await doors.status(door, caller)
        assert not counts.ok, "counts of what everybody wrote"
        self.assert_no_leak(caller, counts.raw, f"counts by {door}")

    async def ask(self) -> None:
        caller, door = self.some_caller(), self.dice.choice(ASKS)
        question = f"What is the maintenance code of the {self.dice.choice(TOPICS)}?"
        shown = await self.platform.doors.ask(door, question, caller)
        assert shown.ok, shown.raw
        self.assert_no_leak(caller, shown.raw, f"an answer by {door}")
        self.cited += shown.citations
        self.doors[f"ask by {door}"] += any(word.encode() in shown.raw for word in self.words)
        if shown.answer_id:
            self.answers.append((shown.answer_id, caller))

    async def replay(self) -> None:
        if not self.answers:
            return
        door = self.dice.choice(LOOKS)
        answer_id, asker = self.dice.choice(self.answers)
        # The same person, with the groups and the clearance that he has by now.
        other = self.some_caller()
        later = Caller(asker.tenant_id, asker.subject, other.groups, other.clearance, READING)
        shown = await self.platform.doors.replay(door, answer_id, later)
        assert shown.ok, shown.raw
        self.assert_no_leak(later, shown.raw, f"a replay by {door}")
        self.doors[f"replay by {door}"] += 1
        stranger = self.some_caller()
        if (stranger.tenant_id, stranger.subject) != (asker.tenant_id, asker.subject):
            refused = await self.platform.doors.replay(door, answer_id, stranger)
            assert not refused.ok
            self.assert_no_leak(stranger, refused.raw, f"a refused replay by {door}")

    async def run(self) -> None:
        for tenant in TENANTS:
            await self.platform.corpus.tenants.create(tenant, {}, at=self.platform.clock.now())
            for number in range(4):
                await self.upsert(tenant, f"doc-{number}")
        for _ in range(STEPS):
            await self.change()
            await self.platform.settle()
            for step in self.dice.sample((self.search, self.search, self.resolve, self.look, self.ask, self.replay), 3):
                await step()
