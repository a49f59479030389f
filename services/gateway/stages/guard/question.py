"""Prompt injection and jailbreaks in the question.

A question is judged by what it says to the machine, not by single words: people ask how to ignore an error, which rules
must not be broken, or how a device enters its developer mode; what may be such a question is half a sign. Wishes about
form ("answer in Spanish") are the asker's own business and never blocked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway.domain import Refusal
from gateway.stages.guard.text import plain, readings

_DISMISS: Final = (
    r"(?:ignor(?:e|ing)|disregard|forget(?: about)?|override|bypass|neglect|skip|dismiss|set aside|pay no attention to"
    r"|(?:do not|don't|dont|never|stop) (?:follow(?:ing)?|listen(?:ing)? to|obey(?:ing)?|adher(?:e|ing) to)"
    r"|ignoriere?n?|vergi(?:ss|ß)|ignorez|oublie[zr]?|ignora|olvida)"
)
_EARLIER: Final = (
    r"(?:previous(?:ly)?|prior|above|earlier|preceding|foregoing|initial|original|system|your|all|any|those|everything"
    r"|past|existing|vorherigen?|alle|précédentes?|anteriores)"
)
_STANDING: Final = (
    r"(?:instructions?|prompts?|rules?|directions|directives?|guidelines?|guardrails|constraints|commands?|orders"
    r"|context|information|programming|training|restrictions|safeguards|polic(?:y|ies)|messages?|anweisungen"
    r"|instrucciones)"
)
_OF_A_PROMPT: Final = (
    r"(?:system|initial|original|hidden|secret|full|entire|exact|own|previous|internal|complete|core|underlying|first)"
)
_SHOW: Final = (
    r"\b(?:reveal|print(?: out)?|repeat|show(?: me)?|leak|output|display|tell me|give me|list|write(?: down| out)?"
    r"|what (?:is|are|was|were)|summari[sz]e|translate|spell|copy|recite)\b[^.!?\n]{0,30}\b"
)
_ABOUT_SOMETHING: Final = r"(?! (?:for|on|about|to|how|regarding|when|if|with|in|of|at)\b)"
_SPEAKS: Final = (
    r"(?:you\b|ignore|disregard|forget|from now on|(?:do not|don't|never|always) (?:answer|respond|reply|say|refuse)"
    r"|respond|reply|answer|reveal|print|say\b|override|sure|ok(?:ay)?\b|i (?:will|am|have|can)\b"
    r"|new (?:instruction|rule))"
)
"""What a turn of a chat begins with, and a line of a data sheet does not."""
_AI: Final = r"(?:ai|a\.i\.|assistant|chat\s?bot|bot|language model|llm|gpt|model)"


_OF_LINES: Final = "markup"
"""Signs that are looked for line by line; all others, in the text as one line."""
_ASKED: Final = re.compile(
    r"\b(?:how (?:do|can|could|would|should|to)|when (?:do|may|can|should|must)|why (?:do|does|did|can)"
    r"|can|may|could|should|must|do|did|does|is it (?:ok|okay|safe|possible)|what happens (?:if|when))"
    r"(?: (?:i|we|one|users?|admins?|customers?|it|the \w+|an? \w+))?(?: ever| safely| also)?(?: to)? $",
    re.IGNORECASE,
)
"""Before a verb that somebody asks about, and not of the machine."""


@dataclass(frozen=True, slots=True)
class _Sign:
    """One way of steering. ``weight`` 1 is enough by itself. ``half_if_asked``: half where people ask how to."""

    reason: str
    weight: float
    pattern: re.Pattern[str]
    half_if_asked: bool = False

    def weight_in(self, text: str) -> float:
        """What the text shows of it."""
        if not self.half_if_asked:
            return self.weight if self.pattern.search(text) else 0.0
        weight = 0.0
        for match in self.pattern.finditer(text):
            if _ASKED.search(text, max(0, match.start() - 60), match.start()) is None:
                return self.weight
            weight = self.weight / 2
        return weight


def _sign(reason: str, weight: float, *alternatives: str, half_if_asked: bool = False) -> _Sign:
    return _Sign(reason, weight, re.compile("|".join(alternatives), re.IGNORECASE), half_if_asked)


_IGNORES_RULES: Final = rf"\b{_DISMISS}\b[^.!?\n]{{0,40}}\b{_EARLIER}\b[^.!?\n]{{0,40}}\b{_STANDING}\b"
_YOURS: Final = rf"\b{_DISMISS}\b[^.!?\n]{{0,20}}\byour\b[^.!?\n]{{0,20}}\b{_STANDING}\b"

_SIGNS: Final = (
    _sign("override", 1.0, _IGNORES_RULES, half_if_asked=True),
    _sign(
        "override",
        1.0,
        _YOURS,
        rf"\b{_DISMISS}\b[^.!?\n]{{0,20}}\b(?:everything|all|what)\b[^.!?\n]{{0,20}}\b(?:above|before|said|told"
        rf"|so far)\b",
        r"\b(?:new|updated|hidden|real|actual) (?:system )?(?:instructions?|prompt|orders)\s*:",
        r"\bin addition to the (?:other|previous|above) instructions\b",
    ),
    _sign(
        "prompt_leak",
        0.5,
        rf"{_SHOW}(?:(?:your|the|its?) (?:{_OF_A_PROMPT} )?prompt\b|your (?:\w+ ){{0,2}}(?:instructions|rules"
        rf"|directives|guidelines))",
    ),
    _sign(
        "prompt_leak",
        1.0,
        rf"{_SHOW}(?:your (?:{_OF_A_PROMPT} )*prompt\b|(?:the|its?) (?:{_OF_A_PROMPT} )+prompt\b{_ABOUT_SOMETHING}"
        rf"|your (?:{_OF_A_PROMPT} )*(?:instructions|directives)\b{_ABOUT_SOMETHING}"
        rf"|your (?:{_OF_A_PROMPT} )+(?:rules|guidelines)\b{_ABOUT_SOMETHING}|system prompt"
        r"|(?:all|the) (?:\w+ )?instructions (?:above|given|so far|you (?:were|have|got|received)|verbatim|formatted))",
        r"\b(?:text|words|everything|sentences?|paragraph|conversation|content) (?:above|before) (?:this|the)? ?"
        r"(?:line|message|prompt|sentence|point)?\b[^.!?\n]{0,30}\b(?:verbatim|word for word|repeat|print|output)\b",
        r"\b(?:repeat|print|output)\b[^.!?\n]{0,30}\b(?:everything|all|text|words?)\b[^.!?\n]{0,12}\b(?:above"
        r"|before this)\b",
    ),
    _sign(
        "jailbreak",
        1.0,
        rf"\byou are (?:now|no longer|hereby|going to (?:be|act|pretend))\b[^.!?\n]{{0,40}}"
        rf"\b(?:{_AI}|dan|unrestricted|unfiltered|uncensored|evil|bound|limited|free)\b",
        rf"\b{_AI} (?:without|with no|free (?:of|from)) (?:any )?(?:ethic|moral|restriction|limit|filter|rule"
        rf"|censor|constraint)",
        r"\b(?:dan|jailbreak|dude|stan|unrestricted) mode\b[^.!?\n]{0,40}"
        r"\b(?:enabled?|activated?|on|engaged|you)\b",
        r"\b(?:developer|god|sudo|admin(?:istrator)?|debug) mode\b[^.!?\n]{0,40}\byou(?:'re| are| can| must| will)\b",
        r"\b(?:enable|activate|enter|switch (?:in)?to)\b[^.!?\n]{0,20}\b(?:dan|jailbreak|unrestricted) mode\b",
        r"\byou are (?:now )?in\b[^.!?\n]{0,20}\b(?:developer|dan|jailbreak|god|sudo|debug|unrestricted) mode\b",
        r"\bdo anything now\b|\b(?-i:DAN)\b[^.!?\n]{0,60}\b(?:can|will|has|is|does|must|anything)\b",
        r"\b(?:no|without(?: any)?|zero|free (?:of|from)(?: all)?|not bound by(?: any)?|ignor(?:e|ing)(?: all)?)"
        r" (?:ethical|moral|safety|content|legal)[^.!?\n]{0,30}\b(?:guidelines|filters?|restrictions|rules"
        r"|limit\w*|policies)\b",
        r"\bstay (?:a |in (?:\w+ )?)?(?:dan|character)\b[^.!?\n]{0,60}\b(?:no matter|always|never|never break"
        r"|at all times)\b",
    ),
    _sign(
        _OF_LINES,
        1.0,
        r"<\|?(?:im_start|im_end|system|assistant|endoftext|eot_id|start_header_id)\|?>|\[/?INST\]|<</?SYS>>",
        rf"(?:^|\n)\s{{0,20}}(?:#{{1,4}}\s{{0,4}})?(?:system|assistant)\s{{0,4}}:\s{{0,20}}{_SPEAKS}",
    ),
    _sign(_OF_LINES, 0.5, r"(?:^|\n)\s{0,20}(?:#{1,4}\s{0,4})?(?:system|assistant)\s{0,4}:"),
    _sign(
        "mode",
        0.5,
        r"\b(?:developer|god|sudo|admin(?:istrator)?|debug) mode\b[^.!?\n]{0,40}"
        r"\b(?:enabled?|activated?|on|engaged|you)\b",
        r"\b(?:enable|activate|enter|switch (?:in)?to)\b[^.!?\n]{0,20}\b(?:developer|god|sudo) mode\b",
    ),
    _sign(
        "persona",
        0.5,
        rf"\b(?:act|behave|respond|reply|answer|pretend|roleplay)\b[^.!?\n]{{0,20}}\b(?:as if you|as an? {_AI}"
        rf"|to be an? {_AI})",
        r"\bfrom now on,? (?:you|your|every|all|respond|answer|reply|act)\b",
        rf"\bas an? {_AI},? you(?:'re| are)\b",
        r"\b(?:let's play a game|we are going to play|in this game you|hypothetical (?:response|ai))\b",
    ),
    _sign(
        "secret",
        0.5,
        r"\b(?:reveal|tell|give|say|spell|leak|share|whisper|encode|describe|throw)\b[^.!?\n]{0,40}\bsecret"
        r" (?:password|word|key|phrase|code)\b",
        r"\bsecret (?:password|word|key|phrase|code)\b[^.!?\n]{0,30}\b(?:you know|you hold|you were (?:given|told))\b",
        r"\bgive me what you can ?not\b|\bavoid (?:detection|the filter|being detected)\b",
    ),
    _sign(
        "uncensored",
        0.5,
        r"\bwithout (?:any )?(?:warnings?|disclaimers?|censorship|filters?|moral\w*|refus\w+)\b",
        r"\b(?:never|do not|don't|must not|cannot|can't) (?:ever )?(?:refuse|decline|say no|apologi[sz]e|warn)\b",
        r"\b(?:zero|no) (?:moderation|censorship)\b|\bnot limited by\b|\banswer any question (?:asked|at all)\b",
        r"\binitiate all orders\b|\bconfirm by saying\b",
    ),
    _sign(
        "script",
        0.5,
        r"\b(?:start|begin|end|finish) (?:your|every|each|the) (?:answer|response|reply|message"
        r"|sentence)s? (?:with|by)\b",
        r"\byour (?:new )?(?:task|goal|mission|job|purpose) is (?:to )?(?:now|tell|reveal|ignore|obey)\b",
        r"\backnowledge (?:this )?by (?:saying|replying|answering)\b|\byou (?:must|will|shall) (?:always )?obey\b",
    ),
)


@dataclass(frozen=True, slots=True)
class QuestionGuard:
    """The stage. ``threshold`` is the score from which a question is refused; above 1 refuses none."""

    threshold: float

    def refusal(self, question: str) -> Refusal | None:
        """Why the question is not answered, None for one that may be asked. Pure; under a millisecond for most."""
        score, reason = injection_score(question)
        return Refusal(reason, score) if score >= self.threshold else None


def injection_score(question: str) -> tuple[float, str]:
    """0 to 1, with the name of the strongest sign ("" where there is none). Signs of different kinds add up."""
    lines, texts = (plain(question),), readings(question)
    weights = {
        sign: max(sign.weight_in(text) for text in (lines if sign.reason == _OF_LINES else texts)) for sign in _SIGNS
    }
    strongest = max(_SIGNS, key=lambda sign: weights[sign])
    score = min(1.0, sum(weights.values()))
    return score, strongest.reason if score else ""
