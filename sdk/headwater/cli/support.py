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
