"""What the trainer is configured with: the job's training arguments, the device's limits, and what the runner owns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.spec import FineTuningSpec
from gpu_runner.device import Device
from gpu_runner.failures import JobError

IGNORED = {"report_to", "disable_tqdm", "bf16", "fp16", "ddp_find_unused_parameters"}  # the runner decides these


def sft_config(spec: FineTuningSpec, device: Device, drafts: Path, *, evaluates: bool) -> Any:
    """The SFTConfig of a job; raises JobError for what the libraries refuse."""
    from trl import SFTConfig

    given = {name: value for name, value in spec.training_arguments.items() if name not in IGNORED}
    made = {**_defaults(spec, evaluates), **given, **_owned(spec, device, drafts)}
    if not evaluates:
        made["eval_strategy"] = "no"
    try:
        return SFTConfig(**made)
    except (TypeError, ValueError) as error:
        raise JobError(
            f"the training arguments are refused: {error}",
            "Change the training_arguments config and start the job again.",
        ) from error


def _defaults(spec: FineTuningSpec, evaluates: bool) -> dict[str, Any]:
    """What holds unless the job says otherwise. TRL's own default would checkpoint gradients; the guide's does not."""
    return {
        "seed": 42,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "eval_strategy": "epoch" if evaluates else "no",
        "save_strategy": "steps" if "save_steps" in spec.training_arguments else "no",
        "train_sampling_strategy": "group_by_length" if spec.length_grouped and not spec.packing else "random",
        "per_device_eval_batch_size": spec.training_arguments.get("per_device_train_batch_size", 8),
    }


def _owned(spec: FineTuningSpec, device: Device, drafts: Path) -> dict[str, Any]:
    return {
        "output_dir": str(drafts),
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": device.precision == "bf16",
        "fp16": device.precision == "fp16",
        "use_cpu": device.kind == "cpu",
        "dataloader_pin_memory": device.kind == "cuda",
        "max_length": spec.max_length,
        "packing": spec.packing,
        "eval_packing": False if spec.packing else None,
        "save_total_limit": None,
        "save_only_model": False,  # a checkpoint without the optimizer's state can't be gone on from
        "packing_strategy": "bfd",  # the one that keeps rows apart
        "load_best_model_at_end": False,
        "push_to_hub": False,
        "ddp_find_unused_parameters": False if spec.resources.workers > 1 else None,  # all that is trained is used
        "ddp_backend": "gloo" if device.kind == "cpu" and spec.resources.workers > 1 else None,
    }
