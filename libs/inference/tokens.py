"""Tokenisation by a model's own `tokenizer.json`, without its weights."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Encoding as RawEncoding
from tokenizers import Tokenizer

from inference.domain import Encoding
from inference.errors import ModelNotFound, UnsupportedModel
from inference.model import resolve

_CHARACTERS_PER_TOKEN = 64
"""Of a text longer than window × this only a prefix is tokenised at first: of a megabyte, 256 tokens are used."""
_SAFE_OVERFLOW = 100
"""A prefix decides only if it overflows the window by this many tokens: its last word was cut, and WordPiece words have
at most 100 characters, so the tokens inside the window are then those of the whole text."""


def load_tokenizer(path: Path) -> Tokenizer:
    """Reads `tokenizer.json` of a model directory, with padding and truncation off.

    Raises:
        ModelNotFound: There is none.
        UnsupportedModel: It can't be read.
    """
    file = path / "tokenizer.json"
    if not file.is_file():
        raise ModelNotFound("the model directory has no tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the binding raises nothing more specific than Exception
        raise UnsupportedModel("the model's tokenizer.json can't be read") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class TextTokenizer:
    """Tokenises texts to at most a window of tokens. Thread-safe.

    Args:
        tokenizer: From `load_tokenizer`.
        window: Most tokens of one text, special tokens included.
    """

    def __init__(self, tokenizer: Tokenizer, window: int) -> None:
        self._tokenizer = tokenizer
        self.window = window
        mask = tokenizer.encode("a").special_tokens_mask
        self.prefix = mask.index(0) if 0 in mask else len(mask)
        self.suffix = len(mask) - self.prefix - mask.count(0)
        if window <= self.prefix + self.suffix:
            raise UnsupportedModel("the model's window leaves no room for text")

    def tokenize(self, texts: Sequence[str], prompt: str = "") -> list[Encoding]:
        """Tokenises each text behind the prompt, in order. Blocking: tens of µs per passage."""
        longest = self.window * _CHARACTERS_PER_TOKEN
        raw = self._tokenizer.encode_batch_fast([prompt + text[:longest] for text in texts])
        nothing = len(self._tokenizer.encode(prompt).ids)
        return [
            self._cut(self._whole(encoding, prompt, text, longest), nothing)
            for encoding, text in zip(raw, texts, strict=True)
        ]

    def _whole(self, encoding: RawEncoding, prompt: str, text: str, longest: int) -> RawEncoding:
        if len(text) <= longest or len(encoding.ids) >= self.window + _SAFE_OVERFLOW:
            return encoding
        return self._tokenizer.encode(prompt + text)

    def _cut(self, encoding: RawEncoding, nothing: int) -> Encoding:
        ids = np.asarray(encoding.ids, np.int64)
        # Besides blank texts, those that hold only control characters have no token of their own.
        empty = len(ids) <= nothing
        truncated = len(ids) > self.window
        if truncated:
            ids = np.concatenate([ids[: self.window - self.suffix], ids[len(ids) - self.suffix :]])
        return Encoding(ids, None, self.prefix, self.suffix, truncated and not empty, empty)


class TokenCounter:
    """Counts tokens as the model does, for chunking; loads no weights. Thread-safe.

    Attributes:
        window: Most tokens of a passage that the model reads, special tokens included and its prompt left out.
        tokenizer: The model's own, without truncation and padding; not to be changed.
    """

    def __init__(self, tokenizer: Tokenizer, window: int) -> None:
        self.tokenizer = tokenizer
        self.window = window

    @classmethod
    def of_model(cls, model: str) -> "TokenCounter":
        """Opens the tokenizer of a model; see `inference.model.resolve` for what names a model. Blocking."""
        directory = resolve(model)
        tokenizer = load_tokenizer(directory.path)
        prompt = len(tokenizer.encode(directory.passage_prompt, add_special_tokens=False).ids)
        return cls(tokenizer, directory.max_tokens - prompt)

    def count(self, text: str) -> int:
        """Tokens of the text, special tokens included, not truncated."""
        return len(self.tokenizer.encode(text).ids)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Character span of each token of the text, special tokens left out."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).offsets)
