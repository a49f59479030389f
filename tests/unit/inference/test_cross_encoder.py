"""Cross-encoders against a second implementation in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.unit.inference.reference import bert, logit
from tests.unit.inference.tiny_models import HEADS, LAYERS, TinyModel
from tokenizers import Tokenizer

from inference.cross_encoder import CrossEncoder
from inference.domain import Priority
from inference.engine import CrossEncoderEngine
from inference.errors import UnsupportedModel

MakeModel = Callable[..., TinyModel]
QUERY = "the cat"
PASSAGES = ["the cat sat on the mat", "the river runs down to the sea", ""]


def expected(model: TinyModel, passage: str) -> float:
    tokenizer = Tokenizer.from_file(str(model.path / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoding = tokenizer.encode(QUERY, passage)
    hidden = bert(model.weights, encoding.ids, layers=LAYERS, heads=HEADS, types=encoding.type_ids)
    return 1 / (1 + float(np.exp(-logit(model.weights, hidden))))


@pytest.mark.parametrize("runtime", ["onnxruntime-fp32", "openvino-fp32"])
def test_scores_are_those_of_the_paper(tiny: MakeModel, runtime: str) -> None:
    model = tiny(labels=1, window=32)
    encoder = CrossEncoder.load(str(model.path), runtime=runtime, threads=1)
    together = encoder.score_pass(encoder.tokenize(QUERY, PASSAGES))
    assert together == pytest.approx([expected(model, passage) for passage in PASSAGES], abs=1e-5)


async def test_the_engine_scores_pairs_in_order(tiny: MakeModel) -> None:
    model = tiny(labels=1, window=32)
    engine = CrossEncoderEngine(CrossEncoder.load(str(model.path), runtime="onnxruntime-fp32", threads=2))
    try:
        scores = await engine.score(QUERY, PASSAGES, Priority.INTERACTIVE)
    finally:
        await engine.close()
    assert scores == pytest.approx([expected(model, passage) for passage in PASSAGES], abs=1e-5)


def test_long_pairs_are_cut_to_the_window(tiny: MakeModel) -> None:
    encoder = CrossEncoder.load(str(tiny(labels=1, window=12).path), runtime="onnxruntime-fp32", threads=1)
    (encoding,) = encoder.tokenize(QUERY, ["the sea " * 40])
    assert len(encoding.ids) == 12
    assert encoding.truncated


def test_a_classifier_with_several_labels_is_no_cross_encoder(tiny: MakeModel) -> None:
    with pytest.raises(UnsupportedModel):
        CrossEncoder.load(str(tiny(labels=3).path), runtime="onnxruntime-fp32")
