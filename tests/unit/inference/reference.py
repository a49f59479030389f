"""BERT written down a second time, in NumPy and from the paper, to compare the graph with."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = dict[str, NDArray[np.float32]]


def bert(weights: Weights, ids: list[int], *, layers: int, heads: int, types: list[int] | None = None) -> Array:
    """Last hidden state, (t, hidden), of one text."""
    w = {name.removeprefix("bert."): value.astype(np.float64) for name, value in weights.items()}
    x: Array = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + w["embeddings.token_type_embeddings.weight"][types or [0] * len(ids)]
    x = _norm(w, x, "embeddings.LayerNorm")
    for i in range(layers):
        layer = f"encoder.layer.{i}"
        attended = _dense(w, _attention(w, x, f"{layer}.attention.self", heads), f"{layer}.attention.output.dense")
        x = _norm(w, x + attended, f"{layer}.attention.output.LayerNorm")
        wide = _gelu(_dense(w, x, f"{layer}.intermediate.dense"))
        x = _norm(w, x + _dense(w, wide, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    return x


def logit(weights: Weights, hidden: Array) -> float:
    """The one logit of `BertForSequenceClassification`."""
    w = {name.removeprefix("bert."): value.astype(np.float64) for name, value in weights.items()}
    pooled = np.tanh(_dense(w, hidden[0], "pooler.dense"))
    return float(_dense(w, pooled, "classifier")[0])


def _dense(w: dict[str, Array], x: Array, name: str) -> Array:
    product: Array = x @ w[f"{name}.weight"].T + w[f"{name}.bias"]
    return product


def _norm(w: dict[str, Array], x: Array, name: str) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    scaled: Array = centred / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]
    return scaled


def _gelu(x: Array) -> Array:
    return np.vectorize(lambda v: v * 0.5 * (1 + math.erf(v / math.sqrt(2))))(x).astype(np.float64)


def _attention(w: dict[str, Array], x: Array, name: str, heads: int) -> Array:
    size = x.shape[1] // heads
    parts = [_dense(w, x, f"{name}.{part}") for part in ("query", "key", "value")]
    outputs = []
    for head in range(heads):
        query, key, value = (part[:, head * size : (head + 1) * size] for part in parts)
        scores = query @ key.T / math.sqrt(size)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        outputs.append(weights / weights.sum(-1, keepdims=True) @ value)
    return np.concatenate(outputs, axis=1)
