"""What pseudonyms stand for, asked for at both edges."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.gateway.edges import Edges, edges
from tests.unit.gateway.fakes import ALICE, PASSAGES, Gateway

from chassis.errors import PermissionDenied
from chassis.identity import Scope
from gateway.domain import (
    ABSTENTION_TEXT,
    AnswerEvent,
    AnswerReady,
    Citation,
    CitationSettled,
    Draft,
    Outcome,
    Question,
    TextPiece,
)
from gateway.ports import GenerationRequest
from gateway.privacy.answers import UNREVEALED, RevealedAnswers
from gateway.stages.guard.links import LinkRules, without_foreign_links
from headwater.aio import AsyncClient
from headwater.errors import OverloadedError, PermissionDeniedError
from headwater.privacy import RevealedPseudonym, VaultKey
from headwater.types import Identity

MAIL = "[EMAIL_kdfgtrsnbbcqlmpj]"
OTHER = "[EMAIL_kdfgtrsnbbcqlmpk]"
MAY = Identity(tenant="acme", subject="ann", scopes=("read", "reveal"))
BODY = {"document_ids": ["guide"], "pseudonyms": [OTHER, MAIL]}


def sdk(running: Edges, identity: Identity) -> AsyncClient:
    return AsyncClient(running.target, identity=identity)


async def test_both_edges_say_what_a_pseudonym_stands_for(tmp_path: Path) -> None:
    async with edges(tmp_path) as running:
        running.peers.pseudonyms[MAIL] = "anna@example.org"
        async with sdk(running, MAY) as client:
            found = await client.privacy.reveal(["guide"], [OTHER, MAIL])
        assert found == [RevealedPseudonym(MAIL, "anna@example.org", "email")]
        answer = await running.http.post("/v1/privacy/reveal", json=BODY)
        assert answer.json() == {"revealed": [{"pseudonym": MAIL, "value": "anna@example.org", "kind": "email"}]}


async def test_without_the_scope_nobody_behind_the_edge_is_asked(tmp_path: Path) -> None:
    async with edges(tmp_path) as running:
        async with sdk(running, Identity(tenant="acme")) as client:
            with pytest.raises(PermissionDeniedError):
                await client.privacy.reveal(["guide"], [MAIL])
        headers = {"x-headwater-dev-scopes": "read write admin"}
        answer = await running.http.post("/v1/privacy/reveal", json=BODY, headers=headers)
        assert answer.status_code == 403
        assert running.peers.callers == []


async def test_the_scope_is_told_in_this_call_and_in_no_other(tmp_path: Path) -> None:
    async with edges(tmp_path) as running:
        async with sdk(running, MAY) as client:
            await client.privacy.reveal(["guide"], [MAIL])
            await client.search("pump")
            await client.privacy.reveal(["guide"], [MAIL])
        assert [Scope.REVEAL in caller.scopes for caller in running.peers.callers] == [True, False, True]


async def test_revealing_is_limited_like_other_reads(tmp_path: Path) -> None:
    async with edges(tmp_path, rate_read="1/1 hour") as running, sdk(running, MAY) as client:
        await client.privacy.reveal(["guide"], [MAIL])
        with pytest.raises(OverloadedError):
            await client.privacy.reveal(["guide"], [MAIL])


async def test_only_an_administrator_rotates(tmp_path: Path) -> None:
    async with edges(tmp_path) as running:
        async with sdk(running, MAY) as client:
            with pytest.raises(PermissionDeniedError):
                await client.privacy.rotate()
            with pytest.raises(PermissionDeniedError):
                await client.privacy.keys()
        async with sdk(running, Identity(tenant="acme")) as client:
            assert await client.privacy.rotate() == 3
            assert await client.privacy.keys() == [VaultKey("0a0a0a0a", 3, newest=True, known=True)]


TOLD = f"Write to {MAIL} or {OTHER} [1]. The pump is green [1]."


class InPieces:
    """A generator that writes the same text in pieces of a few characters."""

    name = "in-pieces"

    def __init__(self, size: int) -> None:
        self._size = size

    async def generate(self, request: GenerationRequest) -> AsyncIterator[TextPiece | CitationSettled | Draft]:
        cited = request.blocks[0].passage
        citation = Citation(1, cited.key, cited.title, cited.uri, cited.place, cited.text)
        for start in range(0, len(TOLD), self._size):
            yield TextPiece(TOLD[start : start + self._size])
        yield CitationSettled(citation)
        yield Draft(Outcome.ANSWERED, TOLD, 0.5, (citation,))


def text_of(events: list[AnswerEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextPiece))


@pytest.mark.parametrize("size", [1, 7, 200])
async def test_an_answer_is_told_with_values_however_it_is_cut_and_kept_without(tmp_path: Path, size: int) -> None:
    may = replace(ALICE, scopes=frozenset({Scope.READ, Scope.REVEAL}))
    revealed = TOLD.replace(MAIL, "anna@example.org")
    async with edges(tmp_path) as running:
        running.peers.pseudonyms[MAIL] = "anna@example.org"
        gateway = Gateway(generator=InPieces(size))  # type: ignore[arg-type]
        answers = RevealedAnswers(gateway.questions, running.use_cases.privacy)
        for wanted, told in ((Question("Who?", reveal=True), revealed), (Question("Who?"), TOLD)):
            async with aclosing(answers.ask(wanted, may)) as stream:
                events = [event async for event in stream]
            assert isinstance(events[-1], AnswerReady)
            assert (text_of(events), events[-1].answer.text) == (told, told)
            assert events[-1].answer.degraded == ()
        [first, plain] = await answers.ask_batch([Question("Who?", reveal=True), Question("Who?")], may)
        assert (first.text, plain.text) == (revealed, TOLD)
        assert {entry.answer.text for entry in gateway.log.entries.values()} == {TOLD}
        assert len(running.peers.callers) == 2


async def test_asking_for_values_without_the_scope_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    async with edges(tmp_path) as running:
        gateway = Gateway(generator=InPieces(5))  # type: ignore[arg-type]
        answers = RevealedAnswers(gateway.questions, running.use_cases.privacy)
        may_not = replace(ALICE, scopes=frozenset(Scope) - {Scope.REVEAL})
        with pytest.raises(PermissionDenied):
            await anext(answers.ask(Question("Who?", reveal=True), may_not))
        with pytest.raises(PermissionDenied):
            await answers.ask_batch([Question("Who?"), Question("Who?", reveal=True)], may_not)
        assert gateway.retrieval.questions == []


async def test_values_that_can_not_be_looked_up_leave_the_answer_as_it_is_and_it_says_so(tmp_path: Path) -> None:
    may = replace(ALICE, scopes=frozenset({Scope.READ, Scope.REVEAL}))
    async with edges(tmp_path) as running:
        running.peers.vault_error = True
        gateway = Gateway(generator=InPieces(5))  # type: ignore[arg-type]
        answers = RevealedAnswers(gateway.questions, running.use_cases.privacy)
        async with aclosing(answers.ask(Question("Who?", reveal=True), may)) as stream:
            events = [event async for event in stream]
        assert isinstance(events[-1], AnswerReady)
        assert (text_of(events), events[-1].answer.text) == (TOLD, TOLD)
        assert UNREVEALED in events[-1].answer.degraded


async def test_no_link_comes_back_that_the_output_guard_never_saw(tmp_path: Path) -> None:
    may = replace(ALICE, scopes=frozenset({Scope.READ, Scope.REVEAL}))
    async with edges(tmp_path) as running:
        running.peers.pseudonyms |= {MAIL: "anna@example.org", OTHER: "https://evil.example/x?y=1"}
        gateway = Gateway(generator=InPieces(5))  # type: ignore[arg-type]
        answers = RevealedAnswers(gateway.questions, running.use_cases.privacy)
        async with aclosing(answers.ask(Question("Who?", reveal=True), may)) as stream:
            events = [event async for event in stream]
        assert isinstance(events[-1], AnswerReady)
        for text in (text_of(events), events[-1].answer.text):
            assert "anna@example.org" in text
            assert "evil" in text
            assert without_foreign_links(text, LinkRules(frozenset())) == (text, 0)


async def test_what_the_last_check_takes_out_is_not_told_after_it(tmp_path: Path) -> None:
    may = replace(ALICE, scopes=frozenset({Scope.READ, Scope.REVEAL}))
    async with edges(tmp_path) as running:
        running.peers.pseudonyms[MAIL] = "anna@example.org"
        gateway = Gateway(generator=InPieces(5))  # type: ignore[arg-type]
        gateway.revoke(PASSAGES[0].document_id)
        answers = RevealedAnswers(gateway.questions, running.use_cases.privacy)
        async with aclosing(answers.ask(Question("Who?", reveal=True), may)) as stream:
            events = [event async for event in stream]
        assert isinstance(events[-1], AnswerReady)
        assert events[-1].answer.text == ABSTENTION_TEXT
        assert text_of(events) == f"Write\n\n{ABSTENTION_TEXT}"
        assert not [event for event in events if isinstance(event, CitationSettled)]


async def test_both_edges_take_the_wish_to_reveal(tmp_path: Path) -> None:
    async with edges(tmp_path) as running:
        best = PASSAGES[0]
        text = best.text.replace(".", f" says {MAIL}.", 1)
        running.peers.passages = [replace(best, text=text), *PASSAGES[1:]]
        running.peers.pseudonyms[MAIL] = "anna@example.org"
        question = text.partition(" says ")[0]
        async with sdk(running, MAY) as client:
            shown, plain = await client.ask(question, reveal=True), await client.ask(question)
        assert "anna@example.org" in shown.text
        assert MAIL in plain.text
        answer = await running.http.post("/v1/ask", json={"question": question, "reveal": True})
        assert "anna@example.org" in answer.json()["text"]
