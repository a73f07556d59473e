"""What the studio lays over an Axolotl config: the job's own data, model and places, what the device can do, what is not run.

Pure: a config in, a config and what is told about it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

PLUGIN = "fts_axolotl.Plugin"
SHIPPED_PLUGINS = "axolotl.integrations."
KEPT_CHECKPOINTS = 2
SEED = 42  # guide, "Training Constants"
LEARNING_RATE = 2e-4  # what the original studio offers; Axolotl requires one
SAVING = ("save_steps", "saves_per_epoch", "save_strategy")

# Axolotl on the CPU (measured, 0.19): its kernels are CUDA's, and so are 8-bit optimisers and flash attention.
ON_CPU: dict[str, Any] = {
    "bf16": False,
    "fp16": False,
    "tf32": False,
    "attn_implementation": "sdpa",
    "lora_mlp_kernel": False,
    "lora_qkv_kernel": False,
    "lora_o_kernel": False,
    "lora_embedding_kernel": False,
}
ATTENTION = (
    "flash_attention",
    "xformers_attention",
    "sdp_attention",
    "flex_attention",
    "eager_attention",
    "sage_attention",
)
# What would run code of others, or tell others of the training.
NOT_RUN = ("trainer_cls", "deepspeed", "use_ray", "cloud", "chat_template_jinja_path")
NOT_TOLD = (
    "hub_model_id", "hub_strategy", "push_dataset_to_hub", "hf_use_auth_token", "use_mlflow", "mlflow_tracking_uri",
    "use_comet", "use_swanlab", "use_trackio", "use_otel_metrics", "gradio_title",
)  # fmt: skip
PREFIXES_NOT_TOLD = ("wandb_", "comet_", "swanlab_", "mlflow_", "trackio_")
OWN_OF_DATA = (
    "path",
    "ds_type",
    "data_files",
    "split",
    "name",
    "revision",
    "shards",
    "trust_remote_code",
    "preprocess_shards",
)


@dataclass
class Places:
    """Where things are, absolute: the base (a directory or a Hub name at a revision), rows, drafts, what to go on from."""

    base: str
    revision: str | None
    train: str
    held_out: str | None
    output: str
    prepared: str
    resume: str | None = None


@dataclass
class Laid:
    """The config that Axolotl gets; `notes` are what goes without saying, `warnings` what is done otherwise than asked."""

    config: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def lay(asked: Mapping[str, Any], places: Places, *, gpus: int, processes: int, prompted: bool) -> Laid:
    """Lay the studio's own over what was asked. `prompted`: the rows are `input` and `output`, written by the prompt."""
    laid = Laid({key: value for key, value in asked.items() if value is not None})
    for key, value in _own(laid.config, places, processes, prompted):
        _set(laid, key, value, laid.notes, "the job's own")
    if laid.config.setdefault("learning_rate", LEARNING_RATE) == LEARNING_RATE and asked.get("learning_rate") is None:
        laid.notes.append(f"learning_rate: neither the config nor the request says one, so it is {LEARNING_RATE}")
    if gpus == 0:
        _on_cpu(laid)
    for key in [key for key in laid.config if key in NOT_RUN]:
        _set(laid, key, None, laid.warnings, "the studio does not run it")
    for key in [key for key in laid.config if key in NOT_TOLD or key.startswith(PREFIXES_NOT_TOLD)]:
        _set(laid, key, None, laid.warnings, "the studio tells nobody of a training but its own tracking")
    _plugins(laid)
    return laid


def _own(config: Mapping[str, Any], places: Places, processes: int, prompted: bool) -> Iterator[tuple[str, Any]]:
    first = _first(config.get("datasets"))
    yield "base_model", places.base
    yield "revision_of_model", places.revision
    yield "datasets", [_dataset(first, places.train, prompted)]
    yield "test_datasets", [_dataset(first, places.held_out, prompted)] if places.held_out else None
    yield "val_set_size", None if places.held_out else 0.0
    yield "output_dir", places.output
    yield "dataset_prepared_path", places.prepared
    yield "dataset_num_proc", processes
    yield "resume_from_checkpoint", places.resume
    yield "auto_resume_from_checkpoints", False
    yield "trust_remote_code", False
    # Without one Axolotl shuffles the rows anew in each attempt, and a resume goes on in another order.
    yield "seed", SEED if config.get("seed") is None else config["seed"]
    yield "save_total_limit", max(KEPT_CHECKPOINTS, _count(config.get("save_total_limit")))
    if not places.held_out:
        yield from (
            (key, None) for key in ("evals_per_epoch", "eval_steps", "eval_strategy", "early_stopping_patience")
        )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _first(datasets: object) -> dict[str, Any]:
    first = datasets[0] if isinstance(datasets, list) and datasets else {}
    return {key: value for key, value in first.items() if value is not None} if isinstance(first, dict) else {}


def _dataset(asked: Mapping[str, Any], path: str | None, prompted: bool) -> dict[str, Any]:
    kept = {key: value for key, value in asked.items() if key not in OWN_OF_DATA}
    made = {**kept, "path": path, "ds_type": "json", "split": "train"}
    if prompted:
        made["type"] = {
            "field_instruction": "input",
            "field_output": "output",
            "format": "{instruction}",
            "no_input_format": "{instruction}",
        }
    elif str(asked.get("type", "")).startswith("sharegpt"):
        mapping = {"role": "from", "content": "value"}
        made |= {"type": "chat_template", "field_messages": "conversations", "message_property_mappings": mapping}
    return made


def _on_cpu(laid: Laid) -> None:
    for key in [key for key in ATTENTION if laid.config.get(key)]:
        _set(laid, key, None, laid.warnings, "it needs a GPU; sdpa is used")
    for key, value in ON_CPU.items():
        _set(laid, key, value, laid.warnings if laid.config.get(key) not in (None, "auto") else laid.notes, "no GPU")
    if "8bit" in str(laid.config.get("optimizer", "")) or "fused" in str(laid.config.get("optimizer", "")):
        _set(laid, "optimizer", "adamw_torch", laid.warnings, "it needs a GPU")


def _plugins(laid: Laid) -> None:
    """The studio's plugin, and those that ship with Axolotl: any other name is code from somewhere."""
    asked = laid.config.get("plugins") or []
    names = [str(each) for each in asked] if isinstance(asked, list) else [str(asked)]
    kept = [name for name in names if name.startswith(SHIPPED_PLUGINS)]
    if left_out := sorted(set(names) - set(kept)):
        laid.warnings.append(f"plugins: {', '.join(left_out)} left out, only those that ship with Axolotl are run")
    laid.config["plugins"] = [*kept, PLUGIN]


def _set(laid: Laid, key: str, value: Any, told: list[str], why: str) -> None:
    before = laid.config.pop(key, None)
    if value is not None:
        laid.config[key] = value
    if before is not None and before != value:
        told.append(
            f"{key}: {before!r} of the config {f'becomes {value!r}' if value is not None else 'is left out'} ({why})"
        )
