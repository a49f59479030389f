"""Sentences of answers against what they cite: one by one, and through the use cases."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.unit.gateway.fakes import ALICE, BagOfWordsEmbedder, FakeRetrieval, MemoryAnswerLog, passage

from chassis.clock import ManualClock
from corpus.analysis import analyse
from gateway.adapters.messages import answer_message
from gateway.adapters.tokens import EstimatingTokenCounter
from gateway.domain import (
    ABSTENTION_TEXT,
    Answer,
    AnswerReady,
    Citation,
    CitationSettled,
    Draft,
    Outcome,
    Question,
    Replay,
    StageFinished,
    TextPiece,
)
from gateway.generators.extractive.generator import ExtractiveGenerator
from gateway.generators.extractive.units import readable_text, split_units
from gateway.http.models import AnswerBody
from gateway.ports import GenerationRequest, Generator
from gateway.rates import RateLimits, Spending
from gateway.replay import ReplayAnswers
from gateway.service import AnswerPolicy, AnswerQuestions
from gateway.stages.context import ContextLimits
from gateway.stages.verify.check import Finding, check
from gateway.stages.verify.claims import claims_of
from gateway.stages.verify.source import Source
from gateway.stages.verify.stage import DROPPED, FLAGGED, WITHOUT_VECTORS, Verifier, VerifyMode
from gateway.stages.verify.values import values_of
from gateway.support import AbstentionReason, SentenceSupport, SupportReason, Verdict, realigned
from headwater.cli.support import support_lines
from headwater.messages import answer as sdk_answer
from headwater.support import SupportVerdict

CORPUS = Path(__file__).resolve().parents[3] / "eval" / "corpus"
TEXT = (
    "A gateway with firmware 3.1 accepts at most 120 sensors. Firmware 2.3 accepted 64. The light is amber while it "
    "connects. Anna approves expenses over 500 euros. Readings are kept for 90 days. The Rill Q2 is not suited to salt "
    "water. It draws 2.4 W on average and 6 W at most. Copies for Frankfurt are kept in Stockholm."
)
OTHER = "Clean the probe every ten days in summer. Use household vinegar against lime."
GOOD = "A gateway that runs firmware 3.1 accepts up to 120 sensors."
WRONG = "Readings are kept for 45 days."


def finding(sentence: str, text: str = TEXT, context: str = "Gateway limits") -> Finding:
    return check(sentence, [Source(text, context, analyse)], analyse, None)


@pytest.mark.parametrize(
    "sentence",
    [
        "Readings are kept for 90 days.",
        "The **light** is amber while it connects.",
        "While it connects, the light is amber.",
        GOOD,
        "Firmware 3.1 accepts 120 sensors, whereas firmware 2.3 accepted 64.",
        "Expenses over 500 euros are approved by Anna.",
        "It draws 2.4 W on average.",
        "The Rill Q2 isn't suited to salt water.",
    ],
)
def test_what_the_source_says_is_supported_however_it_is_put(sentence: str) -> None:
    assert finding(sentence).verdict is Verdict.SUPPORTED


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("Readings are kept for 60 days.", SupportReason.VALUE),
        ("Readings are kept for 90 hours.", SupportReason.VALUE),
        ("Readings are kept for ninety weeks.", SupportReason.VALUE),
        ("Firmware 3.1 accepts 64 sensors.", SupportReason.VALUE),
        ("Firmware 2.3 accepts 120 sensors, whereas firmware 3.1 accepted 64.", SupportReason.VALUE),
        ("It draws 6 W on average.", SupportReason.VALUE),
        ("Readings are not kept for 90 days.", SupportReason.NEGATION),
        ("The Rill Q2 is suited to salt water.", SupportReason.NEGATION),
        ("The light is green while it connects.", SupportReason.NEGATION),
        ("The Rill F4 is not suited to salt water.", SupportReason.VALUE),
        ("Bob approves expenses over 500 euros.", SupportReason.NAME),
        ("Copies for Frankfurt are kept in Oslo.", SupportReason.NAME),
        ('The manual says "readings are kept for ever and a day".', SupportReason.QUOTATION),
        ("The pump has to be primed with oil.", SupportReason.WORDS),
    ],
)
def test_what_the_source_does_not_say_is_unsupported_with_its_reason(sentence: str, reason: SupportReason) -> None:
    found = finding(sentence)

    assert (found.verdict, found.reason) == (Verdict.UNSUPPORTED, reason)


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*.md")) + sorted(CORPUS.glob("*.rst")), ids=lambda file: file.name)
def test_whatever_the_extractive_generator_may_show_of_a_document_is_supported_by_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    source = Source(text, "", analyse)
    shown = [readable_text(text[unit.start : unit.end], unit.kind) for unit in split_units(text)]

    scores = {
        claim.plain: check(claim.plain, [source], analyse, None).score for each in shown for claim in claims_of(each)
    }

    assert {plain for plain, score in scores.items() if score < 1.0} == set()


def test_a_part_of_a_sentence_that_turns_it_round_is_no_quote_of_it() -> None:
    assert finding("The probe is waterproof.", "Nobody claims that the probe is waterproof.").verdict is not (
        Verdict.SUPPORTED
    )


def test_a_quote_of_a_longer_number_is_no_quote() -> None:
    assert finding("The limit is 12.", "The limit is 120.").verdict is Verdict.UNSUPPORTED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("60 seconds", "1 minute"),
        ("half an hour", "30 minutes"),
        ("1,200 readings", "1200 readings"),
        ("14 February 2026", "2026-02-14"),
        ("February 14, 2026", "14 Feb. 2026"),
        ("two weeks", "14 days"),
        ("2:30 pm", "14:30"),
        ("15 percent", "15 %"),
        ("firmware v3.1", "firmware 3.1"),
    ],
)
def test_values_are_equal_however_they_are_written(one: str, other: str) -> None:
    assert [value.key for value in values_of(one)] == [value.key for value in values_of(other)]


@pytest.mark.parametrize(("one", "other"), [("2 MB", "2 GB"), ("3.1", "3.10"), ("E205", "E307"), ("a week", "a day")])
def test_different_values_differ(one: str, other: str) -> None:
    assert {value.key for value in values_of(one)}.isdisjoint(value.key for value in values_of(other))


@pytest.mark.parametrize("text", ["1" * 20_000, "a1-" * 10_000, "[1]" * 10_000, "v1.1." * 10_000, "not " * 10_000])
def test_odd_text_is_read_in_no_time(text: str) -> None:
    assert len(claims_of(text)) >= 0
    assert len(values_of(text)) >= 0


def test_a_sentence_stands_on_its_own_marks_or_on_the_next_of_its_paragraph() -> None:
    claims = claims_of("Yes. It is amber. It blinks, e.g. now [1]. Done [2][3]\n\nSteps:\n\n- Press it [4]\n\nThe end.")

    assert [claim.plain for claim in claims] == [
        "Yes.", "It is amber.", "It blinks, e.g. now.", "Done", "Steps:", "- Press it", "The end.",
    ]  # fmt: skip
    assert [claim.citations for claim in claims] == [(1,), (1,), (1,), (2, 3), (4,), (4,), ()]


def test_support_follows_its_sentences_when_others_are_cut_out() -> None:
    before = "One is red [1]. Two is blue [2]. Three is green [3]."
    support = [SentenceSupport(claim.start, claim.end, (1,), Verdict.SUPPORTED, 1.0) for claim in claims_of(before)]

    kept = realigned(support, before, "One is red [1]. Three is green [3].")

    assert [(each.start, each.end) for each in kept] == [(0, 15), (16, 35)]


class CitingGenerator:
    """Writes a text whose marks name the blocks as they are numbered."""

    name = "citing"

    def __init__(self, text: str, *, streams: bool = False) -> None:
        self._text = text
        self._streams = streams

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TextPiece | CitationSettled | Draft, None]:
        citations = tuple(
            Citation(block.number, block.passage.key, block.passage.title, "", block.place, block.text)
            for block in request.blocks
        )
        if self._streams:
            yield TextPiece(self._text)
        yield Draft(Outcome.ANSWERED, self._text, 0.9, citations)


class World:
    """The use cases with a generator that writes what a test wants, over two passages."""

    def __init__(
        self, generator: Generator | str, mode: VerifyMode = VerifyMode.DROP, embedder: BagOfWordsEmbedder | None = None
    ) -> None:
        self.retrieval = FakeRetrieval((passage("gateway", TEXT), passage("probe", OTHER, score=0.7)))
        self.log = MemoryAnswerLog()
        rates = RateLimits(dict.fromkeys(Spending, "1000/second"))
        self.events: list[object] = []
        self.questions = AnswerQuestions(
            self.retrieval,
            CitingGenerator(generator) if isinstance(generator, str) else generator,
            self.log,
            EstimatingTokenCounter(),
            ManualClock(),
            AnswerPolicy(ContextLimits(3000, 8, sections=False)),
            rates,
            verifier=Verifier(mode, analyse, embedder),
        )
        self.answers = ReplayAnswers(self.log, self.retrieval, rates)

    async def ask(self, question: str = "How many sensors does firmware 3.1 accept?") -> Answer:
        async with aclosing(self.questions.ask(Question(question), ALICE)) as events:
            async for event in events:
                self.events.append(event)
                if isinstance(event, AnswerReady):
                    return event.answer
        raise AssertionError("no last event")

    async def replay(self, answer: Answer) -> Replay:
        return await self.answers.replay(answer.answer_id, ALICE)


def verdicts(answer: Answer) -> Sequence[Verdict]:
    return [each.verdict for each in answer.support]


async def test_an_unsupported_sentence_is_dropped_with_the_citation_that_only_it_named() -> None:
    answer = await World(f"{GOOD} [1] Clean the probe every 30 days. [2]").ask()

    assert (answer.outcome, answer.text) == (Outcome.ANSWERED, f"{GOOD} [1]")
    assert [citation.number for citation in answer.citations] == [1]
    assert verdicts(answer) == [Verdict.SUPPORTED]
    assert DROPPED in answer.degraded


async def test_when_nothing_is_left_the_answer_is_an_abstention_that_says_why() -> None:
    world = World(f"{WRONG} [1]")

    answer = await world.ask()

    assert (answer.outcome, answer.text, answer.citations) == (Outcome.ABSTAINED, ABSTENTION_TEXT, ())
    assert (answer.confidence, answer.support, answer.abstention) == (0.0, (), AbstentionReason.UNSUPPORTED)
    told = "".join(event.text for event in world.events if isinstance(event, TextPiece))
    assert told == ABSTENTION_TEXT


async def test_a_yes_goes_with_the_sentence_that_it_leans_on() -> None:
    wrong = await World(f"Yes. {WRONG} [1]").ask()
    right = await World(f"Yes. {GOOD} [1]").ask()

    assert wrong.abstention is AbstentionReason.UNSUPPORTED
    assert right.text == f"Yes. {GOOD} [1]"
    assert verdicts(right) == [Verdict.SUPPORTED, Verdict.SUPPORTED]


async def test_a_flagged_sentence_stays_and_is_marked() -> None:
    answer = await World(f"{GOOD} [1] {WRONG} [1]", VerifyMode.FLAG).ask()

    assert answer.text == f"{GOOD} [1] {WRONG} [1]"
    assert verdicts(answer) == [Verdict.SUPPORTED, Verdict.UNSUPPORTED]
    assert [answer.text[each.start : each.end] for each in answer.support] == [f"{GOOD} [1]", f"{WRONG} [1]"]
    assert FLAGGED in answer.degraded


async def test_switched_off_nothing_is_checked() -> None:
    world = World(f"{WRONG} [1]", VerifyMode.OFF)

    answer = await world.ask()

    assert (answer.text, answer.support) == (f"{WRONG} [1]", ())
    assert not [e for e in world.events if isinstance(e, StageFinished) and e.timing.stage == "verify"]


async def test_a_quote_from_another_passage_than_the_cited_one_is_unsupported() -> None:
    answer = await World("Readings are kept for 90 days. [2]", VerifyMode.FLAG).ask()

    assert verdicts(answer) == [Verdict.UNSUPPORTED]


async def test_a_sentence_that_cites_nothing_is_never_more_than_weak() -> None:
    answer = await World("Readings are kept for 90 days.\n\nThe pump has to be primed.", VerifyMode.FLAG).ask()

    assert verdicts(answer) == [Verdict.WEAK, Verdict.UNSUPPORTED]
    assert answer.support[0].reason is SupportReason.UNCITED


async def test_a_mark_that_names_no_citation_carries_nothing() -> None:
    answer = await World("Readings are kept for 90 days. [9]", VerifyMode.FLAG).ask()

    assert (verdicts(answer), answer.support[0].reason) == ([Verdict.UNSUPPORTED], SupportReason.UNKNOWN_CITATION)


def test_an_index_in_a_line_of_code_does_not_take_the_place_of_a_mark() -> None:
    (claim,) = claims_of("value = readings[0] [2]")
    first, second = claims_of("first = readings[1]\nlast = readings[0] [2]")

    assert set(claim.citations) == {0, 2}
    assert set(first.citations) == {1, 2}
    assert 2 in second.citations


class MisquotingGenerator(CitingGenerator):
    """Claims that the source says what it does not."""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TextPiece | CitationSettled | Draft, None]:
        block = request.blocks[0]
        citation = Citation(1, block.passage.key, "", "", block.place, WRONG)
        yield Draft(Outcome.ANSWERED, f"{WRONG} [1]", 0.9, (citation,))


async def test_a_quote_that_does_not_stand_in_its_passage_carries_nothing() -> None:
    answer = await World(MisquotingGenerator("")).ask()

    assert answer.abstention is AbstentionReason.UNSUPPORTED


async def test_answers_of_the_extractive_generator_are_supported_without_asking_the_embedder() -> None:
    embedder = BagOfWordsEmbedder()
    checking = BagOfWordsEmbedder()
    checking.down = True

    answer = await World(ExtractiveGenerator(embedder, analyse, EstimatingTokenCounter()), embedder=checking).ask()

    assert answer.outcome is Outcome.ANSWERED
    assert {(each.verdict, each.score) for each in answer.support} == {(Verdict.SUPPORTED, 1.0)}
    assert WITHOUT_VECTORS not in answer.degraded


async def test_without_the_embedder_words_decide_and_the_answer_says_so() -> None:
    embedder = BagOfWordsEmbedder()
    with_vectors = await World(f"{GOOD} [1]", embedder=embedder).ask()
    embedder.down = True
    without = await World(f"{GOOD} [1]", embedder=embedder).ask()

    assert verdicts(with_vectors) == verdicts(without) == [Verdict.SUPPORTED]
    assert WITHOUT_VECTORS not in with_vectors.degraded
    assert WITHOUT_VECTORS in without.degraded


async def test_a_replay_keeps_the_support_of_what_may_still_be_read_and_no_other() -> None:
    world = World(f"Clean the probe every ten days in summer. [2] {GOOD} [1]")
    answer = await world.ask()
    assert len(answer.support) == 2

    whole = await world.replay(answer)
    world.retrieval.unreadable.add("probe")
    cut = await world.replay(answer)

    assert whole.answer.support == answer.support
    assert [cut.answer.text[each.start : each.end] for each in cut.answer.support] == [f"{GOOD} [1]"]


async def test_what_became_unreadable_since_retrieval_takes_its_support_with_it() -> None:
    world = World(f"{GOOD} [1]")
    world.retrieval.unreadable.add("gateway")

    answer = await world.ask()

    assert (answer.outcome, answer.support) == (Outcome.ABSTAINED, ())
    assert answer.abstention is AbstentionReason.UNREADABLE


async def test_support_reaches_the_edges_and_the_log() -> None:
    world = World(f"{GOOD} [1] {WRONG} [1]", VerifyMode.FLAG)
    answer = await world.ask()

    message = answer_message(answer)
    body = AnswerBody.of(message)
    shown = sdk_answer(message)

    assert world.log.entries[answer.answer_id].answer.support == answer.support
    assert [each.verdict for each in body.support] == ["supported", "unsupported"]
    assert [each.verdict for each in shown.support] == [SupportVerdict.SUPPORTED, SupportVerdict.UNSUPPORTED]
    assert (shown.support[1].reason, shown.support[1].citations) == ("value", (1,))
    assert shown.text[shown.support[1].start : shown.support[1].end] == f"{WRONG} [1]"


async def test_the_command_line_counts_sentences_and_names_those_in_doubt() -> None:
    answer = await World(f"{GOOD} [1] {WRONG} [1]", VerifyMode.FLAG).ask()

    lines = [line.plain for line in support_lines(sdk_answer(answer_message(answer)))]

    assert lines == ["  support: 1 of 2 sentences", f"    unsupported 0.10, value: {WRONG} [1]"]


async def test_in_a_batch_every_answer_is_verified() -> None:
    answers = await World(f"{WRONG} [1]").questions.ask_batch([Question("How long?"), Question("How many?")], ALICE)

    assert [answer.abstention for answer in answers] == [AbstentionReason.UNSUPPORTED] * 2
