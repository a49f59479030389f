"""Token counts of many short texts, fast."""

from collections.abc import Sequence
from typing import Protocol

from tokenizers import Tokenizer


class TokenCounter(Protocol):
    """The embedding model's view of text: how long it is, and how much fits."""

    @property
    def window(self) -> int:
        """Most tokens that the model reads, special tokens included."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer; it is not changed here."""
        ...

    def count(self, text: str) -> int:
        """Return the number of tokens of `text`, special tokens included, not truncated."""
        ...


class TokenLengths:
    """Counts tokens in batches with a private, untruncated copy of the tokenizer."""

    def __init__(self, counter: TokenCounter) -> None:
        # A tokenizer prepared for inference truncates and pads, which would make every long text look short.
        self._tokenizer = Tokenizer.from_str(counter.tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.window = counter.window
        self.special_tokens: int = self._tokenizer.num_special_tokens_to_add(False)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special tokens not included."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def length(self, text: str) -> int:
        """Return the number of tokens of one text, special tokens not included."""
        return self.lengths([text])[0]
