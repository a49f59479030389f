"""`Session` on torch, for GPUs.

It runs transformers' own model code over safetensors: nothing is unpickled, and no code of a model directory is run.
Import this module only when torch is asked for: it and transformers are the dependency group `torch`.
"""

from __future__ import annotations

import inspect
from typing import Final

import torch
import transformers.utils.logging
from transformers import AutoModel, AutoModelForSequenceClassification

from inference.domain import FloatArray, IntArray
from inference.errors import UnsupportedModel
from inference.model import ModelDirectory

_GPU_PASS_TOKENS: Final = 32_768
"""Padded tokens of one pass: a pass of one text leaves most of a GPU idle."""


class TorchSession:
    """A text encoder on torch: bfloat16 on a GPU where there is one, float32 on the CPU otherwise.

    Attributes:
        concurrency: Passes at once: one on a GPU, whose stream runs them one after the other anyway.
        pass_tokens: Padded tokens worth putting into one pass; 1 for a pass of every text.
    """

    def __init__(self, model: ModelDirectory, threads: int, *, classifier: bool = False) -> None:
        if model.weights.suffix != ".safetensors":
            raise UnsupportedModel("torch loads safetensors only: the model directory has none")
        on_gpu = torch.cuda.is_available()
        self._device = torch.device("cuda" if on_gpu else "cpu")
        if not on_gpu:
            # As on the other runtimes: one core per pass, and several passes at once.
            torch.set_num_threads(1)
        kind = AutoModelForSequenceClassification if classifier else AutoModel
        transformers.utils.logging.disable_progress_bar()
        try:
            loaded = kind.from_pretrained(
                model.path,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                torch_dtype=torch.bfloat16 if on_gpu else torch.float32,
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise UnsupportedModel("torch can't load the model's weights") from error
        self._model = loaded.eval().to(self._device)
        self._classifier = classifier
        # Not every architecture has segments.
        self._takes_types = "token_type_ids" in inspect.signature(loaded.forward).parameters
        self.concurrency = 1 if on_gpu else threads
        self.pass_tokens = _GPU_PASS_TOKENS if on_gpu else 1

    def run(self, ids: IntArray, mask: IntArray, types: IntArray) -> FloatArray:
        """See `Session.run`."""
        inputs = {"input_ids": self._moved(ids), "attention_mask": self._moved(mask)}
        if self._takes_types:
            inputs["token_type_ids"] = self._moved(types)
        with torch.inference_mode():
            output = self._model(**inputs)
            chosen = output.logits if self._classifier else output.last_hidden_state
            values: FloatArray = chosen.float().cpu().numpy()
            return values

    def _moved(self, values: IntArray) -> torch.Tensor:
        return torch.from_numpy(values).to(self._device, non_blocking=True)
