"""Recognises text that is written to steer whatever reads it aloud, rather than to inform people.

An extractive answer can't be made to obey, but it could still pass such a sentence on as if the platform said so. The
patterns name
the forms that published collections of prompt injections share; what they miss is still shown only as a quotation
with its source.
"""

from __future__ import annotations

import re
from typing import Final

_DISMISS: Final = r"(?:ignore|disregard|forget|override|bypass|do not follow|don't follow|stop following)"
_STANDING: Final = (
    r"(?:instructions?|prompts?|rules|directions|directives|guidelines|guardrails|constraints|commands|orders|context)"
)
_EARLIER: Final = r"(?:previous|prior|above|earlier|preceding|foregoing|initial|original|system|your|all|any)"
_STEERING: Final = re.compile(
    rf"\b{_DISMISS}\b[^.!?\n]{{0,40}}\b{_EARLIER}\b[^.!?\n]{{0,40}}\b{_STANDING}\b"
    r"|\b(?:new|updated|hidden) (?:system )?(?:instructions?|prompt)\s*:"
    r"|\b(?:reveal|print|repeat|show|leak|output)\b[^.!?\n]{0,30}\b(?:system prompt|your (?:initial )?instructions)\b"
    r"|\byou are (?:now|no longer) (?:an? |the |in )?(?:ai|assistant|chatbot|dan|unrestricted|unfiltered)\b"
    r"|\b(?:pretend|act|behave) (?:to be|as if you (?:are|were)|as an? (?:ai|assistant|unrestricted))\b"
    r"|\b(?:developer|dan|jailbreak|god) mode\b"
    r"|\b(?:tell|assure|convince) the (?:reader|user|asker) (?:that|to)\b"
    r"|<\|?(?:im_start|im_end|system|assistant|endoftext)\|?>|\[/?INST\]|^\s*(?:system|assistant)\s*:",
    re.IGNORECASE,
)


def steers(text: str) -> bool:
    """Whether a unit speaks to the machine that reads it."""
    return _STEERING.search(text) is not None
