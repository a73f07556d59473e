"""What the trainer is configured with: the job's training arguments, the device's limits, and what the runner owns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.spec import FineTuningSpec
from core.types import Method
from gpu_runner.device import Device
from gpu_runner.failures import JobError

# The runner decides these, or reads them itself.
IGNORED = {
    "report_to", "disable_tqdm", "bf16", "fp16", "ddp_find_unused_parameters", "attn_implementation", "eos_token",
    "pad_token", "metric_for_best_model", "greater_is_better",
}  # fmt: skip


@dataclass(frozen=True)
class Terms:
    """What was found out before the trainer is made: what of the training arguments this machine can do, and of the data."""

    arguments: dict[str, Any]
    device: Device
    drafts: Path
    evaluates: bool
    packs: bool
    compares: bool = False  # held-out losses, to stop early or keep the best weights


def sft_config(spec: FineTuningSpec, terms: Terms) -> Any:
    """The SFTConfig of a job; raises JobError for what the libraries refuse."""
    from trl import SFTConfig

    given = {name: value for name, value in terms.arguments.items() if name not in IGNORED}
    made = {**_defaults(spec, terms), **given, **_owned(spec, terms)}
    if not terms.evaluates:
        made["eval_strategy"] = "no"
    elif terms.compares and made["eval_strategy"] == "no":
        made["eval_strategy"] = "steps"
    try:
        return SFTConfig(**made)
    except (TypeError, ValueError) as error:
        raise JobError(
            f"the training arguments are refused: {error}",
            "Change the training_arguments config and start the job again.",
        ) from error


def _defaults(spec: FineTuningSpec, terms: Terms) -> dict[str, Any]:
    """What holds unless the job says otherwise. TRL's own default would checkpoint gradients; the guide's does not.

    Where losses are compared an epoch is too long a step: there are ten evaluations.
    """
    return {
        "seed": 42,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "eval_strategy": "no" if not terms.evaluates else "steps" if terms.compares else "epoch",
        "eval_steps": 0.1 if terms.compares else None,
        "save_strategy": "steps" if "save_steps" in terms.arguments else "no",
        "train_sampling_strategy": "group_by_length" if spec.length_grouped and not terms.packs else "random",
        "per_device_eval_batch_size": terms.arguments.get("per_device_train_batch_size", 8),
    }


def _owned(spec: FineTuningSpec, terms: Terms) -> dict[str, Any]:
    device = terms.device
    autocasts = device.autocasts(trains_all=spec.method is Method.full)
    return {
        "output_dir": str(terms.drafts),
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": autocasts and device.precision == "bf16",
        "fp16": autocasts and device.precision == "fp16",
        "use_cpu": device.kind == "cpu",
        "dataloader_pin_memory": device.kind == "cuda",
        "max_length": spec.max_length,
        "packing": terms.packs,
        "eval_packing": False if terms.packs else None,
        "save_total_limit": None,
        "save_only_model": False,  # a checkpoint without the optimizer's state can't be gone on from
        "packing_strategy": "bfd",  # the one that keeps rows apart
        "load_best_model_at_end": False,
        "push_to_hub": False,
        "ddp_find_unused_parameters": False if spec.resources.workers > 1 else None,  # all that is trained is used
        "ddp_backend": "gloo" if device.kind == "cpu" and spec.resources.workers > 1 else None,
    }
