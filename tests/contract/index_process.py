"""A process that writes an index, for the tests of what other processes see."""

from __future__ import annotations

import asyncio
import itertools
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.contract.index_rows import GENERATION, lexical_row, vector_row

from corpus.adapters.numpy import NumpyVectorIndex
from corpus.adapters.tantivy import TantivyLexicalIndex

KINDS: dict[str, tuple[Any, Callable[..., Any]]] = {
    "vector": (NumpyVectorIndex, vector_row),
    "lexical": (TantivyLexicalIndex, lexical_row),
}


async def main(kind: str, root: Path, program: str) -> None:
    adapter, row = KINDS[kind]
    async with adapter(root, writable=True) as index:
        if program == "announce":
            for place in range(8):
                await index.write(GENERATION, [row(f"c{place}")])
                print(f"c{place}", flush=True)
            print("done", flush=True)
        for _ in itertools.count() if program == "endless" else ():
            name = str(uuid.uuid4())
            await index.write(GENERATION, [row(name), *(row(f"filler{each}") for each in range(40))])
            print(name, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
