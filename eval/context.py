"""``python -m eval.context``: what of the golden set's answers a language model gets to read, by budget of tokens.

Share of the quotes that answer, over those that were found at all, which stand in the prompt's blocks: with the text
cut at the budget, with whole passages and then sections by rank, with pruning, and with pruning and repeats left out. A
quote counts only in a block of its own document. Passages are retrieved as a question retrieves them, with their
sections, over a stack of its own or ``--target``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from eval.golden_set import GoldenSet, load_golden_set, normalise
from eval.run import running_stack
from eval.sample import ingest_corpus

from corpus.analysis import analyse
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.domain import Passage, Place, SectionText, Span
from gateway.ports import ContextBlock
from gateway.stages.context import ContextLimits, select_context
from headwater import AsyncClient, Hit, Identity
from headwater.cli.output import console, print_json, table

BUDGETS: Final = (500, 1000, 2000)
COUNTER: Final = EstimatingTokenCounter()


@dataclass(frozen=True, slots=True)
class Case:
    """A question, what was found for it, and the quotes that answer it, each with its document."""

    case_id: str
    question: str
    passages: tuple[Passage, ...]
    quotes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What one way of choosing told of one case: text by document, and its tokens."""

    texts: Sequence[tuple[str, str]]
    tokens: int


def cut(case: Case, budget: int) -> Told:
    """Sections one after the other, each once, cut where the budget ends."""
    limits = ContextLimits(10**9, 12, sections=True)
    told, left = [], budget
    for block in select_context(case.passages, limits, COUNTER):
        if left <= 0:
            break
        text = block.text if block.tokens <= left else _cut(block.text, left)
        left -= COUNTER.count(text)
        told.append((block.passage.document_id, text))
    return Told(told, budget - left)


def _cut(text: str, tokens: int) -> str:
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if COUNTER.count(text[:middle]) <= tokens else (low, middle - 1)
    return text[:low]


def chosen(case: Case, budget: int, **options: Any) -> Told:
    """What the gateway chooses with these limits."""
    limits = ContextLimits(budget, 12, sections=True, **options)
    return _told(select_context(case.passages, limits, COUNTER, case.question))


def _told(blocks: Sequence[ContextBlock]) -> Told:
    return Told([(block.passage.document_id, block.readable) for block in blocks], sum(b.tokens for b in blocks))


WAYS: Final[dict[str, Callable[[Case, int], Told]]] = {
    "cut at the budget": cut,
    "passages, then sections": chosen,
    "pruned": lambda case, budget: chosen(case, budget, prunes_with=analyse),
    "pruned, no repeats": lambda case, budget: chosen(case, budget, prunes_with=analyse, repeats=False),
}


async def cases_of(target: str, golden: GoldenSet) -> list[Case]:
    """The answerable cases with what is retrieved for them."""
    cases = []
    for case in golden.answerable:
        identity = Identity(golden.tenant, "evaluation", groups=tuple(case.groups))
        async with AsyncClient(target, identity=identity) as client:
            found = await client.search(case.question, k=12, max_per_document=5, filter=case.filter, expand=True)
        quotes = tuple((each.document_id, normalise(each.quote)) for each in case.expected)
        cases.append(Case(case.case_id, case.question, tuple(map(_passage, found.hits)), quotes))
    return cases


def _passage(hit: Hit) -> Passage:
    here = hit.location
    place = Place(here.heading_path, here.page, Span(here.start, here.end))
    section, begins = None, (hit.section_text or "").find(hit.text)
    if hit.section_text and begins >= 0:
        start = here.start - begins
        around = Place(here.heading_path, here.page, Span(start, start + len(hit.section_text)))
        section = SectionText(around, hit.section_text)
    # The public API does not tell the version of the chunks; nothing changes between these searches.
    return Passage(
        hit.document_id, 1, hit.chunk_id, hit.text, hit.score, hit.similarity, hit.title, place=place, section=section
    )


def figures(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Rows of budget and way: quotes kept, of how many that were found, and tokens."""
    rows = []
    for budget in BUDGETS:
        for name, way in WAYS.items():
            kept, found, tokens, over, seconds, lost = 0, 0, 0, 0, 0.0, []
            for case in cases:
                began = time.perf_counter()
                told = way(case, budget)
                seconds += time.perf_counter() - began
                tokens, over = tokens + told.tokens, over + (told.tokens > budget)
                for quote in case.quotes:
                    if _stands(quote, Told([(p.document_id, _widest(p)) for p in case.passages], 0)):
                        found += 1
                        stands = _stands(quote, told)
                        kept += stands
                        lost += [] if stands else [case.case_id]
            rows.append(
                {
                    "budget": budget,
                    "way": name,
                    "kept": kept,
                    "found": found,
                    "share": round(kept / max(1, found), 3),
                    "tokens": round(tokens / max(1, len(cases))),
                    "over": over,
                    "ms": round(seconds * 1000 / max(1, len(cases)), 1),
                    "lost": sorted(set(lost)),
                }
            )
    return rows


def _widest(passage: Passage) -> str:
    return passage.section.text if passage.section is not None else passage.text


def _stands(quote: tuple[str, str], told: Told) -> bool:
    return any(document == quote[0] and quote[1] in normalise(text) for document, text in told.texts)


async def _measure(target: str, golden: GoldenSet) -> list[dict[str, Any]]:
    async with AsyncClient(target, identity=Identity(golden.tenant, "evaluation")) as client:
        report = await ingest_corpus(client, golden)
        if report.failed:
            raise SystemExit(f"documents were refused: {report.failed}")
    return figures(await cases_of(target, golden))


def main() -> int:
    """Prints the table; exit code 1 where what is shipped keeps less than cutting, or a budget is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", help="gateway of a running stack; default: a stack of its own")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    arguments = parser.parse_args()
    with running_stack(arguments.target) as target:
        rows = asyncio.run(_measure(target, load_golden_set()))
    if arguments.json:
        print_json(rows)
    else:
        shown = table("budget", "way", "kept", "of", "share", "tokens", "over", "ms", right=("kept", "of", "share"))
        for row in rows:
            shown.add_row(*(str(row[n]) for n in ("budget", "way", "kept", "found", "share", "tokens", "over", "ms")))
        console.print(shown)
    by = {(row["budget"], row["way"]): row for row in rows}
    good = not any(row["over"] for row in rows) and all(
        by[budget, "passages, then sections"]["kept"] >= by[budget, "cut at the budget"]["kept"] for budget in BUDGETS
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
