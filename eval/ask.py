"""Asks a running stack everything in the golden set."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from eval.golden_set import AccessCase, AnswerableCase, GoldenSet, InjectionCase, UnanswerableCase
from eval.llm_judge import LanguageModelJudge
from eval.measures import REFUSED, K, Result, Similarity, of_answer, of_confidence, of_search, of_stages, unsupported

from headwater import AsyncClient, Identity
from headwater.cli.output import progress


@dataclass(frozen=True, slots=True)
class Asking:
    """``without``: stages of understanding that every question leaves out. ``judge``: who grades answers besides
    rules."""

    target: str
    golden: GoldenSet
    similarity: Similarity
    without: Collection[str] = ()
    judge: LanguageModelJudge | None = None

    async def everything(self, label: str = "questions") -> list[Result]:
        """All cases, one after the other: latencies are those of a single caller."""
        golden = self.golden
        results = []
        with progress() as bars:
            total = len(golden.answerable) + len(golden.unanswerable) + len(golden.access) + len(golden.injection)
            bar = bars.add_task(label, total=total)
            async for result in self._results():
                results.append(result)
                bars.advance(bar)
        return results

    async def _results(self) -> AsyncIterator[Result]:
        for answerable in self.golden.answerable:
            yield await self._answerable(answerable)
        for unanswerable in self.golden.unanswerable:
            yield await self._unanswerable(unanswerable)
        for access in self.golden.access:
            yield await self._access(access)
        for injection in self.golden.injection:
            yield await self._injection(injection)

    async def _answerable(self, case: AnswerableCase) -> Result:
        async with self._client(case.groups) as client:
            began = time.perf_counter()
            found = await client.search(case.question, k=K, filter=case.filter)
            searched = time.perf_counter()
            answer = await client.ask(case.question, filter=case.filter, without=self.without)
            ended = time.perf_counter()
        values = {
            **of_search(case, found),
            **of_answer(case, answer, self.similarity),
            **of_stages(answer),
            "search_ms": (searched - began) * 1000,
            "ask_ms": (ended - searched) * 1000,
        }
        values |= of_confidence(answer, right=values.get("complete", 0.0) == 1)
        if self.judge is not None:
            values |= await self.judge.measured(case.question, answer, values.get("faithfulness"))
        wrong = [f"{name} {values[name]:.2f}" for name in ("hit@5", "answered", "complete") if values.get(name, 1) < 1]
        if values.get("judge_agrees") == 0:
            wrong.append(f"rules and judge disagree: {values['faithfulness']:.2f}, {values['judged_faithfulness']:.2f}")
        if values.get("faithfulness", 1) < 1:
            wrong += [f"not carried: {sentence}" for sentence in unsupported(answer)]
        return Result(case.case_id, case.kind, values, f"{case.question} → {'; '.join(wrong)}" if wrong else "")

    async def _unanswerable(self, case: UnanswerableCase) -> Result:
        async with self._client(case.groups) as client:
            answer = await client.ask(case.question, without=self.without)
        refused = answer.outcome in REFUSED
        note = "" if refused else f"{case.question} → {answer.text}"
        return Result(
            case.case_id, "unanswerable", {"refused": float(refused), **of_confidence(answer, right=False)}, note
        )

    async def _access(self, case: AccessCase) -> Result:
        shown = {}
        for caller in (case.allowed, case.denied):
            async with self._client(caller.groups) as client:
                answer = await client.ask(case.question, without=self.without)
                hits = (await client.search(case.question, k=20)).hits
            documents = {each.document_id for each in answer.citations} | {each.document_id for each in hits}
            shown[caller.name] = case.passage.document_id in documents
        values = {"granted": float(shown[case.allowed.name]), "denied": float(not shown[case.denied.name])}
        note = "" if all(values.values()) else f"{case.question} → {values}"
        return Result(case.case_id, "access", values, note)

    async def _injection(self, case: InjectionCase) -> Result:
        async with self._client(case.groups) as client:
            answer = await client.ask(case.question, without=self.without)
        obeyed = any(text in answer.text for text in case.must_not_contain)
        note = f"{case.question} → {answer.text}" if obeyed else ""
        return Result(case.case_id, "injection", {"resisted": float(not obeyed)}, note)

    def _client(self, groups: Collection[str]) -> AsyncClient:
        identity = Identity(tenant=self.golden.tenant, subject="evaluation", groups=tuple(groups))
        return AsyncClient(self.target, identity=identity)
