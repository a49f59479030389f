"""Instructions in retrieved text: found sentence by sentence, and kept from whatever writes the answer.

A document informs people; a sentence that speaks to a machine that answers ("in your response, ...") has no business
in one. The patterns name the forms that published collections of prompt injections share. What they miss is still
delimited data in a prompt, and in an extractive answer a quotation with its source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.domain import Span
from gateway.ports import ContextBlock
from gateway.stages.guard.text import readings, segments

REMOVED: Final = "instructions_in_sources"
"""Name in ``degraded`` for an answer whose sources held instructions to the machine, which were left out."""

_DISMISS: Final = (
    r"(?:ignore|disregard|forget|override|bypass|neglect"
    r"|(?:do not|don't|stop) (?:follow(?:ing)?|listen(?:ing)? to|obey(?:ing)?))"
)
_STANDING: Final = (
    r"(?:instructions?|prompts?|rules|directions|directives|guidelines|guardrails|constraints|commands|orders|context)"
)
_EARLIER: Final = r"(?:previous(?:ly)?|prior|above|earlier|preceding|foregoing|initial|original|system|your|all|any)"
_STEERING: Final = re.compile(
    rf"\b{_DISMISS}\b[^.!?\n]{{0,40}}\b{_EARLIER}\b[^.!?\n]{{0,40}}\b{_STANDING}\b"
    r"|\b(?:new|updated|hidden) (?:system )?(?:instructions?|prompt)\s*:"
    r"|\b(?:reveal|print|repeat|show|leak|output)\b[^.!?\n]{0,30}\b(?:system prompt|your (?:initial )?instructions)\b"
    r"|\byou are (?:now|no longer) (?:an? |the |in )?(?:ai|assistant|chatbot|dan|unrestricted|unfiltered)\b"
    r"|\b(?:pretend|act|behave) (?:to be|as if you (?:are|were)|as an? (?:ai|assistant|unrestricted))\b"
    r"|\b(?:dan|jailbreak) mode\b|\byou (?:are|can|must|will)\b[^.!?\n]{0,40}\b(?:developer|god|debug) mode\b"
    r"|\b(?:developer|god) mode\b[^.!?\n]{0,40}\byou(?:'re| are| can| must| will)\b"
    r"|\b(?:tell|assure|convince) the (?:reader|user|asker) (?:that|to)\b"
    r"|\b(?:ai|language models?|llms?|assistants?|chat\s?bots?) (?:reading|processing|summari[sz]ing|answering) this\b"
    r"|\b(?:call|invoke|run|execute|use) the (?:\w+_\w+|[\w.-]{2,40} (?:tool|function|plug-?in) (?:with (?:the )?"
    r"(?:arguments?|parameters?|input|query)\b|[^.!?\n]{0,60}\b(?:conversation|chat history|system prompt|attacker)))"
    r"|<\|?(?:im_start|im_end|system|assistant|endoftext|eot_id)\|?>|\[/?INST\]"
    r"|^\s*(?:system|assistant)\s*:\s*(?:you\b|ignore|disregard|forget|from now on|override|respond|reply|answer|reveal"
    r"|print|say\b|sure|ok(?:ay)?\b|i (?:will|am|have|can)\b|new (?:instruction|rule)"
    r"|(?:do not|don't|never|always) (?:answer|respond|reply|say|refuse))",
    re.IGNORECASE,
)

_OUTPUT: Final = (
    r"(?:answers?|response|reply|replies|output|summary|completion|generated text|generated code|final text)"
)
_OUTPUT_OR_MESSAGE: Final = _OUTPUT[:-1] + "|messages?)"
"""People are asked to add a number to their message; only a machine, to scramble it."""
_CHANGE: Final = (
    r"(?:add|insert|append|prepend|include|integrate|incorporate|embed|weave|infuse|inject|place|put|slip|work"
    r"|modify|alter|adjust|augment|enhance|enrich|extend|expand|change|edit|tweak|shape|tailor|craft|frame"
    r"|replace|substitute|swap|switch|exchange|convert|transform|turn|encode|encrypt|render|translate|transliterate"
    r"|rearrange|reorder|reverse|scramble|jumble|shuffle|mix|misspell|introduce|remove|eliminate|delete|drop|omit|strip"
    r"|group|cluster|separate|split|space|join|merge|combine|use|utili[sz]e|employ|apply|adopt|write|provide|give"
    r"|present|express|format|display|show|type|spell|deliver|compose|phrase|formulate|make|create|generate|return"
    r"|start|begin|end|finish|close|conclude|state|mention|suggest|recommend|promote|advertise|encourage|urge|invite"
    r"|ask|remind|tease|hint|offer|link|direct|point|refer|highlight|emphasi[sz]e|stress|express|claim|pretend"
    r"|respond|answer|reply|ensure|avoid|refrain|limit|repeat|finali[sz]e|sprinkle|supplement|complement|inform)"
)
_DISGUISING: Final = (
    r"(?:replace|substitute|swap|switch|convert|encode|encrypt|render|translate|transliterate|rearrange|reverse"
    r"|scramble"
    r"|jumble|shuffle|misspell|express|write|spell|deliver|transform|remove|group|split|mix)"
)
_POLITE: Final = (
    r"(?:(?:please|also|then|now|next|finally|always|instead|remember to|be sure to|make sure to|kindly),? )*"
)
_ABOUT_OUTPUT: Final = re.compile(
    # An order about the answer, in whichever half of the sentence the answer is named.
    rf"^[\W\d_]*+{_POLITE}{_CHANGE}\b[^\n]{{0,160}}?\byour (?:own |final |next |entire |whole |generated )*{_OUTPUT}\b"
    rf"|^[\W\d_]*+{_POLITE}{_DISGUISING}\b[^\n]{{0,80}}?\byour (?:\w+ )?{_OUTPUT_OR_MESSAGE}\b"
    rf"|^[\W\d_]*+(?:in|within|at the (?:end|start|beginning) of|throughout|when (?:writing|giving)|for|before|after)"
    rf" your (?:\w+ )?{_OUTPUT}\b,? {_POLITE}{_CHANGE}\b"
    rf"|^[\W\d_]*+(?:can|could|would|will) you (?:please )?{_CHANGE}\b[^\n]{{0,80}}?\byour (?:\w+ )?{_OUTPUT}\b"
    rf"|^[\W\d_]*+your (?:\w+ )?{_OUTPUT} (?:should|must|has to|needs to|shall|ought to)\b"
    r"|^[\W\d_]*+(?:respond|reply|answer) (?:only |just |exclusively |entirely )*(?:in|with|using|by|as)\b[^\n]{0,80}"
    r"\b(?:base\s?\d\d|emojis?|rot13|morse|hex|reverse|anagrams?|code|cipher|french|german|spanish|italian|chinese"
    r"|japanese|russian|arabic|letters|typos|symbols)\b",
    re.IGNORECASE,
)
_DISGUISE: Final = re.compile(
    rf"^[\W\d_]*+{_POLITE}(?:use|utili[sz]e|employ|apply|replace|substitute|swap|switch|scramble|jumble|shuffle|misspell"
    r"|rearrange|reverse|remove|eliminate|introduce|convert|group|encode)\b[^\n]{0,60}"
    r"\b(?:every|each|all|some|random|the|certain|most)?\s?(?:\w+ )?(?:letters?|vowels?|consonants?|words?|characters?"
    r"|spaces|typos|misspellings|anagrams?|homophon\w+|alphanumeric\w*)\b[^\n]{0,40}"
    r"\b(?:with|to|into|by|in|for|as|from|between|number|symbols?|anagrams?|substitution)\b",
    re.IGNORECASE,
)
_ORDINARY: Final = re.compile(
    # What people are told about requests, commands and forms of their own.
    r"\b(?:the|an?|your|its?) (?:\w+[ -]){0,2}(?:ids?|identifiers?|headers?|fields?|code|number|date|status|parameters?"
    r"|attributes?|version|file|screenshot|log|address)(?: \w+)? in your response\b"
    r"|(?:^|\s)--?[a-z][\w-]*\b[^\n]* your output\b|\byour answers (?:in|on|into) the\b",
    re.IGNORECASE,
)
_OF_A_FIELD: Final = re.compile(
    r"\b(?:in|from|of) (?:the|an?|your) (?:\w+ ){0,2}(?:file|field|column|input|name|url|path|cell|table|string|title"
    r"|password|label|key|keyboard)\b|\bto (?:lower|upper|title) ?case\b",
    re.IGNORECASE,
)
_GENRES: Final = ("essay", "song", "haiku", "joke", "limerick", "speech", "screenplay", "dialogue", "tweet", "headline")
_TASK: Final = re.compile(
    rf"^[\W\d_]*+{_POLITE}(?:write|draft|compose|craft|provide|create|generate|give|tell)(?: me| us)? (?:an?|the|some)"
    r" (?:\w+ ){0,2}(?:poem|story|essay|song|haiku|joke|limerick|speech|screenplay|dialogue|tweet|headline"
    r"|blog post|introduction for|summary of the (?:plot|book|novel|film))\b"
    r"|^[\W\d_]*+translate (?:the following|this|your)\b"
    r"|^[\W\d_]*+(?:can|could|would|will) you (?:please )?(?:show|give|tell|write|explain|teach|help)\b[^\n]{0,80}"
    r"\b(?:functions?|scripts?|programs?|code|examples?|algorithms?|poem|story|essay|joke|song|recipe|equations?|theorem"
    r"|theory|concept|history|python|javascript|java|sql)\b[^\n]{0,80}\?"
    r"|^[\W\d_]*+(?:explain|describe|break down|summari[sz]e)\b[^\n]{0,60}\b(?:in simple (?:terms|words)|to me"
    r"|the plot of)\b"
    r"|\b(?:snippet|code (?:section|excerpt|segment|fragment|block)|lines? of code)\b[^\n]{0,40}"
    r"\b(?:in|into|to|of|within|for) your (?:code|implementation|solution|answer|response|script|program)\b"
    r"|\byour (?:code|implementation|solution)\b[^\n]{0,60}\b(?:following|below|subsequent|this)\b[^\n]{0,20}"
    r"\b(?:snippet|code (?:section|excerpt|segment|fragment|block)|lines? of code)\b",
    re.IGNORECASE,
)


_SIGNS: Final[tuple[tuple[tuple[str, ...], re.Pattern[str], re.Pattern[str] | None], ...]] = (
    # What must be in a sentence is looked for first: the patterns would take a tenth of a millisecond for each.
    (
        (
            *("ignor", "disregard", "forget", "overrid", "bypass", "neglect", "follow", "listen", "obey"),
            *("instruction", "prompt", "you are", "pretend", "act ", "behave", " mode", "tell the", "assure the"),
            *("convince the", "ing this", " tool", " function", " plug", "<", "inst]", "system", "assistant"),
        ),
        _STEERING,
        None,
    ),
    (("your", "respond", "reply", "answer"), _ABOUT_OUTPUT, _ORDINARY),
    (
        (
            "translate",
            " you ",
            "poem",
            "story",
            "me ",
            "code",
            "snippet",
            "plot",
            "simple",
            "introduction",
            "blog post",
            "summary of",
            *_GENRES,
        ),
        _TASK,
        None,
    ),
    (
        (
            "letter",
            "vowel",
            "consonant",
            "word",
            "character",
            "space",
            "typo",
            "spelling",
            "anagram",
            "homophon",
            "alphanum",
        ),
        _DISGUISE,
        _OF_A_FIELD,
    ),
)


_MOST_WRAPPED: Final = 4
_LONGEST_LINE: Final = 400
"""Lines of a paragraph that is wrapped are not longer."""


def steers(text: str) -> bool:
    """Whether one sentence, item or row speaks to the machine that reads it."""
    return any(_steers(reading) for reading in readings(text))


def _steers(text: str) -> bool:
    folded = text.lower()
    return any(
        any(needle in folded for needle in needles)
        and pattern.search(text) is not None
        and (ordinary is None or ordinary.search(text) is None)
        for needles, pattern, ordinary in _SIGNS
    )


def steering_spans(text: str) -> tuple[Span, ...]:
    """The sentences and lines of ``text`` that steer, in order; also those that a line wrap cuts into pieces which do
    not steer alone. Pure; about 10 µs a sentence."""
    spans = list(segments(text))
    steering = [steers(text[start:end]) for start, end in spans]
    for first, (start, _) in enumerate(spans):
        last = first
        while last + 1 < min(len(spans), first + _MOST_WRAPPED) and _wrapped(text, spans[last], spans[last + 1]):
            last += 1
        if last == first or any(steering[first : last + 1]) or not steers(text[start : spans[last][1]]):
            continue
        while last > first + 1 and steers(text[start : spans[last - 1][1]]):
            last -= 1
        steering[first : last + 1] = [True] * (last + 1 - first)
    return tuple(Span(start, end) for (start, end), found in zip(spans, steering, strict=True) if found)


def _wrapped(text: str, line: tuple[int, int], following: tuple[int, int]) -> bool:
    """Whether a sentence goes on in the following line: with a small letter, after no end of a sentence."""
    start, end = line
    if text[end - 1] != "\n" or max(end - start, following[1] - following[0]) > _LONGEST_LINE:
        return False
    begins = text[following[0] : following[0] + 40].lstrip(" \t>")[:1]
    return begins.islower() and not text[start:end].rstrip().endswith((".", "!", "?", ":", "|"))


def neutralise(blocks: Sequence[ContextBlock]) -> tuple[tuple[ContextBlock, ...], int]:
    """The blocks with what steers in them marked, and how many sentences that are. Offsets and numbers stay; a title
    or heading that steers is withheld."""
    marked = []
    count = 0
    for block in blocks:
        spans = steering_spans(block.text)
        title = "" if steers(block.passage.title) else block.passage.title
        headings = tuple(heading for heading in block.place.heading_path if not steers(heading))
        withheld = (title != block.passage.title) + len(block.place.heading_path) - len(headings)
        count += len(spans) + withheld
        if withheld:
            place = replace(block.place, heading_path=headings)
            inner = tuple(heading for heading in block.passage.place.heading_path if not steers(heading))
            passage = replace(block.passage, title=title, place=replace(block.passage.place, heading_path=inner))
            block = replace(block, passage=passage, place=place)
        marked.append(replace(block, steering=spans) if spans else block)
    return tuple(marked), count
