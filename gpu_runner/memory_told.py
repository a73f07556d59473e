"""Where a training's memory goes, told when it was not enough."""

from __future__ import annotations

import re
import resource
from typing import Any

import psutil
import torch

from gpu_runner import limits

ASKED = re.compile(r"allocate (\d+(?:\.\d+)?) ?(bytes|[KMGT]iB)", re.IGNORECASE)  # torch's words, CPU and CUDA
UNITS = {"bytes": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}


def arithmetic(model: Any, optimizer: Any, error: BaseException) -> str:
    """What is held, what more was asked for, and how much there is, in GiB or MiB."""
    held, most, where = _device(model)
    parts = {"weights": _bytes(model.parameters()), "gradients": _bytes(each.grad for each in model.parameters())}
    parts["optimiser"] = _bytes(_states(optimizer))
    rest = max(0, held - sum(parts.values()))
    told = ", ".join(f"{name} {_told(size)}" for name, size in parts.items())
    asked = _asked(error)
    more = f"; {_told(asked)} more were asked for" if asked else ""
    return f"{_told(held)} of {_told(most)} {where} are held ({told}, the rest {_told(rest)}){more}"


def _device(model: Any) -> tuple[int, int, str]:
    """(bytes held, bytes there are, of what) where the model is."""
    device = next(model.parameters()).device
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device), torch.cuda.get_device_properties(device).total_memory, "of the GPU"
    limit, held = resource.getrlimit(resource.RLIMIT_AS)[0], psutil.Process().memory_info()
    if limit != resource.RLIM_INFINITY:
        return held.vms, limit, "that the process may have"
    there = psutil.virtual_memory().total
    return held.rss, min(there, limits.memory() or there), "of the host"


def _states(optimizer: Any) -> Any:
    for state in (getattr(optimizer, "state", None) or {}).values():
        yield from (value for value in state.values() if torch.is_tensor(value))


def _bytes(tensors: Any) -> int:
    return sum(each.numel() * each.element_size() for each in tensors if each is not None)


def _asked(error: BaseException) -> int:
    found = ASKED.search(str(error))
    return round(float(found[1]) * UNITS[found[2].lower()]) if found else 0


def _told(size: int) -> str:
    return f"{size / (1 << 30):.2f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.1f} MiB"
