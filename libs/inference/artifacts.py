"""Graphs made from model directories, kept in a cache directory between starts."""

import os
import tempfile
from pathlib import Path

from inference.errors import UnsupportedModel
from inference.model import ModelDirectory, bert_config

_FORMAT = 1
"""Part of every cached name; raised when the way a graph is built changes."""


def cache_root() -> Path:
    """`HEADWATER_MODEL_CACHE`, else `~/.cache/headwater/models`."""
    override = os.environ.get("HEADWATER_MODEL_CACHE")
    return Path(override) if override else Path.home() / ".cache" / "headwater" / "models"


def prepared_graph(
    model: ModelDirectory, sha256: str, *, classifier: bool, fused_attention: bool, int8_bits: int | None
) -> Path:
    """An ONNX file of the model for one runtime; made at the first call (1–2 s for MiniLM), found at the next.

    Safe to call from several processes at once: each writes its own file and renames it into place.

    Args:
        model: The model.
        sha256: Of its weights, verified by the caller.
        classifier: Whether the graph ends in logits.
        fused_attention: Whether a graph built here may hold ONNX Runtime's own operators.
        int8_bits: Bits of quantised weights, or None to keep float32.

    Raises:
        UnsupportedModel: The weights are safetensors of something other than BERT.
    """
    built = model.weights.suffix == ".safetensors"
    if not built and int8_bits is None:
        return model.weights
    name = f"v{_FORMAT}{'-classifier' * classifier}{'-fused' * (fused_attention and built)}"
    name += f"-int{int8_bits}" if int8_bits is not None else "-fp32"
    folder = cache_root() / f"{model.model_id.replace('/', '--')}-{sha256[:12]}"
    target = folder / f"{name}.onnx"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _make(model, target, classifier=classifier, fused_attention=fused_attention, int8_bits=int8_bits)
    return target


def _make(
    model: ModelDirectory, target: Path, *, classifier: bool, fused_attention: bool, int8_bits: int | None
) -> None:
    # onnx costs 50 MB of memory and is needed only when there is no cached graph.
    import onnx
    from safetensors.numpy import load_file

    from inference.bert_graph import BertShape, build_bert
    from inference.quantise import quantise_products

    if model.weights.suffix == ".onnx":
        graph = onnx.load(model.weights)
    else:
        weights = {name: tensor.astype("float32") for name, tensor in load_file(model.weights).items()}
        shape = BertShape.from_config(bert_config(model.path))
        graph = build_bert(weights, shape, classifier=classifier, fused_attention=fused_attention)
    if int8_bits is not None and not quantise_products(graph, int8_bits):
        raise UnsupportedModel("the model's graph has no matrix product that could be quantised")
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".making-", suffix=".onnx")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(graph.SerializeToString())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
