"""``python -m eval.verification [--embeddings] [--json] [--show]``: how well the stage that verifies citations tells
sentences that their source carries from those that it does not.

Every section that ``verification_cases.jsonl`` names is a source. Checked against it are its own sentences to the
letter, hand-written paraphrases, and hand-written sentences that are wrong: another number, another unit, another
date, the opposite, another name, values that changed places, things that the section does not say. Its paraphrases are
checked against the section of the next case as well, as citations of the wrong passage. Sections are split in halves
by their hash: rules were written while looking at
sentences of the development half only.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from eval.golden_set import EVAL_DIRECTORY, load_golden_set
from numpy.typing import NDArray

from chassis.identity import Caller
from corpus.analysis import analyse
from gateway.domain import Citation, Draft, Outcome, Passage, Place, Span
from gateway.generators.extractive.units import readable_text, split_units
from gateway.ports import ContextBlock
from gateway.stages.verify.check import SUPPORTED_FROM, WEAK_FROM
from gateway.stages.verify.stage import Verifier, VerifyMode
from gateway.support import SentenceSupport
from headwater.cli.output import console, print_json, table
from inference.domain import TextKind
from inference.encoder import TextEncoder, embeddings_of

CASES: Final = EVAL_DIRECTORY / "verification_cases.jsonl"
TRUE_KINDS: Final = ("verbatim", "paraphrase")
_CALLER: Final = Caller("eval", "verification", frozenset(), 0, frozenset())
_HEADING: Final = re.compile(r"^#{1,6} +(?P<md>.+)$|^(?P<rst>\S.*)\n[=-]{3,}$", re.MULTILINE)
_UNITS_SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class Section:
    """A source with its sentences by kind; kinds beside ``TRUE_KINDS`` are wrong."""

    document_id: str
    title: str
    heading: str
    text: str
    sentences: Mapping[str, tuple[str, ...]]

    @property
    def held_out(self) -> bool:
        """Half of all sections, by their hash."""
        return hashlib.sha256(f"{self.document_id}/{self.heading}".encode()).digest()[0] % 2 == 1


@dataclass(frozen=True, slots=True)
class Checked:
    """One sentence with what the stage made of it."""

    section: Section
    kind: str
    sentence: str
    support: SentenceSupport

    @property
    def true(self) -> bool:
        return self.kind in TRUE_KINDS


class LocalEmbedder:
    """The default model in this process, behind the gateway's port."""

    def __init__(self) -> None:
        self._encoder = TextEncoder.load("all-MiniLM-L6-v2", threads=1)

    async def embed(
        self, question: str, sentences: Sequence[str], caller: Caller
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._vectors([question])[0], self._vectors(sentences)

    async def embed_words(self, words: Sequence[str], caller: Caller) -> NDArray[np.float32]:
        return self._vectors(words)

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        encodings = self._encoder.tokenize(texts, TextKind.PASSAGE)
        vectors = self._encoder.embed_pass([encoding for encoding in encodings if not encoding.empty])
        return np.asarray(embeddings_of(encodings, vectors, self._encoder.info.dimensions).vectors, np.float32)


def sections() -> tuple[Section, ...]:
    """The cases with the text of their sections."""
    found = []
    titles = {document.path.stem: document.title for document in load_golden_set().documents}
    for line in CASES.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        text = section_text(_file_of(case["document_id"]).read_text(encoding="utf-8"), case["heading"])
        verbatim = [readable_text(text[unit.start : unit.end], unit.kind) for unit in split_units(text)]
        sentences = {
            "verbatim": tuple(verbatim[:_UNITS_SHOWN]),
            "paraphrase": tuple(case["supported"]),
            **{kind: tuple(wrong) for kind, wrong in case["unsupported"].items()},
        }
        found.append(Section(case["document_id"], titles[case["document_id"]], case["heading"], text, sentences))
    return tuple(found)


def section_text(document: str, heading: str) -> str:
    """What stands under a heading, up to the next. Raises KeyError for a heading that is not there."""
    matches = list(_HEADING.finditer(document))
    for match, following in zip(matches, [*matches[1:], None], strict=True):
        if (match["md"] or match["rst"]).strip() == heading:
            return document[match.end() : following.start() if following else len(document)].strip()
    raise KeyError(heading)


def _file_of(document_id: str) -> Path:
    (file,) = (EVAL_DIRECTORY / "corpus").glob(f"{document_id}.*")
    return file


async def check_all(verifier: Verifier, cases: Sequence[Section]) -> list[Checked]:
    """Every sentence through the stage, each as an answer of its own."""
    checked = []
    for position, section in enumerate(cases):
        for kind, sentences in section.sentences.items():
            checked += [Checked(section, kind, each, await _support(verifier, section, each)) for each in sentences]
        other = cases[(position + 1) % len(cases)]
        for each in section.sentences["paraphrase"]:
            checked.append(Checked(section, "other passage", each, await _support(verifier, other, each)))
    return checked


async def _support(verifier: Verifier, section: Section, sentence: str) -> SentenceSupport:
    passage = Passage(
        section.document_id, 1, "chunk", section.text, 1.0, 1.0, title=section.title,
        place=Place((section.heading,), 0, Span(0, len(section.text))),
    )  # fmt: skip
    block = ContextBlock(1, passage, section.text, passage.place, 0)
    citation = Citation(1, passage.key, passage.title, "", passage.place, section.text)
    draft = Draft(Outcome.ANSWERED, f"{sentence} [1]", 1.0, (citation,))
    support = (await verifier.verify(draft, (block,), _CALLER)).support
    # A row or an item of several sentences is as good as the weakest of them.
    return min(support, key=lambda each: each.score)


def figures(checked: Sequence[Checked]) -> dict[str, object]:
    """Shares by kind, and the two that matter: true sentences that are dropped, wrong ones that pass unnoticed."""
    kinds = dict.fromkeys(each.kind for each in checked)
    by_kind = {
        kind: Counter(each.support.verdict.value for each in checked if each.kind == kind) | Counter() for kind in kinds
    }
    true = [each.support.score for each in checked if each.kind == "paraphrase"]
    wrong = [each.support.score for each in checked if not each.true]
    return {
        "kinds": {kind: dict(counts) for kind, counts in by_kind.items()},
        "paraphrases_dropped": sum(score < WEAK_FROM for score in true) / len(true),
        "paraphrases_not_supported": sum(score < SUPPORTED_FROM for score in true) / len(true),
        "wrong_supported": sum(score >= SUPPORTED_FROM for score in wrong) / len(wrong),
        "wrong_dropped": sum(score < WEAK_FROM for score in wrong) / len(wrong),
        "area_under_curve": sum((t > w) + (t == w) / 2 for t in true for w in wrong) / (len(true) * len(wrong)),
    }


def _rows(name: str, half: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    kinds = half["kinds"]
    assert isinstance(kinds, dict)
    for kind, counts in kinds.items():
        yield name, kind, *(str(counts.get(verdict, 0)) for verdict in ("supported", "weak", "unsupported"))


def main() -> int:
    """Prints the figures of both halves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", action="store_true", help="with closeness in meaning, by the default model")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", action="store_true", help="every sentence of the development half that went wrong")
    arguments = parser.parse_args()
    verifier = Verifier(VerifyMode.FLAG, analyse, LocalEmbedder() if arguments.embeddings else None)
    cases = sections()
    started = time.process_time()
    checked = asyncio.run(check_all(verifier, cases))
    milliseconds = (time.process_time() - started) * 1000 / len(checked)
    halves = {
        "development": figures([each for each in checked if not each.section.held_out]),
        "held out": figures([each for each in checked if each.section.held_out]),
    }
    if arguments.json:
        print_json({**halves, "milliseconds_per_sentence": milliseconds})
        return 0
    shown = table("half", "kind", "supported", "weak", "unsupported", right=("supported", "weak", "unsupported"))
    for name, half in halves.items():
        for row in _rows(name, half):
            shown.add_row(*row)
    console.print(shown)
    for name, half in halves.items():
        rates = {key: round(value, 3) for key, value in half.items() if isinstance(value, float)}
        console.print(f"{name}: {rates}")
    console.print(f"{milliseconds:.2f} ms of CPU a sentence")
    if arguments.show:
        for each in checked:
            if not each.section.held_out and each.true != (each.support.score >= SUPPORTED_FROM):
                console.print(f"{each.kind:>13} {each.support.score:.2f} {each.support.reason:9} {each.sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
