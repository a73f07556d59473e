"""A job's settings as far as they decide about memory and time, read from what its trainer gets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.families import family

# transformers 5.23: the names of TrainingArguments.optim; bytes of state a trained parameter, in fp32 unless it says 8bit.
_STATES = {"sgd": 0, "adafactor": 0, "adagrad": 4, "rmsprop": 4, "lion": 4, "ademamix": 12}
_OWN = ("adamw_torch", "adamw_anyprecision", "sgd", "adagrad", "rmsprop", "adafactor")
SHORT, LONG = 128, 512  # tokens of a row


@dataclass(frozen=True)
class Tuning:
    """Settings of one worker. `length` is the longest row in tokens, `tokens` all of all rows, `scored` the most that are
    learned in a micro-batch (0: all of it); `targets` None: the family's own.
    """

    method: str = "lora"
    rank: int = 8
    targets: tuple[str, ...] | None = None
    dropout: float = 0.0
    dora: bool = False
    whole_modules: tuple[str, ...] = ()
    bits: int | None = None
    double_quantised: bool = False
    batch: int = 8
    accumulation: int = 1
    length: int = 512
    scored: int = 0
    tokens: int = 0
    packing: bool = False
    padded: bool = True
    checkpointing: bool = False
    optimiser: str = "adamw_torch_fused"
    precision: str = "fp32"
    device: str = "cpu"
    attention: str = "sdpa"

    @property
    def at_once(self) -> int:
        """Tokens of a micro-batch."""
        return self.batch * self.length

    @property
    def full(self) -> bool:
        """Whether all weights are trained."""
        return self.method == "full"

    @property
    def number_bytes(self) -> int:
        """Bytes of a number where matrices are multiplied."""
        return 4 if self.precision == "fp32" else 2

    @property
    def masked(self) -> bool:
        """Whether attention gets a mask: rows packed together, or padded to the longest of a batch."""
        flash = self.attention.startswith("flash")
        return not flash and (self.packing or (self.padded and self.batch > 1))

    @property
    def shares_heads(self) -> bool:
        """Whether heads of keys and values stay shared (grouped-query attention), as they do without a mask."""
        return self.attention != "eager" and not self.masked

    @property
    def weight_bytes(self) -> int:
        """Bytes of a weight as it is loaded: halves when it computes in halves and is not trained (gpu_runner/device.py)."""
        return 2 if self.number_bytes == 2 and not self.full and self.bits is None else 4

    @property
    def autocasts(self) -> bool:
        """Whether fp32 weights are cast to halves for every product."""
        return self.number_bytes == 2 and self.full

    @property
    def optimiser_bytes(self) -> float:
        """Bytes of the optimiser's state for a trained parameter, which is fp32."""
        name = self.optimiser.removeprefix("paged_")
        states: float = next((size for known, size in _STATES.items() if name.startswith(known)), 8)
        return states / 4 if "8bit" in name else states

    @property
    def bitsandbytes_optimiser(self) -> bool:
        """Whether the optimiser is bitsandbytes' (gpu_runner/bnb.py tells why that matters)."""
        return not self.optimiser.startswith(_OWN) or self.optimiser.endswith(("_bnb", "bit"))

    @property
    def bitsandbytes(self) -> bool:
        """Whether the job imports bitsandbytes."""
        return self.bits is not None or self.bitsandbytes_optimiser

    def adapts(self, module: str, architecture: str) -> bool:
        """Whether LoRA adapts the matrices of that name in a model of that architecture."""
        targets = self.targets
        if targets is None:  # as gpu_runner/methods.py chooses them
            known = family(architecture)
            targets = _named(known.lora.get("target_modules") if known is not None else "all-linear")
        return targets == ("all-linear",) or any(re.search(rf"\b{re.escape(module)}\b", each) for each in targets)


def _named(targets: Any) -> tuple[str, ...]:
    """Names of modules; a text is a pattern of them, which tells their names too."""
    return (targets,) if isinstance(targets, str) else tuple(map(str, targets))


def attention_of(arguments: Mapping[str, Any], device: str, length: int) -> str:
    """How attention is computed: as asked; else on a processor, for rows of at most SHORT tokens, by plain products.

    There the fused kernel is the slower one: with rows of 46 tokens a step takes 18 % longer (SmolLM2-135M), with 500 as long.
    """
    asked = arguments.get("attn_implementation")
    return str(asked or ("eager" if device == "cpu" and length <= SHORT else "sdpa"))


def tuning_of(
    arguments: Mapping[str, Any],
    lora: Mapping[str, Any],
    bnb: Mapping[str, Any] | None,
    **more: Any,
) -> Tuning:
    """The settings of a trainer's arguments (already translated), a LoRA config and a bitsandbytes config; `more` are fields."""
    targets = lora.get("target_modules")
    fields: dict[str, Any] = {
        "rank": int(lora.get("r", 8)),
        "targets": _named(targets) if targets else None,
        "dropout": float(lora.get("lora_dropout", 0.0)),
        "dora": bool(lora.get("use_dora")),
        "whole_modules": tuple(lora.get("modules_to_save") or ()),
        "bits": None if bnb is None else 4 if bnb.get("load_in_4bit") else 8 if bnb.get("load_in_8bit") else None,
        "double_quantised": bool((bnb or {}).get("bnb_4bit_use_double_quant")),
        "batch": int(arguments.get("per_device_train_batch_size", 8)),
        "accumulation": int(arguments.get("gradient_accumulation_steps", 1)),
        "checkpointing": bool(arguments.get("gradient_checkpointing", False)),
        "attention": attention_of(arguments, str(more.get("device", "cpu")), int(more.get("length", LONG))),
        "optimiser": str(arguments.get("optim", "adamw_torch_fused")),
        "precision": "bf16" if arguments.get("bf16") else "fp16" if arguments.get("fp16") else "fp32",
    }
    made = Tuning(**{**fields, **more})
    if made.device == "cpu" and (made.precision == "fp16" or made.bits is not None):
        return replace(made, precision="fp32")  # what a processor does instead (gpu_runner/device.py)
    return made
