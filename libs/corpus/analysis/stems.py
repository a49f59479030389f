"""Snowball stems by language."""

from __future__ import annotations

from threading import Lock

import Stemmer  # type: ignore[import-not-found]

_ALGORITHMS = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "eo": "esperanto",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "nb": "norwegian",
    "ne": "nepali",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "st": "sesotho",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}

SUPPORTED_LANGUAGES = frozenset(_ALGORITHMS)
"""ISO 639-1 codes of the languages with a stemmer; words of other languages are indexed as they are."""

_stemmers: dict[str, Stemmer.Stemmer] = {}
# A Stemmer keeps state between calls and may be used by one thread at a time. Callers cache stems, so this is rarely
# contended.
_lock = Lock()


def stem(word: str, language: str) -> str:
    """The Snowball stem of a lower-case word, the word itself for a language without a stemmer."""
    algorithm = _ALGORITHMS.get(language)
    if algorithm is None:
        return word
    with _lock:
        stemmer = _stemmers.get(language)
        if stemmer is None:
            # The size 0 turns PyStemmer's own cache off; ours holds finished terms.
            stemmer = _stemmers[language] = Stemmer.Stemmer(algorithm, 0)
        return str(stemmer.stemWord(word))
