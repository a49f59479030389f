"""Cross-encoders: query and passage go through the encoder together and come out as one score (Nogueira and Cho 2019,
arXiv:1901.04085)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

from inference.domain import Encoding
from inference.encoder import load_session, padded
from inference.errors import UnsupportedModel
from inference.model import resolve
from inference.runtime import Cpu, Session, default_threads, parse_runtime
from inference.tokens import load_tokenizer

_CHARACTERS_PER_TOKEN = 64
"""What is beyond window × this is cut before tokenisation: it could not reach the window."""


class CrossEncoder:
    """A loaded cross-encoder with one output. Thread-safe; every method blocks.

    Attributes:
        model_id: Name of the model.
        revision: First 12 hexadecimal digits of the sha256 of its weights.
        concurrency: How many passes may usefully run at once.
        pass_tokens: Padded tokens worth putting into one pass.
    """

    def __init__(self, model_id: str, revision: str, tokenizer: Tokenizer, window: int, session: Session) -> None:
        self.model_id = model_id
        self.revision = revision
        self.concurrency = session.concurrency
        self.pass_tokens = session.pass_tokens
        self._session = session
        self._characters = window * _CHARACTERS_PER_TOKEN
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(window, strategy="longest_first")

    @classmethod
    def load(cls, model: str, *, runtime: str = "auto", threads: int | None = None) -> CrossEncoder:
        """Loads a model; arguments and errors as of `TextEncoder.load`.

        Raises:
            UnsupportedModel: Besides, when its graph gives anything but one logit for each pair.
        """
        directory = resolve(model)
        chosen = parse_runtime(runtime, Cpu.detect())
        sha256 = directory.verified_sha256()
        session = load_session(directory, sha256, chosen, threads or default_threads(), classifier=True)
        encoder = cls(directory.model_id, sha256[:12], load_tokenizer(directory.path), directory.max_tokens, session)
        if session.run(*padded(encoder.tokenize("probe", ["probe"]))).shape != (1, 1):
            raise UnsupportedModel("a cross-encoder gives one logit for each pair, and this graph does not")
        return encoder

    def tokenize(self, query: str, passages: Sequence[str]) -> list[Encoding]:
        """One encoding for each pair, in order, cut to the window from the longer of the two texts."""
        longest = self._characters
        pairs = [(query[:longest], passage[:longest]) for passage in passages]
        return [
            Encoding(
                ids=np.asarray(raw.ids, np.int64),
                types=np.asarray(raw.type_ids, np.int64),
                prefix=0,
                suffix=0,
                truncated=bool(raw.overflowing),
                empty=False,
            )
            for raw in self._tokenizer.encode_batch(pairs)
        ]

    def score_pass(self, encodings: Sequence[Encoding]) -> list[float]:
        """One forward pass: the sigmoid of each logit, between 0 and 1."""
        logits = self._session.run(*padded(encodings))[:, 0].astype(np.float64)
        return [float(score) for score in 1 / (1 + np.exp(-logits))]
