"""Text analysis: text to index terms, the same for every lexical engine.

Text is brought to NFKC and cut into words. Each word gives, in lower case:

- a plain word: its Snowball stem, unless it is a stop word;
- an identifier (``HttpClient``, ``max_retries``, ``os.path``, ``sha256``): the whole and the stems of its parts;
- a version or another number (``2.10.3``): itself as a whole; ``v2.10.3`` also without the ``v``;
- joined by hyphens: the parts, and the whole if a digit is in it (``RFC-7519``);
- text in scripts without spaces (Chinese, Japanese, Korean, Thai, …): overlapping pairs of characters.

Mixed languages in one index. A document's language is known and its words are stemmed by that language's rules, a
query's mostly is not. A query of unknown language is analysed as English, and each word is kept unstemmed as well;
documents that are not in English index their words unstemmed beside the stems. So an English query meets English
stems, and a query in any language meets the exact words of its documents. English documents index only stems:
unstemmed words would lengthen most documents for the sake of queries that English stems already serve. Words in
non-Latin scripts take the rules of the language that the script suggests.
"""

from __future__ import annotations

import re
import unicodedata

from corpus.analysis.scripts import ASCII_TOKEN, TOKEN, UNSPACED_RUN, language_of_word
from corpus.analysis.stems import SUPPORTED_LANGUAGES, stem
from corpus.analysis.stopwords import STOP_WORDS

__all__ = ["ANALYSER_VERSION", "SUPPORTED_LANGUAGES", "analyse", "analyse_query"]

ANALYSER_VERSION = "headwater-1"
"""Part of the generation's name. Change it with anything that changes a term: terms of two versions don't meet."""

DEFAULT_LANGUAGE = "en"

# Longer "words" are base64, hashes and minified code. Their start identifies them well enough.
_MAX_TERM_CHARACTERS = 128
# About 40 MB at most; natural text has far fewer distinct words, generated text has no end of them.
_MAX_CACHED_WORDS = 200_000
_MAX_CACHED_CHARACTERS = 48

_VERSION = re.compile(r"[vV]?\d+(?:\.\w+)*", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)*")
_HAS_DIGIT = re.compile(r"\d")
_SUBWORD = re.compile(r"[^\d_]+|\d+")
_CAMEL = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def analyse(text: str, language: str = DEFAULT_LANGUAGE) -> tuple[str, ...]:
    """Terms of a document's text in order, repeated as often as they occur.

    Text of nothing but stop words gives those words, so that it can be found. No term holds white space. Thread-safe.

    Args:
        text: Any text.
        language: ISO 639-1 code or language tag ("en-GB"); empty means unknown and is read as English.
    """
    code = _primary_subtag(language) or DEFAULT_LANGUAGE
    return _analyse(text, code, with_words=code != DEFAULT_LANGUAGE)


def analyse_query(text: str, language: str = "") -> tuple[str, ...]:
    """Terms of a query, for an index whose documents went through ``analyse``.

    Never empty when there is a letter or digit: a query of nothing but stop words keeps them.

    Args:
        text: Any text.
        language: ISO 639-1 code where it is known for sure; empty otherwise, which also finds exact words of other
            languages.
    """
    code = _primary_subtag(language)
    return _analyse(text, code or DEFAULT_LANGUAGE, with_words=code != DEFAULT_LANGUAGE)


def _primary_subtag(language: str) -> str:
    return language.replace("_", "-").partition("-")[0].lower()


class _Analyser:
    """Terms by word for one language and mode.

    Entries are computed at most a few times and never change, so no lock is needed.
    """

    def __init__(self, language: str, *, with_words: bool, with_stop_words: bool) -> None:
        self._language = language
        self._with_words = with_words
        self._stop_words = frozenset() if with_stop_words else STOP_WORDS.get(language, frozenset())
        self._cache: dict[str, tuple[str, ...]] = {}

    def terms(self, text: str) -> tuple[str, ...]:
        pattern = ASCII_TOKEN
        if not text.isascii():
            text = unicodedata.normalize("NFKC", text).replace("\u00ad", "")
            pattern = TOKEN
        cache = self._cache
        found: list[str] = []
        for token in pattern.findall(text):
            terms = cache.get(token)
            found += self._remember(token) if terms is None else terms
        return tuple(found)

    def _remember(self, token: str) -> tuple[str, ...]:
        terms = tuple(self._expand(token))
        if len(token) <= _MAX_CACHED_CHARACTERS:
            if len(self._cache) >= _MAX_CACHED_WORDS:
                self._cache.clear()
            self._cache[token] = terms
        return terms

    def _expand(self, token: str) -> list[str]:
        if not token.isascii() and UNSPACED_RUN.search(token):
            return self._unspaced(token)
        parts = token.split("-")
        if len(parts) == 1:
            return self._dotted(token)
        terms = [token.lower()[:_MAX_TERM_CHARACTERS]] if _HAS_DIGIT.search(token) else []
        for part in parts:
            terms += self._dotted(part)
        return terms

    def _unspaced(self, token: str) -> list[str]:
        terms: list[str] = []
        end = 0
        for run in UNSPACED_RUN.finditer(token):
            for rest in TOKEN.findall(token[end : run.start()]):
                terms += self._expand(rest)
            characters = run.group().lower()
            pairs = [characters[place : place + 2] for place in range(len(characters) - 1)]
            terms += pairs or [characters]
            end = run.end()
        for rest in TOKEN.findall(token[end:]):
            terms += self._expand(rest)
        return terms

    def _dotted(self, token: str) -> list[str]:
        if _VERSION.fullmatch(token):
            whole = token.lower()[:_MAX_TERM_CHARACTERS]
            return [whole, whole[1:]] if whole[0] == "v" else [whole]
        parts = token.split(".")
        if len(parts) == 1:
            return self._identifier(token)
        terms = [token.lower()[:_MAX_TERM_CHARACTERS]]
        for part in parts:
            terms += self._identifier(part)
        return terms

    def _identifier(self, token: str) -> list[str]:
        if token.islower() and token.isalpha():
            return self._word(token)
        subwords = [word for part in _CAMEL.split(token) for word in _SUBWORD.findall(part)]
        if len(subwords) < 2:
            return self._word(token.strip("_").lower() or token)
        terms = [token.lower()[:_MAX_TERM_CHARACTERS]]
        for subword in subwords:
            terms += self._word(subword.lower())
        return terms

    def _word(self, word: str) -> list[str]:
        if word in self._stop_words:
            return []
        word = word[:_MAX_TERM_CHARACTERS]
        stemmed = stem(word, language_of_word(word, self._language))
        return [stemmed, word] if self._with_words and stemmed != word else [stemmed]


_analysers: dict[tuple[str, bool, bool], _Analyser] = {}


def _analyse(text: str, language: str, *, with_words: bool) -> tuple[str, ...]:
    return _analyser(language, with_words, False).terms(text) or _analyser(language, with_words, True).terms(text)


def _analyser(language: str, with_words: bool, with_stop_words: bool) -> _Analyser:
    # Unknown codes share one analyser, so that callers can't fill the memory with caches.
    known = language if language in SUPPORTED_LANGUAGES else "und"
    key = (known, with_words, with_stop_words)
    analyser = _analysers.get(key)
    if analyser is None:
        analyser = _analysers.setdefault(key, _Analyser(known, with_words=with_words, with_stop_words=with_stop_words))
    return analyser
