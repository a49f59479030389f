"""Model directories: finding them, refusing the wrong ones, caching their graphs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.unit.inference.tiny_models import TinyModel

from inference.artifacts import prepared_graph
from inference.domain import Pooling, TextKind
from inference.encoder import TextEncoder
from inference.errors import ModelNotFound, UnsupportedModel, WeightsMismatch
from inference.model import DEFAULT_MODEL_SHA256, describe, resolve
from inference.tokens import TokenCounter

MakeModel = Callable[..., TinyModel]


def write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")


def test_the_default_model_comes_from_its_package_and_is_the_pinned_one() -> None:
    for name in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"):
        model = resolve(name)
        assert (model.model_id, model.max_tokens, model.pooling) == ("all-MiniLM-L6-v2", 256, Pooling.MEAN)
    assert model.verified_sha256() == DEFAULT_MODEL_SHA256


def test_weights_that_are_not_the_pinned_ones_are_refused(tiny: MakeModel) -> None:
    model = describe(tiny().path, "all-MiniLM-L6-v2", expected_sha256=DEFAULT_MODEL_SHA256)
    with pytest.raises(WeightsMismatch) as raised:
        model.verified_sha256()
    assert raised.value.reason == "WEIGHTS_MISMATCH"


def test_one_changed_byte_of_the_weights_is_another_revision(tiny: MakeModel) -> None:
    model = tiny()
    before = describe(model.path, "tiny").verified_sha256()
    weights = model.path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert describe(model.path, "tiny").verified_sha256() != before


def test_a_directory_describes_itself(tiny: MakeModel) -> None:
    model = resolve(str(tiny(pooling="cls", window=9, prompts={"query": "query: ", "passage": "passage: "}).path))
    assert (model.model_id, model.pooling, model.max_tokens) == ("tiny", Pooling.CLS, 9)
    assert (model.query_prompt, model.passage_prompt) == ("query: ", "passage: ")


def test_newer_pooling_files_that_name_the_mode_are_understood(tiny: MakeModel) -> None:
    path = tiny().path
    write_json(path / "1_Pooling" / "config.json", {"embedding_dimension": 32, "pooling_mode": "cls"})
    assert resolve(str(path)).pooling is Pooling.CLS


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}),
        ("modules.json", [{"type": "sentence_transformers.models.Transformer"}, {"type": "x.models.Dense"}]),
    ],
)
def test_a_description_this_engine_cannot_follow_is_refused(tiny: MakeModel, file: str, content: object) -> None:
    path = tiny().path
    write_json(path / file, content)
    with pytest.raises(UnsupportedModel):
        resolve(str(path))


@pytest.mark.parametrize("change", [{"model_type": "roberta"}, {"hidden_act": "relu"}, {"num_hidden_layers": None}])
def test_weights_of_another_architecture_are_refused(tiny: MakeModel, change: dict[str, object]) -> None:
    path = tiny().path
    write_json(path / "config.json", json.loads((path / "config.json").read_text()) | change)
    with pytest.raises(UnsupportedModel):
        TextEncoder.load(str(path))


@pytest.mark.parametrize("missing", ["tokenizer.json", "model.safetensors"])
def test_a_directory_without_tokenizer_or_weights_is_no_model(tiny: MakeModel, missing: str) -> None:
    path = tiny().path
    (path / missing).unlink()
    with pytest.raises(ModelNotFound):
        resolve(str(path))


@pytest.mark.parametrize("name", ["no/such/directory", "BAAI/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5@main", ""])
def test_a_hub_id_without_a_pinned_commit_is_refused(name: str) -> None:
    with pytest.raises(ModelNotFound, match="pinned commit"):
        resolve(name)


def test_an_unknown_runtime_is_refused(tiny: MakeModel) -> None:
    with pytest.raises(UnsupportedModel, match="onnxruntime-int8"):
        TextEncoder.load(str(tiny().path), runtime="abacus")


def test_a_graph_is_built_once_and_named_after_its_weights(tiny: MakeModel, own_model_cache: Path) -> None:
    model = resolve(str(tiny().path))
    sha256 = model.verified_sha256()

    first = prepared_graph(model, sha256, classifier=False, fused_attention=True, int8_bits=8)
    written = first.stat().st_mtime_ns
    second = prepared_graph(model, sha256, classifier=False, fused_attention=True, int8_bits=8)

    assert second == first
    assert second.stat().st_mtime_ns == written
    assert first.parent == own_model_cache / f"tiny-{sha256[:12]}"
    assert [file.name for file in first.parent.iterdir()] == [first.name]  # nothing half-written is left


def test_a_directory_with_an_onnx_file_needs_no_safetensors(tiny: MakeModel, tmp_path: Path) -> None:
    built = tiny()
    expected = TextEncoder.load(str(built.path), runtime="onnxruntime-fp32").encode(["the cat"], TextKind.QUERY)
    model = resolve(str(built.path))
    graph = prepared_graph(model, model.verified_sha256(), classifier=False, fused_attention=False, int8_bits=None)
    other = tmp_path / "onnx-only"
    other.mkdir()
    (other / "tokenizer.json").write_bytes((built.path / "tokenizer.json").read_bytes())
    (other / "model.onnx").write_bytes(graph.read_bytes())

    for runtime, tolerance in (("onnxruntime-fp32", 1e-6), ("openvino-fp32", 1e-6), ("onnxruntime-int8", 0.1)):
        vectors = TextEncoder.load(str(other), runtime=runtime).encode(["the cat"], TextKind.QUERY).vectors
        np.testing.assert_allclose(vectors, expected.vectors, atol=tolerance)


def test_a_cross_encoder_is_not_taken_for_a_text_encoder(tiny: MakeModel, tmp_path: Path) -> None:
    model = resolve(str(tiny(labels=1).path))
    graph = prepared_graph(model, model.verified_sha256(), classifier=True, fused_attention=False, int8_bits=None)
    other = tmp_path / "cross"
    other.mkdir()
    (other / "tokenizer.json").write_bytes((model.path / "tokenizer.json").read_bytes())
    (other / "model.onnx").write_bytes(graph.read_bytes())
    with pytest.raises(UnsupportedModel, match="cross-encoder"):
        TextEncoder.load(str(other), runtime="onnxruntime-fp32")


def test_tokens_are_counted_without_the_weights(tiny: MakeModel) -> None:
    path = tiny(window=16, prompts={"passage": "passage: "}).path
    (path / "model.safetensors").write_bytes(b"not looked at")

    counter = TokenCounter.of_model(str(path))

    assert counter.window == 14  # two tokens of the window are the prompt's
    assert counter.count("the cats sat") == 6
    assert counter.count("the cat " * 100) == 202
    assert counter.offsets("the cats") == [(0, 3), (4, 7), (7, 8)]
