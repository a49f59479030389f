"""The one normalisation, done before any offset exists.

NFC, not NFKC: composed and decomposed spellings of the same word become equal, while `m²`, `½` or full-width
letters keep their meaning (folding those is the search analyser's business, not the citation's).
"""

import re
import unicodedata

# C0 and C1 controls except tab and line feed, the byte-order mark, and lone surrogates (not encodable as UTF-8).
_UNWANTED = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_RULES = re.compile(r"([=\-~^\"'`#*+_])\1{4,}")
_LINE_ENDS = re.compile("\r\n?|[\x0c\x85\u2028\u2029]")


def normalise(text: str) -> str:
    """Return `text` in NFC with LF line ends and without control characters; idempotent."""
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
    text = _LINE_ENDS.sub("\n", text)
    return _UNWANTED.sub("", text)


def one_line(text: str) -> str:
    """Return `text` with every run of white space as one space: for headings and titles."""
    return " ".join(text.split())


def shorten_rules(text: str) -> str:
    """Return `text` with runs of five and more rule characters cut to four.

    Underlines and table borders mean the same at any length, and a tokenizer counts every character of them: the
    borders of one table may fill a third of an embedding window.
    """
    return _RULES.sub(r"\1\1\1\1", text)
