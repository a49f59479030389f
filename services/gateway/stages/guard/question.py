"""Prompt injection and jailbreaks in the question.

A question is judged by what it says to the machine, not by single words: people ask how to ignore an error, or which
rules must not be broken. Wishes about form ("answer in Spanish") are the asker's own business and never blocked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway.domain import Refusal
from gateway.stages.guard.text import plain

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
_AI: Final = r"(?:ai|a\.i\.|assistant|chat\s?bot|bot|language model|llm|gpt|model)"


@dataclass(frozen=True, slots=True)
class _Sign:
    """One way of steering. ``weight`` 1 is enough by itself."""

    reason: str
    weight: float
    pattern: re.Pattern[str]


def _sign(reason: str, weight: float, *alternatives: str) -> _Sign:
    return _Sign(reason, weight, re.compile("|".join(alternatives), re.IGNORECASE))


_SIGNS: Final = (
    _sign(
        "override",
        1.0,
        rf"\b{_DISMISS}\b[^.!?\n]{{0,40}}\b{_EARLIER}\b[^.!?\n]{{0,40}}\b{_STANDING}\b",
        rf"\b{_DISMISS}\b[^.!?\n]{{0,20}}\b(?:everything|all|what)\b[^.!?\n]{{0,20}}\b(?:above|before|said|told"
        rf"|so far)\b",
        r"\b(?:new|updated|hidden|real|actual) (?:system )?(?:instructions?|prompt|orders)\s*:",
        r"\bin addition to the (?:other|previous|above) instructions\b",
    ),
    _sign(
        "prompt_leak",
        1.0,
        r"\b(?:reveal|print(?: out)?|repeat|show(?: me)?|leak|output|display|tell me|give me|list|write(?: down| out)?"
        r"|what (?:is|are|was|were)|summari[sz]e|translate|spell|copy|recite)\b[^.!?\n]{0,30}"
        r"\b(?:(?:your|the|its?) (?:system|initial|original|hidden|secret|full|entire|first)? ?prompt\b"
        r"|your (?:\w+ ){0,2}(?:instructions|rules|directives|guidelines)|system prompt"
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
        r"\b(?:developer|dan|jailbreak|god|sudo|admin(?:istrator)?|debug|dude|stan|unrestricted) mode\b[^.!?\n]{0,40}"
        r"\b(?:enabled?|activated?|on|engaged|you)\b",
        r"\b(?:enable|activate|enter|switch (?:in)?to|you are (?:now )?in)\b[^.!?\n]{0,20}"
        r"\b(?:developer|dan|jailbreak|god|sudo|unrestricted) mode\b",
        r"\bdo anything now\b|\b(?-i:DAN)\b[^.!?\n]{0,60}\b(?:can|will|has|is|does|must|anything)\b",
        r"\b(?:no|without(?: any)?|zero|free (?:of|from)(?: all)?|not bound by(?: any)?|ignor(?:e|ing)(?: all)?)"
        r" (?:ethical|moral|safety|content|legal)[^.!?\n]{0,30}\b(?:guidelines|filters?|restrictions|rules"
        r"|limit\w*|policies)\b",
        r"\bstay (?:a |in (?:\w+ )?)?(?:dan|character)\b[^.!?\n]{0,60}\b(?:no matter|always|never|never break"
        r"|at all times)\b",
    ),
    _sign(
        "markup",
        1.0,
        r"<\|?(?:im_start|im_end|system|assistant|endoftext|eot_id|start_header_id)\|?>|\[/?INST\]|<</?SYS>>",
        r"^\s{0,20}(?:#{1,4}\s{0,4})?(?:system|assistant)\s{0,4}:",
        r"\n[ \t]{0,20}(?:system|assistant)[ \t]{0,4}:\s{0,20}\S",
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
        """Why the question is not answered, None for one that may be asked. Pure; about 0.1 ms per 100 words."""
        score, reason = injection_score(question)
        return Refusal(reason, score) if score >= self.threshold else None


def injection_score(question: str) -> tuple[float, str]:
    """0 to 1, with the name of the strongest sign ("" where there is none). Signs of different kinds add up."""
    text = plain(question)
    seen = [sign for sign in _SIGNS if sign.pattern.search(text)]
    if not seen:
        return 0.0, ""
    strongest = max(seen, key=lambda sign: sign.weight)
    return min(1.0, sum(sign.weight for sign in seen)), strongest.reason
