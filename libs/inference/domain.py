"""Nouns of the engine: what a model is, what goes in, what comes out."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class Pooling(StrEnum):
    """How token vectors become the vector of a text."""

    MEAN = "mean"
    CLS = "cls"


class TextKind(StrEnum):
    """Which of the model's prompts goes in front of a text."""

    QUERY = "query"
    PASSAGE = "passage"


class Priority(IntEnum):
    """Whether somebody waits."""

    INTERACTIVE = 0
    BULK = 1


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a caller may know of a loaded model.

    Attributes:
        model_id: `all-MiniLM-L6-v2`, a directory's name, or a hub id without its revision.
        revision: First 12 hexadecimal digits of the sha256 of the weights: equal revisions give comparable vectors.
        dimensions: Length of a vector.
        max_tokens: The window: tokens of one text, special tokens and prompt included; what is beyond is cut off.
        pooling: How token vectors become one.
        query_prompt: Put in front of queries, may be empty.
        passage_prompt: Put in front of passages, may be empty.
        runtime: For instance `onnxruntime-int8`.
    """

    model_id: str
    revision: str
    dimensions: int
    max_tokens: int
    pooling: Pooling
    query_prompt: str
    passage_prompt: str
    runtime: str

    def prompt(self, kind: TextKind) -> str:
        """The prompt for a kind of text."""
        return self.query_prompt if kind is TextKind.QUERY else self.passage_prompt


@dataclass(frozen=True, slots=True)
class Encoding:
    """One tokenised text, ready for the encoder.

    Attributes:
        ids: (t,) int64 token ids, special tokens included.
        types: (t,) int64 segment ids (1 for the second text of a pair), or None for all zeros.
        prefix: Special tokens before the text.
        suffix: Special tokens after it.
        truncated: The text was longer than the window and was cut.
        empty: The text has no token of its own.
    """

    ids: IntArray
    types: IntArray | None
    prefix: int
    suffix: int
    truncated: bool
    empty: bool

    @property
    def tokens(self) -> int:
        """Length in tokens, special tokens included; 0 for an empty text, which is never run."""
        return 0 if self.empty else len(self.ids)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of texts, in the order of the texts.

    Attributes:
        vectors: (n, d) float32, L2-normalised rows; a row of zeros for an empty text.
        tokens: Tokens that went into each vector, special tokens included; 0 for an empty text.
        truncated: Which texts were cut to the window.
        empty: Which texts had no token.
    """

    vectors: FloatArray
    tokens: tuple[int, ...]
    truncated: tuple[bool, ...]
    empty: tuple[bool, ...]
