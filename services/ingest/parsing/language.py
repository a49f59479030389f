"""Natural language of a text, by py3langid (langid.py: Lui & Baldwin, ACL 2012)."""

from functools import lru_cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

UNDETERMINED = "und"
# Below this a guess is noise (one word, a table of numbers), and a wrong stemmer is worse than none.
_MIN_LETTERS = 40
# Enough for a sure answer; more costs time on every document.
_SAMPLE_CHARS = 2_000
# Probability below which the answer is "unknown"; measured on one-line titles, right answers sit above .9.
_MIN_PROBABILITY = 0.8
# The languages that retrieval analyses specially, plus the most written ones. Leaving rare ones out keeps short
# English texts from being called Luxembourgish or Latin.
_LANGUAGES = (
    "ar", "bg", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "he", "hi", "hr", "hu", "hy", "id",
    "it", "ja", "ko", "lt", "lv", "nb", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "ta", "th", "tr",
    "uk", "vi", "zh",
)  # fmt: skip


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = set(identifier.nb_classes)
    identifier.set_languages([language for language in _LANGUAGES if language in known])
    return identifier


def warm() -> None:
    """Load the model (about 0.3 s), so that forked children share it."""
    _identifier().classify("warm")


def detect_language(text: str, declared: str | None = None) -> str:
    """Return the primary language subtag of `text`; what is declared wins, short or unclear text is `und`."""
    if declared:
        tag = declared.strip().replace("_", "-").split("-", 1)[0].lower()
        if 2 <= len(tag) <= 3 and tag.isalpha():
            return tag
    sample = _sample(text)
    if (
        sum(map(str.isalpha, sample[: 8 * _MIN_LETTERS])) < _MIN_LETTERS
        and sum(map(str.isalpha, sample)) < _MIN_LETTERS
    ):
        return UNDETERMINED
    language, probability = _identifier().classify(sample)
    return str(language) if float(probability) >= _MIN_PROBABILITY else UNDETERMINED


def _sample(text: str) -> str:
    """Return the start and the middle: the start alone may be a header block or a licence."""
    if len(text) <= _SAMPLE_CHARS:
        return text
    half = _SAMPLE_CHARS // 2
    middle = len(text) // 2
    return f"{text[:half]}\n{text[middle : middle + half]}"
