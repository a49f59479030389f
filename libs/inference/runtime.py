"""Which runtime suits the processor, and sessions on each of them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Protocol

import numpy as np

from inference.domain import FloatArray, IntArray
from inference.errors import UnsupportedModel

_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
_OUTPUTS: Final = ("last_hidden_state", "token_embeddings", "logits")


class Runtime(StrEnum):
    """Engine and precision."""

    ONNXRUNTIME_FP32 = "onnxruntime-fp32"
    ONNXRUNTIME_INT8 = "onnxruntime-int8"
    OPENVINO_FP32 = "openvino-fp32"
    OPENVINO_BF16 = "openvino-bf16"
    TORCH = "torch"
    """bfloat16 on a GPU, float32 without one. Never chosen by itself: it is 4.5 GB of dependencies."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """What matters here of a processor: the flags of `/proc/cpuinfo`."""

    flags: frozenset[str]

    @classmethod
    def detect(cls) -> "Cpu":
        """The processor this runs on; without flags where there is no `/proc/cpuinfo`."""
        try:
            text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        except OSError:
            return cls(frozenset())
        lines = (line.partition(":")[2] for line in text.splitlines() if line.startswith("flags"))
        return cls(frozenset(next(lines, "").split()))

    @property
    def has_amx_bf16(self) -> bool:
        """Matrix tiles in bfloat16 (Sapphire Rapids and later)."""
        return {"amx_tile", "amx_bf16"} <= self.flags

    @property
    def has_vnni(self) -> bool:
        """int8 products that add up in 32 bits."""
        return bool({"avx512_vnni", "avx_vnni"} & self.flags)

    @property
    def int8_weight_bits(self) -> int:
        """8, or 7 without VNNI: two u8×s8 products are then added in 16 bits, where 2 × 255 × 127 saturates."""
        return 8 if self.has_vnni else 7


def choose_runtime(cpu: Cpu) -> Runtime:
    """The fastest runtime whose retrieval quality holds, by what was measured on each kind of processor.

    * AMX: bfloat16 on OpenVINO, 3.5 × torch fp32 with unchanged quality. Nothing else reaches the tiles.
    * VNNI: int8 on ONNX Runtime, 1.7 × its fp32 (Cascade Lake), nDCG@10 within noise of fp32.
    * AVX2 alone (older AMD EPYC): int8 on ONNX Runtime is still 1.4 × its fp32; OpenVINO's fp32 gains only 5 %.
    * Anything else: ONNX Runtime fp32, which runs everywhere.
    """
    if cpu.has_amx_bf16:
        return Runtime.OPENVINO_BF16
    if cpu.has_vnni or "avx2" in cpu.flags:
        return Runtime.ONNXRUNTIME_INT8
    return Runtime.ONNXRUNTIME_FP32


def parse_runtime(setting: str, cpu: Cpu) -> Runtime:
    """Reads the setting: `auto` or the name of a runtime.

    Raises:
        UnsupportedModel: There is no such runtime.
    """
    if setting == "auto":
        return choose_runtime(cpu)
    try:
        return Runtime(setting)
    except ValueError:
        raise UnsupportedModel(f"runtime is auto or one of {', '.join(Runtime)}") from None


def default_threads() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Session(Protocol):
    """A loaded graph. Thread-safe: up to `concurrency` calls of `run` go on at once, each on one core.

    One core per call and several calls at once, instead of all cores on one call: measured 10–40 % more tokens per
    second on every runtime, because nothing is synchronised inside a call.

    Attributes:
        concurrency: Calls at once.
        pass_tokens: Padded tokens worth putting into one call; 1 where a call of every text is as fast.
    """

    concurrency: int
    pass_tokens: int

    def run(self, ids: IntArray, mask: IntArray, types: IntArray) -> FloatArray:
        """One forward pass, blocking; releases the interpreter lock.

        Args:
            ids: (b, t) token ids.
            mask: (b, t), 1 where there is a token.
            types: (b, t) segment ids; ignored by graphs without them.

        Returns:
            (b, t, d) token vectors, or (b, labels) logits; float32.
        """
        ...


def open_session(graph: Path, runtime: Runtime, threads: int) -> Session:
    """Loads a graph on a runtime. Blocking, 0.2–1 s for MiniLM.

    Raises:
        UnsupportedModel: The runtime can't load it, or it has other inputs or outputs than a text encoder.
    """
    try:
        if runtime in (Runtime.OPENVINO_FP32, Runtime.OPENVINO_BF16):
            return OpenVinoSession(graph, threads, bf16=runtime is Runtime.OPENVINO_BF16)
        return OnnxRuntimeSession(graph, threads)
    except RuntimeError as error:
        raise UnsupportedModel(f"{runtime} can't load the model's graph") from error


def _check_signature(inputs: set[str], outputs: list[str]) -> str:
    """Name of the output to take."""
    if not {"input_ids", "attention_mask"} <= inputs or not inputs <= set(_INPUTS):
        raise UnsupportedModel(f"the graph's inputs are not among {', '.join(_INPUTS)}")
    return next((name for name in _OUTPUTS if name in outputs), outputs[0])


class OnnxRuntimeSession:
    """`Session` on ONNX Runtime."""

    def __init__(self, graph: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # it keeps a plan per shape, and every length is a shape
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(graph),
            options,
            providers=["CPUExecutionProvider"],
            # Its fused residual and layer norm is scalar code: 19 % of an int8 pass, against 3 % for the parts.
            disabled_optimizers=["SkipLayerNormFusion"],
        )
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._output = _check_signature(self._inputs, [value.name for value in self._session.get_outputs()])
        self.concurrency = threads
        self.pass_tokens = 1

    def run(self, ids: IntArray, mask: IntArray, types: IntArray) -> FloatArray:
        """See `Session.run`."""
        feed = {n: v for n, v in zip(_INPUTS, (ids, mask, types), strict=True) if n in self._inputs}
        result: FloatArray = self._session.run([self._output], feed)[0]
        return result


class OpenVinoSession:
    """`Session` on OpenVINO."""

    def __init__(self, graph: Path, threads: int, *, bf16: bool) -> None:
        import openvino

        # Without AMX or AVX512-BF16 the hint silently becomes float32.
        properties: Mapping[str, object] = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        }
        model = openvino.Core().compile_model(str(graph), "CPU", dict(properties))
        self._inputs = {value.get_any_name() for value in model.inputs}
        self._output = _check_signature(self._inputs, [value.get_any_name() for value in model.outputs])
        self.concurrency = threads
        self.pass_tokens = 1
        self._requests: SimpleQueue[Callable[..., Mapping[str, FloatArray]]] = SimpleQueue()
        for _ in range(threads):
            self._requests.put(model.create_infer_request().infer)

    def run(self, ids: IntArray, mask: IntArray, types: IntArray) -> FloatArray:
        """See `Session.run`."""
        feed = {n: v for n, v in zip(_INPUTS, (ids, mask, types), strict=True) if n in self._inputs}
        infer = self._requests.get()
        try:
            # The request's own output buffer is overwritten by its next call.
            return np.array(infer(feed, share_inputs=True)[self._output], dtype=np.float32)
        finally:
            self._requests.put(infer)
