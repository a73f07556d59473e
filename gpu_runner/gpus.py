"""What this host has: GPUs by NVML, and processors and memory as its limits allow."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from core.messages.runners import Gpu
from gpu_runner import limits

GIB = 1 << 30
MILLIWATT = 1000


def inventory() -> list[Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves to this process; none without an NVIDIA driver."""
    return [
        Gpu(
            index=index,
            uuid=_text(_ask(nvml, nvml.nvmlDeviceGetUUID, handle)),
            name=_text(_ask(nvml, nvml.nvmlDeviceGetName, handle)),
            memory=_gib(getattr(_ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle), "total", 0)),
        )
        for nvml, index, handle in _devices()
    ]


def host_facts() -> tuple[int, float]:
    """(CPU cores, memory in GiB) that this process may use: affinity and control groups are honoured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory().total
    if (quota := limits.cores()) is not None:
        cores = max(1, min(cores, int(quota)))
    if (limit := limits.memory()) is not None:
        memory = min(memory, limit)
    return cores, _gib(memory)


def telemetry(artifacts: Path) -> dict[str, Any]:
    """How busy the host is: load, memory and room on the artifacts' disk (GiB), and each GPU. What can't be told is left out."""
    memory = psutil.virtual_memory()
    told: dict[str, Any] = {
        "load": round(os.getloadavg()[0], 2),
        "cpu_percent": psutil.cpu_percent(),
        "memory_used": _gib(memory.total - memory.available),
        "memory_total": _gib(memory.total),
        "gpus": [_busy(nvml, index, handle) for nvml, index, handle in _devices()],
    }
    try:
        told["disk_free"] = _gib(shutil.disk_usage(artifacts).free)
    except OSError:
        pass  # a shared directory that is away is no reason for a runner to fall silent
    return told


def _devices() -> list[tuple[Any, int, Any]]:
    """(pynvml, index, handle) of each GPU that answers; one that fell off the bus is not there."""
    try:
        import pynvml

        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except ImportError:
        return []
    except pynvml.NVMLError:
        return []
    handles = [(index, _ask(pynvml, pynvml.nvmlDeviceGetHandleByIndex, index)) for index in range(count)]
    return [
        (pynvml, index, handle) for index, handle in handles if handle is not None and _visible(pynvml, index, handle)
    ]


def _visible(nvml: Any, index: int, handle: Any) -> bool:
    """Whether CUDA_VISIBLE_DEVICES leaves this GPU to us: by its index, or by the beginning of its UUID."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return True
    uuid = _text(_ask(nvml, nvml.nvmlDeviceGetUUID, handle))
    names = [name.strip() for name in chosen.split(",")]
    return any(name == str(index) or (name.startswith("GPU-") and uuid.startswith(name)) for name in names)


def _busy(nvml: Any, index: int, handle: Any) -> dict[str, Any]:
    memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    power = _ask(nvml, nvml.nvmlDeviceGetPowerUsage, handle)
    told = {
        "index": index,
        "uuid": _text(_ask(nvml, nvml.nvmlDeviceGetUUID, handle)) or None,
        "percent": getattr(_ask(nvml, nvml.nvmlDeviceGetUtilizationRates, handle), "gpu", None),
        "memory_used": memory and _gib(memory.used),
        "memory_total": memory and _gib(memory.total),
        "celsius": _ask(nvml, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
        "watts": power and round(power / MILLIWATT, 1),
    }
    return {name: value for name, value in told.items() if value is not None}


def _ask(nvml: Any, question: Callable[..., Any], *about: Any) -> Any:
    """The answer; None when this GPU has none (virtual and shared ones know little of themselves)."""
    try:
        return question(*about)
    except nvml.NVMLError:
        return None


def _gib(size: float) -> float:
    return round(size / GIB, 2)


def _text(value: Any) -> str:
    """Older drivers' bindings answer with bytes."""
    return value.decode() if isinstance(value, bytes) else str(value or "")
