"""The torch engine against the engines for CPUs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.inference.tiny_models import make_tiny_model

from inference.cross_encoder import CrossEncoder
from inference.domain import TextKind
from inference.encoder import TextEncoder
from inference.errors import UnsupportedModel
from inference.model import DEFAULT_MODEL

TEXTS = [
    "The river runs down to the sea.",
    "A cat sat on the mat.",
    "def read(path): return open(path).read()",
    "Zürich liegt am See.",
    "word " * 300,
]


@pytest.mark.torch
def test_torch_gives_the_vectors_of_the_default_engine() -> None:
    theirs = TextEncoder.load(DEFAULT_MODEL, runtime="torch").encode(TEXTS, TextKind.PASSAGE)
    ours = TextEncoder.load(DEFAULT_MODEL, runtime="onnxruntime-fp32").encode(TEXTS, TextKind.PASSAGE)
    assert (theirs.vectors * ours.vectors).sum(axis=1).min() > 1 - 1e-4
    assert theirs.tokens == ours.tokens
    auto = TextEncoder.load(DEFAULT_MODEL).encode(TEXTS, TextKind.PASSAGE)
    assert (theirs.vectors * auto.vectors).sum(axis=1).min() > 1 - 1e-2


@pytest.mark.torch
def test_passes_of_several_texts_give_what_passes_of_one_give(tmp_path: Path) -> None:
    encoder = TextEncoder.load(str(make_tiny_model(tmp_path / "model").path), runtime="torch")
    encodings = encoder.tokenize(["the cat", "the dog sat on the mat", "water"], TextKind.PASSAGE)
    together = encoder.embed_pass(encodings)
    apart = [encoder.embed_pass([each])[0] for each in encodings]
    np.testing.assert_allclose(together, apart, atol=1e-5)


@pytest.mark.torch
def test_a_cross_encoder_on_torch_scores_as_on_the_default_engine(tmp_path: Path) -> None:
    path = str(make_tiny_model(tmp_path / "model", labels=1).path)
    scores = []
    for runtime in ("torch", "onnxruntime-fp32"):
        encoder = CrossEncoder.load(path, runtime=runtime)
        scores.append(encoder.score_pass(encoder.tokenize("the cat", ["a dog sat"])))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)


@pytest.mark.torch
def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    (model.path / "model.safetensors").rename(model.path / "model.onnx")
    with pytest.raises(UnsupportedModel, match="safetensors"):
        TextEncoder.load(str(model.path), runtime="torch")
