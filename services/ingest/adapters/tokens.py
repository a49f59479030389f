"""The embedding model's tokenizer behind the chunker's TokenCounter port."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer

from inference.model import resolve
from inference.tokens import load_tokenizer


@dataclass(frozen=True, slots=True)
class ModelTokens:
    """See ``ingest.chunking.TokenCounter``."""

    tokenizer: Tokenizer
    window: int

    @classmethod
    def of_model(cls, model: str) -> ModelTokens:
        """Opens the tokenizer of a model, whose name ``inference.model.resolve`` understands. Blocking."""
        directory = resolve(model)
        tokenizer = load_tokenizer(directory.path)
        prompt = len(tokenizer.encode(directory.passage_prompt, add_special_tokens=False).ids)
        return cls(tokenizer, directory.max_tokens - prompt)

    def count(self, text: str) -> int:
        """Tokens of the text, special tokens included."""
        return len(self.tokenizer.encode(text).ids)
