"""Graphs, pooling, prompts, windows: tiny models against a second implementation in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.unit.inference.reference import bert
from tests.unit.inference.tiny_models import HEADS, LAYERS, TinyModel
from tokenizers import Tokenizer

from inference.domain import TextKind
from inference.encoder import TextEncoder
from inference.runtime import Runtime

MakeModel = Callable[..., TinyModel]
TEXT = "the cat sat on the mat"
OTHER = "the river runs down to the sea"


def ids_of(model: TinyModel, text: str) -> list[int]:
    tokenizer = Tokenizer.from_file(str(model.path / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return list(tokenizer.encode(text).ids)


def hidden_of(model: TinyModel, text: str) -> np.ndarray:
    return bert(model.weights, ids_of(model, text), layers=LAYERS, heads=HEADS)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


@pytest.mark.parametrize("runtime", [Runtime.ONNXRUNTIME_FP32, Runtime.OPENVINO_FP32])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_every_fp32_runtime_and_pooling_agrees_with_the_paper(tiny: MakeModel, runtime: Runtime, pooling: str) -> None:
    model = tiny(pooling=pooling)
    encoder = TextEncoder.load(str(model.path), runtime=str(runtime), threads=1)

    vectors = encoder.encode([TEXT, OTHER], TextKind.PASSAGE).vectors

    hidden = [hidden_of(model, text) for text in (TEXT, OTHER)]
    expected = [unit(h[0] if pooling == "cls" else h.mean(axis=0)) for h in hidden]
    np.testing.assert_allclose(vectors, expected, atol=2e-6)


def test_texts_of_one_padded_pass_get_the_vectors_they_get_alone(tiny: MakeModel) -> None:
    for runtime in (Runtime.ONNXRUNTIME_FP32, Runtime.OPENVINO_FP32):
        encoder = TextEncoder.load(str(tiny().path), runtime=str(runtime), threads=1)
        encodings = encoder.tokenize(["cat", TEXT], TextKind.PASSAGE)
        together = np.stack(encoder.embed_pass(encodings))
        alone = np.stack([encoder.embed_pass([encoding])[0] for encoding in encodings])
        np.testing.assert_allclose(together, alone, atol=2e-6)


def test_token_vectors_leave_special_tokens_out(tiny: MakeModel) -> None:
    model = tiny()
    encoder = TextEncoder.load(str(model.path), runtime="onnxruntime-fp32", threads=2)

    first, nothing, second = encoder.encode_tokens([TEXT, " ", OTHER], TextKind.PASSAGE)

    np.testing.assert_allclose(first, unit(hidden_of(model, TEXT))[1:-1], atol=2e-6)
    np.testing.assert_allclose(second, unit(hidden_of(model, OTHER))[1:-1], atol=2e-6)
    assert nothing.shape == (0, 32)


def test_prompts_go_in_front_of_texts_of_their_kind(tiny: MakeModel) -> None:
    model = tiny(prompts={"query": "query: ", "document": "passage: "})
    encoder = TextEncoder.load(str(model.path), runtime="onnxruntime-fp32", threads=1)

    query = encoder.encode([TEXT], TextKind.QUERY)
    passage = encoder.encode([TEXT], TextKind.PASSAGE)

    np.testing.assert_allclose(query.vectors[0], unit(hidden_of(model, f"query: {TEXT}").mean(axis=0)), atol=2e-6)
    np.testing.assert_allclose(passage.vectors[0], unit(hidden_of(model, f"passage: {TEXT}").mean(axis=0)), atol=2e-6)
    assert query.tokens == (10,)


def test_a_text_beyond_the_window_is_cut_and_reported(tiny: MakeModel) -> None:
    encoder = TextEncoder.load(str(tiny(window=8).path), runtime="onnxruntime-fp32", threads=1)

    result = encoder.encode([TEXT, f"{TEXT} to the sea", "the cat sat on the mat"], TextKind.PASSAGE)

    assert result.truncated == (False, True, False)
    assert result.tokens == (8, 8, 8)
    np.testing.assert_allclose(result.vectors[1], result.vectors[0], atol=1e-6)


def test_a_megabyte_of_text_is_cut_as_if_it_had_been_tokenised_whole(tiny: MakeModel) -> None:
    encoder = TextEncoder.load(str(tiny(window=8).path), runtime="onnxruntime-fp32", threads=1)
    blank = " " * 5_000  # no token in the prefix that is looked at first

    result = encoder.encode([f"{TEXT} " * 50_000, f"{blank}{TEXT}"], TextKind.PASSAGE)

    alone = encoder.encode([TEXT], TextKind.PASSAGE).vectors[0]
    assert result.truncated == (True, False)
    np.testing.assert_allclose(result.vectors, [alone, alone], atol=1e-6)


def test_empty_texts_are_flagged_and_get_zeros(tiny: MakeModel) -> None:
    encoder = TextEncoder.load(str(tiny(prompts={"query": "query: "}).path), runtime="onnxruntime-fp32", threads=1)

    result = encoder.encode(["", "cat", " \n", "\x00\x01"], TextKind.QUERY)

    assert result.empty == (True, False, True, True)
    assert result.tokens == (0, 5, 0, 0)
    assert not result.vectors[[0, 2, 3]].any()


def test_no_texts_give_no_vectors(tiny: MakeModel) -> None:
    encoder = TextEncoder.load(str(tiny().path), runtime="onnxruntime-fp32", threads=1)
    assert encoder.encode([], TextKind.QUERY).vectors.shape == (0, 32)


def test_int8_vectors_do_not_depend_on_their_neighbours(minilm: TextEncoder) -> None:
    texts = ["The cat sat on the mat.", "Sales grew.", "word " * 200, "A contract between two parties. " * 8]

    alone = np.concatenate([minilm.encode([text], TextKind.PASSAGE).vectors for text in texts])
    together = minilm.encode(texts * 3, TextKind.PASSAGE).vectors
    again = minilm.encode(texts, TextKind.PASSAGE).vectors

    np.testing.assert_array_equal(together, np.concatenate([alone] * 3))
    np.testing.assert_array_equal(again, alone)


def test_int8_vectors_of_the_default_model_stay_close_to_fp32() -> None:
    texts = [
        "How do I rotate the signing keys of a tenant?",
        "Keys are rotated every ninety days; the old one stays valid for a day, so that tokens in flight still verify.",
        "def rotate(keys: KeySet, now: datetime) -> KeySet: ...",
        "The quarterly report shows revenue of $4.2 billion, up 7% from the previous year.",
    ]
    int8 = TextEncoder.load("all-MiniLM-L6-v2", runtime="onnxruntime-int8").encode(texts, TextKind.PASSAGE).vectors
    fp32 = TextEncoder.load("all-MiniLM-L6-v2", runtime="onnxruntime-fp32").encode(texts, TextKind.PASSAGE).vectors

    assert ((int8 * fp32).sum(axis=1) > 0.985).all()
    # Neighbourhoods stay: what is near in one precision is as near in the other.
    np.testing.assert_allclose(int8 @ int8.T, fp32 @ fp32.T, atol=0.04)


def test_the_default_model_knows_what_belongs_together(minilm: TextEncoder) -> None:
    query = minilm.encode(["how do I get my money back"], TextKind.QUERY).vectors
    passages = ["Refunds are paid within five days.", "The pump is greased once a year."]
    scores = (query @ minilm.encode(passages, TextKind.PASSAGE).vectors.T)[0]
    assert scores[0] > scores[1] + 0.2
    assert (minilm.info.dimensions, minilm.info.max_tokens, minilm.info.revision) == (384, 256, "53aa51172d14")
