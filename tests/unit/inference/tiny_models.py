"""Model directories with two small random BERT layers: everything a real one has, in a few kilobytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

WORDS = "the a cat dog sat on mat query passage : river water runs down to sea probe b ##s ##ed"
HIDDEN, HEADS, LAYERS, WIDE = 32, 4, 2, 64
Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class TinyModel:
    """A model directory and the weights in it."""

    path: Path
    weights: Weights


def make_tiny_model(
    path: Path,
    *,
    pooling: str = "mean",
    prompts: dict[str, str] | None = None,
    window: int = 16,
    labels: int | None = None,
    seed: int = 7,
) -> TinyModel:
    """Writes a model directory; with ``labels`` a cross-encoder."""
    path.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(WORDS.split())]
    _tokenizer(vocabulary).save(str(path / "tokenizer.json"))
    config = {
        "model_type": "bert",
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "intermediate_size": WIDE,
        "max_position_embeddings": 64,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "vocab_size": len(vocabulary),
        "type_vocab_size": 2,
        **({} if labels is None else {"id2label": {str(i): f"label {i}" for i in range(labels)}}),
    }
    _write(path / "config.json", config)
    _write(path / "sentence_bert_config.json", {"max_seq_length": window})
    _write(path / "config_sentence_transformers.json", {"prompts": prompts or {}})
    kinds = ["Transformer", "Pooling", "Normalize"]
    _write(
        path / "modules.json", [{"idx": i, "type": f"sentence_transformers.models.{k}"} for i, k in enumerate(kinds)]
    )
    (path / "1_Pooling").mkdir(exist_ok=True)
    flags = {f"pooling_mode_{mode}": mode.startswith(pooling) for mode in ("cls_token", "mean_tokens", "max_tokens")}
    _write(path / "1_Pooling" / "config.json", flags)
    weights = random_weights(len(vocabulary), labels=labels, seed=seed)
    save_file(weights, str(path / "model.safetensors"))
    return TinyModel(path, weights)


def random_weights(words: int, *, labels: int | None, seed: int) -> Weights:
    """Random weights of a checkpoint; a cross-encoder's carry the prefix that `transformers` gives them."""
    rng = np.random.default_rng(seed)

    def matrix(*shape: int) -> NDArray[np.float32]:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": matrix(words, HIDDEN),
        "embeddings.position_embeddings.weight": matrix(64, HIDDEN),
        "embeddings.token_type_embeddings.weight": matrix(2, HIDDEN),
    }
    norms, dense = ["embeddings.LayerNorm"], {}
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        dense |= {f"{layer}.attention.self.{part}": (HIDDEN, HIDDEN) for part in ("query", "key", "value")}
        dense |= {f"{layer}.attention.output.dense": (HIDDEN, HIDDEN), f"{layer}.intermediate.dense": (WIDE, HIDDEN)}
        dense |= {f"{layer}.output.dense": (HIDDEN, WIDE)}
    if labels is not None:
        dense |= {"pooler.dense": (HIDDEN, HIDDEN)}
    for name in norms:
        weights |= {f"{name}.weight": 1 + matrix(HIDDEN), f"{name}.bias": matrix(HIDDEN)}
    for name, shape in dense.items():
        weights |= {f"{name}.weight": matrix(*shape), f"{name}.bias": matrix(shape[0])}
    if labels is None:
        return weights
    prefixed = {f"bert.{name}": value for name, value in weights.items()}
    return prefixed | {"classifier.weight": matrix(labels, HIDDEN), "classifier.bias": matrix(labels)}


def _tokenizer(vocabulary: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=specials
    )
    # As published tokenizers often are: prepared for a fixed batch, which the engine has to undo.
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    return tokenizer


def _write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")
