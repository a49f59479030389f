"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe() -> dict[str, object]:
    """Processor, its features that matter here, cores and memory."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    flags = set(next((value for key, value in lines.items() if key.strip() == "flags"), "").split())
    model = next((value.strip() for key, value in lines.items() if key.strip() == "model name"), platform.processor())
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "features": sorted(flags & {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8"}),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
