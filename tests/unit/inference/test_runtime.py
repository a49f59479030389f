"""Which runtime a processor gets."""

from __future__ import annotations

import pytest

from inference.runtime import Cpu, Runtime, choose_runtime, parse_runtime

AVX2 = {"avx", "avx2", "fma"}


@pytest.mark.parametrize(
    ("flags", "runtime", "bits"),
    [
        (AVX2 | {"avx512_vnni", "amx_tile", "amx_bf16"}, Runtime.OPENVINO_BF16, 8),
        (AVX2 | {"avx512_vnni", "amx_tile", "amx_int8"}, Runtime.ONNXRUNTIME_INT8, 8),
        (AVX2 | {"avx512_vnni"}, Runtime.ONNXRUNTIME_INT8, 8),
        (AVX2 | {"avx_vnni"}, Runtime.ONNXRUNTIME_INT8, 8),
        (AVX2, Runtime.ONNXRUNTIME_INT8, 7),
        (set(), Runtime.ONNXRUNTIME_FP32, 7),
    ],
)
def test_the_runtime_follows_from_the_processor(flags: set[str], runtime: Runtime, bits: int) -> None:
    cpu = Cpu(frozenset(flags))
    assert choose_runtime(cpu) is runtime
    assert cpu.int8_weight_bits == bits


def test_a_setting_overrules_the_choice() -> None:
    cpu = Cpu(frozenset(AVX2))
    assert parse_runtime("openvino-fp32", cpu) is Runtime.OPENVINO_FP32
    assert parse_runtime("auto", cpu) is choose_runtime(cpu)
