"""Support of an answer's sentences, for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from headwater.support import SupportVerdict
from headwater.types import Answer

_SHOWN_CHARACTERS = 80


def support_lines(answer: Answer) -> Iterator[Text]:
    """One line that counts, and one for every sentence that is not fully carried by what it cites."""
    if not answer.support:
        return
    doubtful = [each for each in answer.support if each.verdict is not SupportVerdict.SUPPORTED]
    supported = len(answer.support) - len(doubtful)
    yield Text(f"  support: {supported} of {len(answer.support)} sentences", style="yellow" if doubtful else "dim")
    for each in doubtful:
        sentence = " ".join(answer.text[each.start : each.end].split())
        if len(sentence) > _SHOWN_CHARACTERS:
            sentence = sentence[: _SHOWN_CHARACTERS - 1] + "…"
        why = f", {each.reason.replace('_', ' ')}" if each.reason else ""
        yield Text(f"    {each.verdict} {each.score:.2f}{why}: {sentence}", style="yellow")


def conflict_lines(answer: Answer) -> Iterator[Text]:
    """For each two sources that disagree, both with their dates and what they say."""
    cited = {citation.number: citation for citation in answer.citations}
    for conflict in answer.conflicts:
        yield Text(f"  sources disagree ({conflict.kind}):", style="yellow")
        for number in (conflict.citation, conflict.other_citation):
            if (source := cited.get(number)) is None:
                continue
            dated = f"{source.updated_at:%Y-%m-%d}" if source.updated_at else "undated"
            quote = " ".join(source.quote.split())
            yield Text(f"    [{number}] {source.title}, {dated}: {quote}", style="yellow")
