"""What a job asks of the device and the libraries in its training arguments, and this machine can't do: done without, with a
warning, never in silence (docs/decisions.md, D-038)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available, is_liger_kernel_available

from gpu_runner.device import Device, Warn

FLASH = {"flash_attention_2": is_flash_attn_2_available, "flash_attention_3": is_flash_attn_3_available}
DEFAULT_ATTENTION = "sdpa"
CUDA_ONLY = ("activation_offloading", "tf32")


def able(arguments: dict[str, Any], device: Device, warn: Warn) -> dict[str, Any]:
    """The training arguments without what this machine can't do."""
    made = dict(arguments)
    if made.get("attn_implementation"):
        made["attn_implementation"] = _attention(str(made["attn_implementation"]), device, warn)
    if made.get("use_liger_kernel") and (lacking := _lacks_liger(device)):
        warn(f"use_liger_kernel was asked for, but {lacking}: the model's own layers are used")
        made["use_liger_kernel"] = False
    for name in CUDA_ONLY:
        if made.get(name) and device.kind != "cuda":
            warn(f"{name} was asked for, but there is no GPU: it is left out")
            del made[name]
    return made


def _attention(asked: str, device: Device, warn: Warn) -> str:
    available = FLASH.get(asked)
    if available is None:
        return asked
    lacking = (
        "there is no GPU"
        if device.kind != "cuda"
        else "it computes in half precision only, and neither bf16 nor fp16 is asked for"
        if device.precision == "fp32"
        else None
        if available()
        else "its package is not installed here"
    )
    if lacking is None:
        return asked
    warn(f"{asked} was asked for, but {lacking}: {DEFAULT_ATTENTION} is used")
    return DEFAULT_ATTENTION


def _lacks_liger(device: Device) -> str | None:
    if not is_liger_kernel_available():
        return "liger-kernel is not installed here"
    return None if device.kind == "cuda" and find_spec("triton") else "there is no GPU that its kernels run on"


def checkpoints_gradients(arguments: dict[str, Any], model: Any, warn: Warn) -> bool:
    """Whether the model computes activations again in the backward pass, as asked; some architectures can't."""
    if not arguments.get("gradient_checkpointing"):
        return False
    if not getattr(model, "supports_gradient_checkpointing", False):
        warn("gradient_checkpointing was asked for, but this model's architecture has none: more memory is used")
        return False
    return True
