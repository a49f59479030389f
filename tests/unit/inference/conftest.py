from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.inference.tiny_models import TinyModel, make_tiny_model

from inference.encoder import TextEncoder


@pytest.fixture
def own_model_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model cache of this test's own."""
    cache = tmp_path / "model-cache"
    monkeypatch.setenv("HEADWATER_MODEL_CACHE", str(cache))
    return cache


@pytest.fixture
def tiny(tmp_path: Path, own_model_cache: Path) -> Callable[..., TinyModel]:
    """Makes a tiny model directory."""
    return lambda **options: make_tiny_model(tmp_path / options.pop("name", "tiny"), **options)


@pytest.fixture(scope="session")
def minilm() -> TextEncoder:
    """The default model on the runtime that is chosen here, with its graph cached between test runs."""
    return TextEncoder.load("all-MiniLM-L6-v2")
