"""What the device can do; what it can't is done otherwise, with a warning, never in silence (docs/decisions.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch

Warn = Callable[[str], None]


@dataclass(frozen=True)
class Device:
    """Where a job computes, and in which precision: fp32, bf16 or fp16 (mixed: weights that are trained stay fp32).

    On a processor weights that are not trained are bf16 and nothing is cast: autocast there converts every weight anew in
    every step, and takes longer than fp32 (benchmarks/recipe.py). On a GPU it is what the libraries are made for.
    """

    kind: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16", "fp16"]

    @property
    def name(self) -> str:
        """The device's name, for people."""
        return torch.cuda.get_device_name(0) if self.kind == "cuda" else "cpu"

    @property
    def load_dtype(self) -> torch.dtype:
        """The dtype that weights are loaded in which are not trained."""
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]

    def autocasts(self, *, trains_all: bool = False) -> bool:
        """Whether what is computed is cast to the half precision: on a processor only where fp32 weights are trained."""
        return self.precision != "fp32" and (self.kind == "cuda" or trains_all)


def choose_device(gpus: int, arguments: dict[str, Any], warn: Warn, *, quantised: bool = False) -> Device:
    """The device for a job that asked for `gpus` GPUs, with the precision asked for in its training arguments or a fallback."""
    kind: Literal["cpu", "cuda"] = "cuda" if gpus > 0 and torch.cuda.is_available() else "cpu"
    if gpus > 0 and kind == "cpu":
        warn(f"{gpus} GPUs were asked for, but none can be used here: the job runs on the CPU")
    if arguments.get("bf16"):
        if _bf16(kind) and not (quantised and kind == "cpu"):
            return Device(kind, "bf16")
        lacking = (
            "quantised layers have none on a processor" if quantised and kind == "cpu" else "this processor has none"
        )
        warn(f"bf16 was asked for, but {lacking}: fp32 is used")
    if arguments.get("fp16"):
        if kind == "cuda":
            return Device(kind, "fp16")
        warn("fp16 was asked for, but there is no GPU: fp32 is used")
    return Device(kind, "fp32")


def _bf16(kind: str) -> bool:
    return torch.cuda.is_bf16_supported() if kind == "cuda" else cpu_has_bf16()


@lru_cache
def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bf16 itself; emulated bf16 is slower than fp32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16"))
