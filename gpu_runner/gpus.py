"""What this host has: GPUs by NVML, and CPU slots and memory as its limits allow."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import psutil

from core.messages.runners import Gpu

GIB = 1 << 30


def inventory() -> list[Gpu]:
    """The GPUs; none when there is no NVIDIA driver."""
    return [
        Gpu(
            index=index,
            uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
            name=_text(nvml.nvmlDeviceGetName(handle)),
            memory=round(nvml.nvmlDeviceGetMemoryInfo(handle).total / GIB, 2),
        )
        for nvml, index, handle in _devices()
    ]


def host_facts() -> tuple[int, float]:
    """(CPU cores, memory in GiB) that this process may use: affinity and control group are honoured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory().total
    if (quota := _cgroup_cores()) is not None:
        cores = max(1, min(cores, int(quota)))
    if (limit := _cgroup_number("memory.max")) is not None:
        memory = min(memory, limit)
    return cores, round(memory / GIB, 2)


def telemetry(artifacts: Path) -> dict[str, Any]:
    """How busy the host is: load, memory, room on the artifacts' disk, and each GPU."""
    memory = psutil.virtual_memory()
    return {
        "load": round(os.getloadavg()[0], 2),
        "cpu_percent": psutil.cpu_percent(),
        "memory_used": round((memory.total - memory.available) / GIB, 2),
        "memory_total": round(memory.total / GIB, 2),
        "disk_free": round(shutil.disk_usage(artifacts).free / GIB, 2),
        "gpus": [_busy(nvml, index, handle) for nvml, index, handle in _devices()],
    }


def _devices() -> list[tuple[Any, int, Any]]:
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        return [
            (pynvml, index, pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(pynvml.nvmlDeviceGetCount())
        ]
    except pynvml.NVMLError:
        return []


def _busy(nvml: Any, index: int, handle: Any) -> dict[str, Any]:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return {
        "index": index,
        "percent": nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        "memory_used": round(memory.used / GIB, 2),
        "memory_total": round(memory.total / GIB, 2),
        "celsius": nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
    }


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _cgroup_cores() -> float | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _cgroup_number(name: str) -> int | None:
    try:
        return int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
