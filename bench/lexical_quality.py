"""Ranking quality of the lexical leg alone: BM25 through the product's analyser and index, no services.

    python -m bench.lexical_quality DIR…

Each DIR has the BEIR layout (corpus.jsonl, queries.jsonl, qrels/test.tsv). Prints one JSON object: nDCG@10 and
recall@100 per collection, and how long a search took.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ir_measures
from ir_measures import R, nDCG

from corpus.adapters.tantivy import TantivyLexicalIndex
from corpus.analysis import analyse, analyse_query
from corpus.domain import AccessPolicy, DocumentKey, LexicalRow
from corpus.ports import Prefilter

_GENERATION = "bench"
_TENANT = "bench"
_EVERYBODY = AccessPolicy(frozenset({"all"}))
_PREFILTER = Prefilter(_TENANT, frozenset({"all"}), 0)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _judgements(path: Path) -> list[ir_measures.Qrel]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t")
        next(rows)
        return [ir_measures.Qrel(query, document, int(grade)) for query, document, grade in rows]


def _row(document: dict[str, Any]) -> LexicalRow:
    title = analyse(document.get("title", ""))
    key = DocumentKey(_TENANT, document["_id"])
    return LexicalRow(document["_id"], key, 1, _EVERYBODY, {}, title, (), analyse(document["text"]))


async def measure(folder: Path) -> dict[str, float]:
    """Figures of one collection."""
    judgements = _judgements(folder / "qrels" / "test.tsv")
    judged = {each.query_id for each in judgements}
    run: list[ir_measures.ScoredDoc] = []
    times: list[float] = []
    with tempfile.TemporaryDirectory() as root:
        async with TantivyLexicalIndex(Path(root), writable=True) as index:
            await index.write(_GENERATION, [_row(each) for each in _lines(folder / "corpus.jsonl")])
            for query in _lines(folder / "queries.jsonl"):
                if query["_id"] not in judged:
                    continue
                started = time.perf_counter()
                [hits] = await index.search(_GENERATION, [analyse_query(query["text"])], 100, _PREFILTER)
                times.append(time.perf_counter() - started)
                run += [ir_measures.ScoredDoc(query["_id"], hit.document_id, hit.score) for hit in hits]
    figures = ir_measures.calc_aggregate([nDCG @ 10, R @ 100], judgements, run)
    return {
        "ndcg@10": round(figures[nDCG @ 10], 4),
        "recall@100": round(figures[R @ 100], 4),
        "search_p50_ms": round(statistics.median(times) * 1e3, 3),
    }


async def main(folders: list[Path]) -> dict[str, Any]:
    """Figures of all collections and their average."""
    results: dict[str, Any] = {folder.name: await measure(folder) for folder in folders}
    results["average_ndcg@10"] = round(statistics.mean(each["ndcg@10"] for each in results.values()), 4)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    print(json.dumps(asyncio.run(main(parser.parse_args().folders)), indent=2))
